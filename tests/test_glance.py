"""What a person on call sees, whether on the page or on a terminal: true figures, within bounds."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place
from talking import serve

from daemon import demand, models_state, trouble
from daemon.demand import Demand
from daemon.hits import Hits
from daemon.trouble import REMEDIES, Trouble
from index.asset import Failure, RelPath
from index.lifecycle import State
from tiering.store import UnavailableError
from tiering.stores.faulty import Fail, Hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core import Place
    from talking import Served

    from tiering.answers import Transfer

MINUTE = 60.0
log = logging.getLogger("tiering.test_glance")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server around tiers that a test fills."""
    async with serve(tmp_path) as served:
        yield served


# --- hits


def test_hits_are_told_by_window() -> None:
    """A request counts as long as its minute lies within; an error says nothing of the disk."""
    hits = Hits(now=1000.0)
    assert hits.ratios(1000.0) == {"5m": None, "1h": None, "24h": None}
    hits.add("hit", now=1000.0)
    hits.add("error", now=1000.0)
    assert hits.ratios(1000.0) == {"5m": 1.0, "1h": 1.0, "24h": 1.0}
    hits.add("miss", now=1000.0 + 30 * MINUTE)
    assert hits.ratios(1000.0 + 30 * MINUTE) == {"5m": 0.0, "1h": 0.5, "24h": 0.5}
    assert hits.ratios(1000.0 + 61 * MINUTE) == {"5m": None, "1h": 0.0, "24h": 0.5}
    assert hits.ratios(1000.0 + 24 * 60 * MINUTE) == {"5m": None, "1h": None, "24h": 0.0}
    assert hits.ratios(1000.0 + 99 * 24 * 60 * MINUTE) == {"5m": None, "1h": None, "24h": None}


