"""Orders for many assets: each gets its own answer, a plan moves nothing, and the work is not its caller's."""

from __future__ import annotations

import asyncio
from math import log
from typing import TYPE_CHECKING

import pytest
from core import a_place, until
from trees import plant

from index.asset import Failure, RelPath
from index.changes import Change
from index.lifecycle import Event, State
from index.listing import Query
from index.warmth import Use
from tiering.answers import Selection
from tiering.store import UnavailableError
from tiering.stores.faulty import Fail, Hold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from core import Core, Place

    from tiering.answers import Result

EVERYTHING = Selection(query=Query())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def these(*paths: str) -> Selection:
    """Select these paths, in this order."""
    return Selection(paths=tuple(RelPath(path) for path in paths))


def told(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return path and outcome of each."""
    return [(result.path, result.outcome) for result in results]


async def one_of_each(core: Core) -> None:
    """Have a hot, a cold, a new, a stuck, a damaged and a pinned asset, and a name that is ignored."""
    await core.hot("hot")
    await core.cold("cold")
    damaged = await core.cold("damaged")
    await core.catalog.apply(Change.about(damaged, Event.MISMATCHED, failure=Failure("damaged", "", 1, None)))
    pinned = await core.hot("pinned")
    await core.catalog.set_pinned([pinned.id], pinned=True)
    await core.new("new")
    stuck = await core.new("stuck")
    await core.catalog.apply(Change.about(stuck, Event.REFUSED, failure=Failure("conflict", "", 1, None)))


NAMES = ("cold", "damaged", "hot", "new", "pinned", "stuck", "nowhere", "bad//name")
PROMOTED = ["done", "refused", "unchanged", "unchanged", "unchanged", "unchanged", "unknown", "refused"]
DEMOTED = ["unchanged", "unchanged", "done", "refused", "refused", "refused", "unknown", "refused"]
PINNED = ["done", "done", "done", "done", "unchanged", "done", "unknown", "refused"]
UNPINNED = ["unchanged", "unchanged", "unchanged", "unchanged", "done", "unchanged", "unknown", "refused"]
RETRIED = ["unchanged", "done", "unchanged", "unchanged", "unchanged", "done", "unknown", "refused"]
ORDERS = {"promote": PROMOTED, "demote": DEMOTED, "pin": PINNED, "unpin": UNPINNED, "retry": RETRIED}


@pytest.mark.parametrize("order", ORDERS)
async def test_each_asset_gets_its_own_answer(place: Place, order: str) -> None:
    """In the order in which they were named, with a reason where nothing was done."""
    async with place.core() as core:
        await one_of_each(core)
        results = await getattr(core.orders, order)(these(*NAMES))
        assert told(results) == list(zip(NAMES, ORDERS[order], strict=True))
        assert all(result.reason for result in results if result.outcome in {"refused", "unknown"})
        assert [result.state is None for result in results] == [False] * 6 + [True] * 2


@pytest.mark.parametrize("order", ORDERS)
async def test_a_plan_changes_nothing(place: Place, order: str) -> None:
    """It says what would be done, of the same assets, and nothing is."""
    async with place.core() as core:
        await one_of_each(core)
        cursor, before = await core.catalog.newest_event(), await core.assets()
        results = await getattr(core.orders, order)(these(*NAMES), dry_run=True)
        planned = ["planned" if outcome == "done" else outcome for outcome in ORDERS[order]]
        assert told(results) == list(zip(NAMES, planned, strict=True))
        assert (await core.catalog.newest_event(), await core.assets()) == (cursor, before)


async def test_a_plan_says_what_leaves_first_and_what_will_be_missed(place: Place) -> None:
    """In the order of the policy, what stays last; twice the reads are twice the regret."""
    async with place.core(policy="heat") as core:
        await core.accesses.prepare()
        for name, times in (("a", 4), ("b", 2), ("c", 1), ("pinned", 1)):
            asset = await core.hot(name)
            await core.catalog.touch({asset.id: Use(core.clock() + 1, times)})
        await core.orders.pin(these("pinned"))
        plan = await core.orders.demote(EVERYTHING, dry_run=True)
        assert told(plan) == [("c", "planned"), ("b", "planned"), ("a", "planned"), ("pinned", "refused")]
        regrets = [result.regret for result in plan]
        assert regrets[3] is None
        assert regrets[:3] == pytest.approx([log(2) * 0.1, log(2) * 1.1, log(2) * 3.1], rel=1e-3)


async def test_what_was_done_shows_in_the_answer(place: Place) -> None:
    """State and size are those after it."""
    async with place.core() as core:
        await core.hot("a", b"12345")
        (gone,) = await core.orders.demote(these("a"))
        assert (gone.state, gone.size) == (State.COLD, 5)
        (back,) = await core.orders.promote(these("a"))
        assert (back.state, back.size) == (State.REPLICATED, 5)
        assert core.on_disk("a") == b"12345"
        assert core.witness.demotions == {"request": 1}


async def test_a_filter_selects_page_by_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that match and nothing else, over many pages; what moves meanwhile is not met twice."""
    monkeypatch.setattr("tiering.orders.PAGE", 3)
    async with place.core() as core:
        for number in range(8):
            await core.hot(f"in/{number}")
        await core.hot("out")
        results = await core.orders.demote(Selection(query=Query(text="in/")))
        assert told(results) == [(f"in/{number}", "done") for number in range(8)]
        assert await core.state("out") is State.REPLICATED
        everything = await core.orders.promote(EVERYTHING)
        assert told(everything) == [*((f"in/{number}", "done") for number in range(8)), ("out", "unchanged")]
        cold = await core.orders.demote(Selection(query=Query(states=(State.COLD,))))
        assert cold == []


async def test_one_that_fails_stops_no_other(place: Place) -> None:
    """It is told what happened to it."""
    async with place.core() as core:
        for name in "abc":
            await core.cold(name)
        core.store.script = [Fail(operation="get", first=2, error=UnavailableError("timed out"))]
        results = await core.orders.promote(these("a", "b", "c"))
        assert sorted(result.outcome for result in results) == ["done", "done", "failed"]
        (failed,) = [result for result in results if result.outcome == "failed"]
        assert failed.reason == "timed out"
        assert await core.state(failed.path) is State.COLD


async def test_one_that_is_not_known_yet_stops_no_other(place: Place) -> None:
    """While what the store has is still being learnt nobody can say that there is no such asset."""
    async with place.core() as core:
        await core.hot("a")
        core.discovery.done.clear()
        results = await core.orders.demote(these("nowhere", "a"))
        assert told(results) == [("nowhere", "failed"), ("a", "done")]


async def test_a_file_that_nobody_noticed_yet_is_taken_in(place: Place) -> None:
    """It is named, so it is looked for."""
    async with place.core() as core:
        plant(core.tree, "a")
        assert told(await core.orders.pin(these("a"))) == [("a", "done")]
        assert (await core.find("a")).pinned


async def test_nothing_leaves_while_there_is_a_reason_to_wait(place: Place) -> None:
    """A person's request overrides times, never safety."""
    async with place.core(cool_down=3600.0) as core:
        await core.hot("a")
        core.obstacle = "the brake is engaged"
        (result,) = await core.orders.demote(these("a"))
        assert (result.outcome, result.reason) == ("refused", "the brake is engaged")
        core.obstacle = None
        core.leases.grant((await core.find("a")).id)
        (result,) = await core.orders.demote(these("a"))
        assert (result.outcome, result.reason) == ("refused", "it is leased")
    async with place.core(cool_down=3600.0) as core:
        assert told(await core.orders.demote(these("a"))) == [("a", "done")]


# --- who waits, and who does not


@pytest.mark.parametrize("order", ["promote", "pin"])
async def test_who_does_not_wait_is_told_what_was_begun(place: Place, order: str) -> None:
    """The answer comes before the work is done, and does not change afterwards; the work goes on."""
    async with place.core() as core:
        await core.cold("a")
        held = Hold(operation="get")
        core.store.script = [held]
        async with asyncio.timeout(10):
            results = await getattr(core.orders, order)(these("a"), wait=False)
        assert told(results) == [("a", "started")]
        await held.reached.wait()
        held.release.set()
        await until(lambda: len(core.promoter) == 0)
        assert await core.state("a") is State.REPLICATED
        assert told(results) == [("a", "started")]


async def test_a_caller_that_goes_away_does_not_stop_the_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of what was ordered is done all the same."""
    monkeypatch.setattr("tiering.orders.AT_ONCE", 1)
    async with place.core() as core:
        for name in "abc":
            await core.cold(name)
        held = Hold(operation="get", times=None)
        core.store.script = [held]
        caller = asyncio.create_task(core.orders.promote(EVERYTHING))
        await held.reached.wait()
        caller.cancel()
        await asyncio.wait([caller])
        held.release.set()
    async with place.core() as core:
        assert {asset.state for asset in await core.assets()} == {State.REPLICATED}


# --- retry and pin


async def test_a_retry_may_overwrite_and_is_due_at_once(place: Place) -> None:
    """For this once, where a person says so."""
    async with place.core() as core:
        await one_of_each(core)
        await core.orders.retry(these("stuck"), overwrite=True)
        stuck = await core.find("stuck")
        assert (stuck.state, stuck.overwrite, stuck.failure) == (State.NEW, True, None)
        assert stuck.due_at <= core.clock()
        await core.orders.retry(these("damaged"))
        assert await core.state("damaged") is State.COLD
        assert await core.read("damaged") == b"content"


async def test_what_waits_for_its_next_try_is_tried_now(place: Place) -> None:
    """An upload that failed is due later by itself; a person need not wait for it."""
    async with place.core() as core:
        asset = await core.new("a")
        (claimed,) = await core.catalog.claim(1, now=core.clock() + 1)
        later = core.clock() + 3600
        failure = Failure("unavailable", "timed out", 3, later)
        await core.catalog.apply(Change.about(claimed, Event.DEFERRED, failure=failure))
        assert (await core.catalog.get(asset.id)).due_at == later
        assert told(await core.orders.retry(EVERYTHING)) == [("a", "done")]
        assert (await core.catalog.get(asset.id)).due_at <= core.clock()


async def test_a_pinned_asset_that_is_cold_is_brought_back(place: Place) -> None:
    """It was pinned while the store was away: to say it again is not in vain."""
    async with place.core() as core:
        await core.cold("a")
        core.store.script = [Fail(operation="get", error=UnavailableError("timed out"))]
        assert told(await core.orders.pin(these("a"))) == [("a", "failed")]
        assert (await core.find("a")).pinned
        assert told(await core.orders.pin(these("a"))) == [("a", "done")]
        assert await core.state("a") is State.REPLICATED
        assert told(await core.orders.pin(these("a"))) == [("a", "unchanged")]
