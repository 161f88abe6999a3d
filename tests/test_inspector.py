"""The inspector: everything at a glance, and of one asset what would happen next, and why."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import MONTH, a_place, until

from index.asset import Failure, RelPath
from index.changes import Change
from index.lifecycle import Event, State
from index.warmth import Use
from tiering import inspector as module
from tiering.stores.faulty import Hold

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

BLOCK = 4096


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def explained(core: Core, path: str = "a") -> tuple[str, str, int | None]:
    """Return what would happen next, all reasons, and the rank."""
    said = await core.inspector.explain(RelPath(path))
    return said.next, "; ".join(said.reasons), said.rank


async def test_a_glance_tells_everything(place: Place) -> None:
    """Counts and bytes by state, what waits, how full the disk is, where the store is."""
    async with place.core(size_limit=10 * BLOCK) as core:
        await core.hot("hot", b"x" * BLOCK)
        asset = await core.cold("cold", b"xx")
        await core.new("new", b"xxx")
        held = Hold(operation="get")
        core.store.script = [held]
        arrival = core.promoter.begin(asset)
        await held.reached.wait()
        core.clock.ahead = 60.0
        await core.inspector.sample()
        status = core.inspector.status()
        held.release.set()
        await arrival.wait()
        assert {state: count for state, count in status.assets.items() if count} == {
            State.REPLICATED: 1,
            State.PROMOTING: 1,
            State.NEW: 1,
        }
        assert (status.bytes[State.REPLICATED], status.bytes[State.NEW]) == (BLOCK, 3)
        assert (status.queue.waiting, status.queue.uploading, status.queue.promoting) == (1, 0, 1)
        assert status.queue.unprotected_bytes == 3
        assert 59 < status.queue.oldest_unprotected_seconds < 70
        # Two files and the room that the promotion speaks for.
        assert (status.disk.used, status.disk.limit) == (2 * BLOCK + 2, 10 * BLOCK)
        assert (status.disk.high, status.disk.low, status.disk.full) == (0.8, 0.5, False)
        assert (status.store.url, status.store.reachable, status.store.reason) == ("memory://", True, "")
        assert status.store.capabilities["etag_is_md5"] is True
        assert not status.brake.engaged
        assert status.faults == ()


async def test_what_is_unprotected_is_said_at_once(place: Place) -> None:
    """Not with the next sample: nobody is told that nothing is where something is, nor of an age where nothing is."""
    async with place.core() as core:
        await core.inspector.sample()
        await core.new("a", b"xxx")
        assert core.inspector.status().queue.unprotected_bytes == 3
        core.clock.ahead = 60.0
        await core.inspector.sample()
        await core.upload_all()
        queue = core.inspector.status().queue
        assert (queue.unprotected_bytes, queue.oldest_unprotected_seconds) == (0, 0.0)


async def test_a_root_that_is_gone_is_a_fault(place: Place) -> None:
    """Hot bytes cannot be served then, and the glance itself still can."""
    async with place.core() as core:
        assert core.inspector.status().faults == ()
        core.tree.root.rename(core.tree.root.with_name("away"))
        status = core.inspector.status()
        assert (status.disk.total, status.faults) == (
            0,
            ("the cache root cannot be reached: No such file or directory",),
        )
        core.tree.root.with_name("away").rename(core.tree.root)


async def test_figures_are_kept_fresh(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anybody asking; and nothing unprotected is no age at all."""
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.0)
    async with place.core() as core:
        running = asyncio.create_task(core.inspector.run())
        await core.new("a", b"xxx")
        core.clock.ahead = 60.0
        await until(lambda: core.inspector.status().queue.oldest_unprotected_seconds > 59)
        await core.upload_all()
        assert core.inspector.status().queue.oldest_unprotected_seconds == 0.0
        running.cancel()
        await asyncio.wait([running])


