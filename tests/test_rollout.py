"""A roll-out goes from nothing to everything and back; nothing is lost, hidden, alarming or uploaded again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place, until

from index.asset import RelPath
from index.lifecycle import State
from index.outside import CODE
from tiering.answers import Selection
from tiering.drain import Drain
from tiering.rollout import Mode, Rollout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core import Core

LOCAL = Rollout.of(Mode.LOCAL, None)
EVERYTHING = Rollout.of(Mode.S3, 3.0)
PATHS = [f"show/frame_{number:03}.jpg" for number in range(40)]


def hybrid(percent: float) -> Rollout:
    """Return a roll-out that has come so far."""
    return Rollout.of(Mode.HYBRID, percent)


def covered(rollout: Rollout) -> set[str]:
    """Return which of the paths are in."""
    return {path for path in PATHS if rollout.covers(RelPath(path))}


def test_a_share_of_the_paths() -> None:
    """Close to what was asked for; none of them at nothing, all of them at everything."""
    paths = [RelPath(f"{number}/{number}.mov") for number in range(10_000)]
    for percent in (10, 25, 50):
        assert abs(sum(map(hybrid(percent).covers, paths)) / 100 - percent) < 2
    assert not any(map(LOCAL.covers, paths))
    assert not any(map(hybrid(0).covers, paths))
    assert all(map(EVERYTHING.covers, paths))
    assert all(map(hybrid(100).covers, paths))


def test_who_is_in_stays_in() -> None:
    """A larger share has the smaller one in it, whatever bytes the names are of."""
    assert covered(hybrid(10)) < covered(hybrid(25)) < covered(hybrid(50)) < set(PATHS)
    assert hybrid(100).covers(RelPath("\udcff"))


def test_the_same_everywhere_and_for_ever() -> None:
    """Another version that picked others would upload, or strand, half of what a team has."""
    assert covered(hybrid(10)) == {"show/frame_008.jpg", "show/frame_011.jpg", "show/frame_015.jpg"}


@asynccontextmanager
async def a_core(directory: Path, rollout: Rollout) -> AsyncIterator[Core]:
    """Give a core whose uploader and rekeyer run."""
    async with a_place(directory).core(rollout=rollout) as core:
        for path in PATHS:
            await core.new(path, path.encode())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(core.uploader.run())
            yield core
            core.uploader.stop()
            await running


async def settled(core: Core) -> set[str]:
    """Wait until nothing is to be uploaded, and return what is in the store."""
    await until(lambda: core.catalog.totals.unprotected == 0)
    return {asset.path for asset in await core.assets() if asset.proof is not None}


def is_out(core: Core, count: int) -> bool:
    """Whether so many are out."""
    return core.catalog.totals.outside == count


async def test_there_and_back(tmp_path: Path) -> None:
    """10, 25, 50, 100 and back: what is in the store is what the largest share was, and nothing is sent twice."""
    async with a_core(tmp_path, hybrid(10)) as core:
        assert await settled(core) == covered(hybrid(10))
        for percent in (25, 50, 100):
            share = covered(hybrid(percent))
            core.uploader.follow(hybrid(percent))
            await until(partial(is_out, core, len(PATHS) - len(share)))
            assert await settled(core) == share
        sent = {asset.path: asset.proof for asset in await core.assets()}
        for rollout in (hybrid(25), LOCAL, EVERYTHING):
            core.uploader.follow(rollout)
            assert await settled(core) == set(PATHS)
        assert {asset.path: asset.proof for asset in await core.assets()} == sent
        assert {asset.generation for asset in await core.assets()} == {1}


async def test_what_is_out_is_seen_and_alarms_nobody(tmp_path: Path) -> None:
    """It has its own count, and a reason; a drain does not say that all is done."""
    async with a_core(tmp_path, hybrid(50)) as core:
        out = sorted(set(PATHS) - await settled(core))
        await core.inspector.sample()
        status = core.inspector.status()
        assert (status.rollout.outside, status.rollout.mode, status.rollout.percent) == (len(out), "hybrid", 50)
        assert status.rollout.outside_bytes == sum(map(len, out))
        queue = status.queue
        assert (queue.waiting, queue.unprotected_bytes, queue.oldest_unprotected_seconds) == (0, 0, 0.0)
        told = await core.inspector.explain(RelPath(out[0]))
        assert told.next == "stays on this disk only"
        assert told.reasons == ("it is out of the roll-out: [store] mode is hybrid with 50 % of all paths",)
        asset = await core.find(out[0])
        assert asset.failure is not None
        assert asset.failure.code == CODE
        drain = Drain(core.catalog, scan=core.scan, clock=core.clock)
        (report,) = [step async for step in drain.drain(wait=True, timeout=None)]
        assert (report.done, report.unprotected, report.outside) == (False, 0, len(out))  # type: ignore[union-attr]


async def test_a_person_cannot_hurry_it(tmp_path: Path) -> None:
    """`retry` looks again and finds the same."""
    async with a_core(tmp_path, LOCAL) as core:
        await until(lambda: core.catalog.totals.outside == len(PATHS))
        (result,) = await core.orders.retry(Selection(paths=(RelPath(PATHS[0]),)))
        assert result.outcome == "done"
        await until(lambda: core.catalog.totals.outside == len(PATHS))
        assert await settled(core) == set()


async def test_a_changed_file_waits_as_well(tmp_path: Path) -> None:
    """Its older content stays in the store, and the totals count every byte once."""
    async with a_place(tmp_path).core() as core:
        before = await core.hot("a.jpg", b"first")
        core.uploader.follow(LOCAL)
        await core.new("a.jpg", b"the second")
        claimed = await core.catalog.claim(10, now=core.clock() + 1, covers=LOCAL.covers)
        assert claimed == []
        totals = core.catalog.totals
        assert (totals.outside, totals.outside_bytes, totals.unprotected, totals.unprotected_bytes) == (1, 10, 0, 0)
        assert (await core.find("a.jpg")).proof == before.proof
        core.tree.root.joinpath("a.jpg").unlink()
        await core.scan()
        await core.scan()
        assert (core.catalog.totals.outside, core.catalog.totals.outside_bytes) == (0, 0)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_nothing_that_is_out_is_demoted(tmp_path: Path, *, by_hand: bool) -> None:
    """Not by the policy, not by hand; and what was cold comes back."""
    async with a_place(tmp_path).core() as core:
        hot, cold = await core.hot("hot.jpg"), await core.cold("cold.jpg", b"frozen")
        core.planner.rollout = LOCAL
        assert core.planner.reason_to_stay(hot, now=core.clock(), by_hand=by_hand) == LOCAL.reason
        assert await core.read("cold.jpg") == b"frozen"
        assert await core.state("cold.jpg") is State.REPLICATED
        assert cold.proof is not None
        await core.store.head(cold.proof.key)


async def test_a_remote_copy_does_not_follow_while_it_is_out(tmp_path: Path) -> None:
    """What is said waits as a mark, and is worked off when the roll-out comes to it."""
    async with a_place(tmp_path).core() as core:
        asset = await core.hot("a.jpg")
        core.rekeyer.rollout = LOCAL
        await core.catalog.describe(asset.id, type="plate", fields={}, tags={})
        said: dict[str, Any] = (await core.store.head(asset.path)).metadata
        assert await core.rekeyer.place_all() is not None
        assert (await core.store.head(asset.path)).metadata == said
        core.rekeyer.rollout = EVERYTHING
        assert await core.rekeyer.place_all() is None
        assert (await core.store.head(asset.path)).metadata != said


async def test_a_start_finds_the_same(tmp_path: Path) -> None:
    """What was out at the stop is out at the start, or let in where the share has grown meanwhile."""
    place = a_place(tmp_path)
    async with place.core() as core:
        for path in PATHS:
            await core.new(path)
        assert not await core.catalog.claim(1, now=core.clock() + 1, covers=LOCAL.covers)
    async with place.core() as core:
        assert core.catalog.totals.outside == len(PATHS)
        assert await core.catalog.next_due() is None
        await core.catalog.let_in(hybrid(50).covers, now=core.clock())
        claimed = await core.catalog.claim(100, now=core.clock() + 1, covers=hybrid(50).covers)
        assert {asset.path for asset in claimed} == covered(hybrid(50))
        assert {asset.failure for asset in claimed} == {None}
