"""The keeper: enough leaves the disk and no more, the coldest first, and nothing at all while anything is in doubt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from core import MONTH, a_place, until
from trees import plant

from index.lifecycle import State
from index.warmth import Use
from tiering.outcome import NoSpaceError
from tiering.store import RefusedError, UnavailableError
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

BLOCK = 4096
LIMIT = 20 * BLOCK
"""Above 16 blocks demotion begins, down to 10."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def fill(core: Core, count: int) -> None:
    """Have so many assets of one block each, named in the order of their last use."""
    for number in range(count):
        plant(core.tree, f"{number:02}", b"x" * BLOCK)
    await core.scan()
    await core.upload_all()
    await core.catalog.touch({(await core.find(f"{n:02}")).id: Use(core.clock() + n, 1) for n in range(count)})
    assert len(await hot(core)) == count


async def hot(core: Core) -> list[int]:
    """Return which are on disk, by what the index believes and the disk shows."""
    names = [asset.path for asset in await core.assets() if asset.state is State.REPLICATED]
    assert sorted(names) == sorted(file.name for file in core.tree.root.iterdir() if not file.name.startswith("."))
    return sorted(int(name) for name in names)


# --- how much


async def test_it_frees_down_to_the_low_mark_and_no_further(place: Place) -> None:
    """The coldest leave; what was used last stays."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        assert await core.keeper.tend() == 8 * BLOCK
        assert await hot(core) == list(range(8, 18))
        assert core.witness.demotions == {"watermark": 8}


async def test_between_the_marks_nothing_leaves(place: Place) -> None:
    """Demotion comes in bouts: at the high mark exactly there is nothing to do yet, nor after a bout."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 16)
        assert await core.keeper.tend() == 0
        assert len(await hot(core)) == 16
        await core.hot("99", b"x" * BLOCK)
        assert await core.keeper.tend() == 7 * BLOCK
        assert await core.keeper.tend() == 0


async def test_without_marks_only_age_sends_away(place: Place) -> None:
    """Where the disk says nothing, what nobody asked for in a month leaves all the same, and nothing else does."""
    async with place.core() as core:
        await fill(core, 6)
        assert await core.keeper.tend() == 0
        core.clock.ahead = MONTH + 3
        assert await core.keeper.tend() == 4 * BLOCK
        assert await hot(core) == [4, 5]
        assert core.witness.demotions == {"age": 4}
        assert "watermarks are off" in core.keeper.pressure()


async def test_age_goes_on_where_the_marks_end(place: Place) -> None:
    """What the marks ask for leaves first, and then what is old, though there is room by then."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        core.clock.ahead = MONTH + 11
        await core.keeper.tend()
        assert await hot(core) == list(range(12, 18))
        assert core.witness.demotions == {"watermark": 8, "age": 4}


async def test_many_pages_are_as_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order goes on over the edge of a page, and ends when enough is free: a million others are not looked at."""
    monkeypatch.setattr("tiering.keeper.PAGE", 3)
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        pages = mock.AsyncMock(wraps=core.catalog.candidates)
        monkeypatch.setattr(core.catalog, "candidates", pages)
        await core.keeper.tend()
        assert pages.await_count == 3
        assert await hot(core) == list(range(8, 18))
        assert (await core.keeper.standing(await core.find("12"))).rank == 4
        assert (await core.keeper.standing(await core.find("00"))).rank is None


# --- which


async def test_what_must_stay_is_passed_over_and_others_make_up_for_it(place: Place) -> None:
    """Pinned, leased, with a second name: the next ones in the order leave instead, and as much becomes free."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        await core.catalog.set_pinned([(await core.find("00")).id], pinned=True)
        core.leases.grant((await core.find("01")).id)
        (core.tree.root / ".second").hardlink_to(core.tree.root / "02")
        await core.scan()
        assert await core.keeper.tend() == 8 * BLOCK
        assert await hot(core) == [0, 1, 2, *range(11, 18)]


@pytest.mark.parametrize("page", [1000, 9, 3])
async def test_what_turns_out_to_be_in_use_is_made_up_for(
    place: Place, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """A plan does not know who has a file open: what is spared is not counted as free, and the next ones go."""
    monkeypatch.setattr("tiering.keeper.PAGE", page)
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        with (core.tree.root / "00").open("rb"), (core.tree.root / "03").open("rb"):
            assert await core.keeper.tend() == 8 * BLOCK
        assert await hot(core) == [0, 3, *range(10, 18)]


@pytest.mark.parametrize("rule", ["cool_down", "min_residence"])
async def test_what_is_young_stays(place: Place, rule: str) -> None:
    """Just uploaded, or just brought back: until its time has passed."""
    async with place.core(size_limit=LIMIT, **{rule: 600.0}) as core:
        await fill(core, 18)
        if rule == "min_residence":
            for number in range(18):
                await core.demoter.demote(await core.find(f"{number:02}"), reason="request")
                await core.read(f"{number:02}")
        assert await core.keeper.tend() == 0
        core.clock.ahead += 601
        assert await core.keeper.tend() == 8 * BLOCK


# --- when not


async def test_nothing_leaves_while_there_is_a_reason_to_wait(place: Place) -> None:
    """The brake, the first scan, a store not yet shown to be right, leases of an earlier run: whatever it is."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        core.obstacle = "the brake is engaged"
        core.clock.ahead = 2 * MONTH
        assert await core.keeper.tend() == 0
        await core.keeper.make_room(LIMIT)
        assert len(await hot(core)) == 18
        assert core.keeper.reason_to_wait() == "the brake is engaged"
        core.obstacle = None
        assert await core.keeper.tend() > 0