async def test_a_store_that_is_away_is_told_with_the_reason(place: Place) -> None:
    """And so it is of every asset that waits for it."""
    async with place.core() as core:
        await core.new("a")
        assert (await explained(core))[0] == "is uploaded"
        core.pacer.failed("503; it is overloaded")
        status = core.inspector.status()
        assert (status.store.reachable, status.store.reason) == (False, "503; it is overloaded")
        assert "503; it is overloaded" in (await explained(core))[1]
        core.pacer.succeeded()
        core.prober.capabilities, core.prober.reason = None, "no such bucket; create it"
        status = core.inspector.status()
        assert (status.store.reachable, status.store.reason) == (False, "no such bucket; create it")
        assert status.store.capabilities == {}


async def test_the_next_to_leave_is_told_as_such(place: Place) -> None:
    """By the order in which the policy has them go; what stays says why."""
    async with place.core(cool_down=600.0) as core:
        first, second = await core.hot("a"), await core.hot("b")
        await core.catalog.touch({first.id: Use(core.clock() + 10, 1), second.id: Use(core.clock() + 5, 1)})
        coming, reasons, _ = await explained(core)
        assert coming == "stays"
        assert "uploaded" in reasons
        core.clock.ahead = 700.0
        assert [(await explained(core, path))[::2] for path in "ab"] == [("may be demoted", 1), ("may be demoted", 0)]
        core.obstacle = "the brake is engaged"
        assert (await explained(core))[:2] == ("stays", (await explained(core))[1])
        assert "the brake is engaged" in (await explained(core))[1]
        core.obstacle = None
        await core.catalog.set_pinned([first.id], pinned=True)
        coming, reasons, rank = await explained(core)
        assert (coming, rank) == ("stays", None)
        assert "pinned" in reasons


async def test_every_state_has_an_outlook(place: Place) -> None:
    """In words, and the reason is that of the failure where there is one."""
    async with place.core() as core:
        await core.cold("a")
        assert (await explained(core))[0] == "is promoted when it is asked for"
        await core.catalog.apply(Change.about(await core.find("a"), Event.WANTED))
        assert (await explained(core))[0] == "is promoting"
        failure = Failure("damaged", "it is another object", 1, None)
        await core.catalog.apply(Change.about(await core.find("a"), Event.MISMATCHED, failure=failure))
        assert (await explained(core))[:2] == ("waits for a person", "it is another object")
        await core.new("b")
        stuck = Failure("conflict", "somebody's object", 1, None)
        await core.catalog.apply(Change.about(await core.find("b"), Event.REFUSED, failure=stuck))
        coming, reasons, _ = await explained(core, "b")
        assert coming == "waits for a person"
        assert "somebody's object" in reasons
        assert "tierd retry" in reasons
        await core.new("c")
        (claimed,) = await core.catalog.claim(1, now=core.clock() + MONTH)
        later = Failure("unavailable", "timed out", 3, core.clock() + 100)
        await core.catalog.apply(Change.about(claimed, Event.DEFERRED, failure=later))
        coming, reasons, _ = await explained(core, "c")
        assert coming.startswith("is tried again in ")
        assert "timed out (attempt 3)" in reasons


async def test_what_would_have_to_happen_is_told(place: Place) -> None:
    """How many reads would keep it, and whether the next bout gets so far; and that is how it turns out."""
    async with place.core(size_limit=20 * 4096, policy="heat") as core:
        await core.accesses.prepare()
        for number in range(17):
            asset = await core.hot(f"{number:02}", b"x" * 4096)
            await core.catalog.touch({asset.id: Use(core.clock(), number + 1)})
        _, reasons, rank = await explained(core, "02")
        assert rank == 2
        assert "worth 0.27" in reasons
        assert "2 assets with 8,192 bytes on disk go before it" in reasons
        assert "the next bout begins now and frees 28,672 bytes, its own among them" in reasons
        found = re.search(r"spared if it was read (\d+) more times", reasons)
        assert found is not None
        assert "does not get so far" in (await explained(core, "09"))[1]
        patient, core.planner.residence = core.planner.residence, replace(core.planner.residence, cool_down=600.0)
        assert "next bout" not in (await explained(core, "02"))[1]
        core.planner.residence = patient
        await core.catalog.touch({(await core.find("02")).id: Use(core.clock(), int(found[1]))})
        assert "does not get so far" in (await explained(core, "02"))[1]
        await core.keeper.tend()
        assert [core.on_disk(name) is not None for name in ("00", "02", "09")] == [False, True, True]
