"""Accesses are gathered and written in batches: many reads of one asset are one row, once in a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from core import a_place, until

from tiering import accesses as module

if TYPE_CHECKING:
    from pathlib import Path

    from core import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def test_many_accesses_are_one_row(place: Place) -> None:
    """The last time, and how many there were; each is counted once."""
    async with place.core() as core:
        asset = await core.hot("a")
        other = await core.hot("b")
        core.clock.ahead = 100.0
        for _ in range(7):
            core.accesses.record(asset, hit=True)
        assert (await core.find("a")).access_count == 0
        for _ in range(2):
            await core.accesses.flush()
            after = await core.find("a")
            assert after.access_count == 7
            assert after.last_access > asset.last_access + 90
        assert await core.find("b") == other
        core.accesses.record(after, hit=True)
        await core.accesses.flush()
        assert (await core.find("a")).access_count == 8


async def test_they_are_written_now_and_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anybody asking."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
    async with place.core() as core:
        asset = await core.hot("a")
        running = asyncio.create_task(core.accesses.run())
        core.accesses.record(asset, hit=True)
        await until(lambda: not core.accesses._recent)
        running.cancel()
        await asyncio.wait([running])
        await core.accesses.flush()
        assert (await core.find("a")).access_count == 1


async def test_an_asset_that_is_gone_disturbs_no_other(place: Place) -> None:
    """It was removed since it was read."""
    async with place.core() as core:
        gone, here = await core.hot("gone"), await core.hot("here")
        core.accesses.record(gone, hit=True)
        core.accesses.record(here, hit=True)
        await core.registry.remove(gone.path)
        await core.registry._purge_all()
        core.clock.ahead = 1e9
        await core.catalog.forget_gone(core.clock())
        await core.accesses.flush()
        assert (await core.find("here")).access_count == 1


async def test_the_latest_are_remembered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, how large, how often; in order, and no more than are kept."""
    monkeypatch.setattr("index.warmth.KEPT", 3)
    async with place.core() as core:
        some = [await core.hot(name, b"x" * number) for number, name in enumerate("abcde", 1)]
        for asset in (*some, some[-1]):
            core.accesses.record(asset, hit=True)
        await core.accesses.flush()
        page, cursor = await core.catalog.accesses(0, limit=10)
        assert [(each.size, each.times) for each in page] == [(3, 1), (4, 1), (5, 2)]
        assert await core.catalog.accesses(cursor, limit=10) == ([], cursor)


async def test_the_curve_knows_what_earlier_lives_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every read once, however often it is told and whatever is still to be written."""
    monkeypatch.setattr(module, "PAGE", 2)
    async with place.core() as core:
        for name in "abc":
            asset = await core.hot(name)
            for _ in range(3):
                core.accesses.record(asset, hit=True)
        await core.accesses.flush()
        await core.accesses.follow()
        before = core.accesses._curve.read()
    assert (before.assets, before.requests) == (3, 9)
    async with place.core() as core:
        core.accesses.record(await core.find("a"), hit=True)
        for _ in range(2):
            await core.accesses.follow()
            assert core.accesses._curve.read() == before
        await core.accesses.flush()
        await core.accesses.follow()
        assert core.accesses._curve.read().requests == 10