async def test_a_store_that_is_away_keeps_everything_hot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However full the disk is; and it is not asked about every asset there is, only to hear the same."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        core.clock.ahead = 2 * MONTH
        monkeypatch.setattr("tiering.keeper.AT_ONCE", 2)
        monkeypatch.setattr("tiering.keeper.PAGE", 3)
        core.store.script = [Fail(operation="head", error=UnavailableError("503"), times=None)]
        before = core.store.calls["head"]
        pages = mock.AsyncMock(wraps=core.catalog.candidates)
        monkeypatch.setattr(core.catalog, "candidates", pages)
        assert await core.keeper.tend() == 0
        assert len(await hot(core)) == 18
        assert core.store.calls["head"] - before <= 2
        assert pages.await_count == 1


async def test_one_asset_that_the_store_will_not_tell_of_stops_no_other(place: Place) -> None:
    """It is refused; the next one may not be."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        refusal = RefusedError("not this one")
        core.store.script = [Fail(operation="head", first=core.store.calls["head"] + 1, error=refusal)]
        assert await core.keeper.tend() == 8 * BLOCK


# --- room for a promotion


async def test_room_is_made_for_what_is_wanted(place: Place) -> None:
    """As much as it takes, of the coldest, whatever the marks say."""
    async with place.core(size_limit=LIMIT) as core:
        await core.cold("99", b"x" * 4 * BLOCK)
        await fill(core, 18)
        assert await core.read("99") == b"x" * 4 * BLOCK
        await until(lambda: len(core.promoter) == 0)
        assert await hot(core) == [*range(4, 18), 99]
        assert core.witness.demotions["space"] == 4
        assert not core.keeper.disk().full


async def test_where_there_is_room_nothing_leaves_for_it(place: Place) -> None:
    """Room that is there need not be made."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 16)
        await core.keeper.make_room(4 * BLOCK)
        assert len(await hot(core)) == 16


async def test_a_disk_that_stays_full_is_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Once, not to each who asks; and no more once there is room."""
    async with place.core(size_limit=LIMIT) as core:
        asset = await core.cold("99", b"x" * 4 * BLOCK)
        await fill(core, 18)
        ids = [each.id for each in await core.assets()]
        await core.catalog.set_pinned(ids, pinned=True)
        for _ in range(3):
            with pytest.raises(NoSpaceError):
                await core.promoter.begin(asset).wait()
        assert core.keeper.disk().full
        assert caplog.text.count("the disk is full") == 1
        await core.catalog.set_pinned(ids, pinned=False)
        await core.promoter.begin(asset).wait()
        assert not core.keeper.disk().full


async def test_what_is_spoken_for_counts_as_used(place: Place) -> None:
    """A promotion under way and the marks never both count on the same room."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 16)
        with core.space.reserve(2 * BLOCK):
            assert core.keeper.disk().used == 18 * BLOCK
            assert await core.keeper.tend() == 8 * BLOCK


# --- by itself


async def test_it_looks_at_once_when_woken(place: Place) -> None:
    """And otherwise every interval."""
    async with place.core(size_limit=LIMIT) as core:
        core.obstacle = "not yet"
        await fill(core, 18)
        running = asyncio.create_task(core.keeper.run())
        await asyncio.sleep(0)
        core.obstacle = None
        core.keeper.wake()
        await until(lambda: core.witness.demotions.total() == 8)
        core.keeper.interval = 0.0
        core.keeper.wake()
        core.clock.ahead = 2 * MONTH
        await until(lambda: core.witness.demotions.total() == 18)
        running.cancel()
        await asyncio.wait([running])


async def test_two_bouts_never_run_at_once(place: Place) -> None:
    """Both would free what one of them is to free."""
    async with place.core(size_limit=LIMIT) as core:
        await fill(core, 18)
        assert sorted(await asyncio.gather(core.keeper.tend(), core.keeper.tend())) == [0, 8 * BLOCK]