# --- demand


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time that it is."""
        return self.now


def test_what_is_wanted_most_comes_first() -> None:
    """Reads and misses apart; what failed is neither."""
    wanted = Demand(clock=Clock())
    for path, result in [("a", "hit"), ("b", "miss"), ("b", "hit"), ("c", "error"), ("d", "miss")]:
        wanted.asked(RelPath(path), result)
    assert wanted.most_read() == [("b", 2), ("a", 1), ("d", 1)]
    assert wanted.most_missed() == [("b", 1), ("d", 1)]


def test_demand_is_forgotten_after_a_day() -> None:
    """Half a day is remembered at least."""
    clock = Clock()
    wanted = Demand(clock=clock)
    wanted.asked(RelPath("a"), "hit")
    clock.now = demand.HALF_DAY
    wanted.asked(RelPath("a"), "hit")
    assert wanted.most_read() == [("a", 2)]
    clock.now = 2 * demand.HALF_DAY
    assert wanted.most_read() == [("a", 1)]
    clock.now = 9 * demand.HALF_DAY
    assert wanted.most_read() == []


def test_a_flood_of_strangers_costs_no_memory_and_hides_nobody() -> None:
    """So many are counted and no more; what is asked for again and again outlives them."""
    wanted = Demand(clock=Clock())
    for number in range(20 * demand.MOST):
        wanted.asked(RelPath(f"stranger/{number}"), "miss")
        wanted.asked(RelPath("friend"), "hit")
    assert len(wanted._now.read) <= demand.MOST
    assert len(wanted._now.missed) <= demand.MOST
    assert wanted.most_read()[0] == ("friend", 20 * demand.MOST)
    assert len(wanted.most_read()) == demand.SHOWN


# --- trouble


def test_the_last_troubles_are_kept_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest first, without secrets, and only while somebody listens; what is no trouble is not kept."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not/for/the/eyes")
    kept = Trouble()
    log.error("before")
    with kept.listening():
        for number in range(trouble.KEPT):
            log.warning("no. %d", number)
        log.warning("no. 0")
        log.error("the key is not/for/the/eyes")
        log.info("fine")
        logging.getLogger("botocore").warning("theirs")
    log.error("after")
    assert [(each.what, each.times) for each in kept.latest()][:3] == [
        ("the key is ***", 1),
        ("no. 0", 2),
        (f"no. {trouble.KEPT - 1}", 1),
    ]
    assert len(kept.latest()) == trouble.KEPT
    assert all(each.remedy for each in kept.latest())


def test_the_same_trouble_is_counted() -> None:
    """It is one line, however often it comes."""
    kept = Trouble()
    with kept.listening():
        for _ in range(3):
            log.warning("again")
    assert [(each.what, each.times) for each in kept.latest()] == [("again", 3)]


# --- the answer


async def test_a_glance_is_as_the_contract_says(served: Served) -> None:
    """Health and status as these tell them; what is wanted by what was read; what is stuck with its remedy."""
    served.tiers.add_hot("a", b"x")
    served.tiers.add_cold("b", b"y")
    failure = Failure("conflict", "not ours", 1, None)
    for _ in range(2):
        await served.get("/v1/content/a")
    await served.get("/v1/content/b")
    await served.get("/v1/content/none")
    stuck = served.tiers.add_hot("s\udcff", b"z", state=State.STUCK)
    served.tiers.catalog.assets = {"s": replace(stuck, failure=failure)}
    with served.service.trouble.listening():
        log.warning("something")
    answer = await served.get("/v1/glance")
    assert models_state.Glance.model_validate_json(answer.body).model_dump(mode="json") == answer.json
    shown = answer.json
    assert shown["status"] == (await served.get("/v1/status")).json
    assert shown["health"] == (await served.get("/v1/health")).json
    assert shown["read"] == [{"path": "a", "href": "a", "times": 2}, {"path": "b", "href": "b", "times": 1}]
    assert shown["missed"] == [{"path": "b", "href": "b", "times": 1}]
    first, second = shown["trouble"]
    assert (first["href"], first["what"]) == ("s%FF", "it is stuck: not ours")
    assert first["remedy"] == REMEDIES["conflict"]
    assert (second["path"], second["what"]) == (None, "something")
    (query, _, _) = served.tiers.catalog.asked[-1]
    assert query.states == (State.STUCK, State.DAMAGED)


# --- transfers


async def test_an_upload_shows_how_far_it_is(place: Place) -> None:
    """By parts, as the store has them; what an earlier run has sent is done, and no part of the rate."""
    content = os.urandom(4 << 20)
    async with place.core() as core:
        sizes = core.uploader._sender._sizes
        content = os.urandom(4 * sizes.part_size + sizes.multipart_above)
        parts = -(-len(content) // sizes.part_size)
        await core.new("big", content)
        core.store.script = [Fail(operation="put_part", first=3, times=None, error=UnavailableError("gone"))]
        (asset,) = await core.catalog.claim(1, now=core.clock())
        await core.uploader.upload(asset)
        assert core.inspector.transfers() == []
        upload = await core.catalog.uploads.of(asset.id)
        assert upload is not None
        kept = sum(part.size for part in upload.parts)
        assert 0 < len(upload.parts) < parts
        held = Hold(operation="complete")
        core.store.script = [held]
        core.clock.ahead = 3600.0
        (asset,) = await core.catalog.claim(1, now=core.clock())
        task = core.group.create_task(core.uploader.upload(asset))
        await held.reached.wait()
        core.clock.ahead += 10.0
        (shown,) = core.inspector.transfers()
        held.release.set()
        await task
        assert core.inspector.transfers() == []
    assert (shown.path, shown.direction, shown.size, shown.done) == ("big", "upload", len(content), len(content))
    assert shown.moved == len(content) - kept
    assert shown.seconds >= 10.0


async def test_a_promotion_shows_how_far_it_is(place: Place) -> None:
    """From its first byte to its last; and then no more."""
    async with place.core() as core:
        asset = await core.cold("a", b"x" * 1000)
        seen: list[list[Transfer]] = []
        download = core.promoter._receive

        async def receive(landing: object, stream: object, proof: object) -> None:
            seen.append(core.inspector.transfers())
            await download(landing, stream, proof)  # type: ignore[arg-type]
            core.clock.ahead += 10.0
            seen.append(core.inspector.transfers())

        core.promoter._receive = receive  # type: ignore[method-assign,assignment]
        await core.promoter.begin(asset).wait()
        assert core.inspector.transfers() == []
    ((before,), (after,)) = seen
    assert (before.path, before.direction, before.size, before.done) == ("a", "promotion", 1000, 0)
    assert before.bytes_per_second is None
    assert after.done == 1000
    assert after.bytes_per_second == pytest.approx(100.0, rel=0.2)
