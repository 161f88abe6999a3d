"""Turns: one of us at a time has an asset's file, so that our own reading never passes for somebody else's."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from core import a_place, until

from index.asset import AssetId
from index.lifecycle import State
from tiering.drive import MustWaitError, drive
from tiering.source import Source
from tiering.turns import ThreadTurns, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

ONE, OTHER = AssetId("one"), AssetId("other")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def test_one_at_a_time_in_the_order_they_came() -> None:
    """Who has it is told that somebody waits; another asset is nobody's business; nothing is remembered."""
    turns = Turns()
    order = []

    async def want(name: str) -> None:
        async with turns.take(ONE):
            order.append(name)
            await asyncio.sleep(0)

    async with turns.take(ONE):
        assert not turns.is_awaited(ONE)
        tasks = [asyncio.create_task(want(name)) for name in "abc"]
        async with turns.take(OTHER):
            await asyncio.sleep(0)
        assert turns.is_awaited(ONE)
        tasks[1].cancel()
        assert order == []
    await asyncio.wait(tasks)
    assert order == ["a", "c"]
    assert not turns.is_awaited(ONE)
    assert repr(turns) == "<Turns with 0 lines>"


async def test_a_thread_takes_what_is_free_or_nothing() -> None:
    """It never waits; who comes after a thread waits until the loop is told that the thread is done."""
    turns = Turns()
    threads = ThreadTurns(turns)

    async def use() -> None:
        async with threads.take(ONE):
            assert not turns.take_now(ONE)

    async with turns.take(ONE):
        with pytest.raises(MustWaitError):
            drive(use())
    await asyncio.to_thread(drive, use())
    waiting = asyncio.create_task(_pass(turns))
    await asyncio.sleep(0)
    assert turns.is_awaited(ONE)
    threads.settle()
    await waiting
    assert repr(threads) == "<ThreadTurns of <Turns with 0 lines>>"


async def _pass(turns: Turns) -> None:
    async with turns.take(ONE):
        pass


class Held:
    """Stops the first read of a file's content until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reading = asyncio.Event()
        self.go = threading.Event()
        loop, read = asyncio.get_running_loop(), Source._read_exactly

        def slowly(source: Source, start: int, size: int) -> bytes:
            loop.call_soon_threadsafe(self.reading.set)
            assert self.go.wait(30)
            return read(source, start, size)

        monkeypatch.setattr(Source, "_read_exactly", slowly)


async def touched(core: Core) -> None:
    """Read a file again whose ctime moved on, as a scan has it done."""
    (core.tree.root / "f").chmod(0o600)
    (row,) = await core.catalog.below("f")
    core.reconciler._rehasher.offer([row])
    await core.reconciler._rehasher.run()


async def scrubbed(core: Core) -> None:
    """Read a file again that nobody touched."""
    await core.scrubber.hash_files()


async def demoted(core: Core, asset: Asset) -> State:
    """Demote it by hand; return what it is then."""
    return (await core.demoter.demote(asset, reason="request")).asset.state


async def removed(core: Core, asset: Asset) -> State:
    """Remove it; return what it is then."""
    return (await core.registry.remove(asset.path)).state


@pytest.mark.parametrize("reader", [touched, scrubbed])
@pytest.mark.parametrize(("leave", "after"), [(demoted, State.COLD), (removed, State.GONE)])
async def test_our_own_reading_is_in_nobodys_way(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    reader: Callable[[Core], Awaitable[None]],
    leave: Callable[[Core, Asset], Awaitable[State]],
    after: State,
) -> None:
    """What leaves the disk waits until we have read it; the kernel would only say that somebody has it open."""
    async with place.core() as core:
        asset = await core.hot("f", b"content")
        core.clock.ahead += 40 * 86_400
        held = Held(monkeypatch)
        reading = asyncio.create_task(reader(core))
        await held.reading.wait()
        leaving = asyncio.create_task(leave(core, asset))
        await until(lambda: core.turns.is_awaited(asset.id) or leaving.done())
        held.go.set()
        assert await leaving is after
        assert core.on_disk("f") is None
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_file_that_is_wanted_is_not_hashed_to_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file takes the scrubber hours: it leaves it, and says that it does not know."""
    monkeypatch.setattr("tiering.hasher.PIECE", 2)
    async with place.core() as core:
        asset = await core.hot("f", b"content")
        core.clock.ahead += 40 * 86_400
        held = Held(monkeypatch)
        hashing = asyncio.create_task(core.scrubber.hash_files())
        await held.reading.wait()
        leaving = asyncio.create_task(demoted(core, asset))
        await until(lambda: core.turns.is_awaited(asset.id))
        held.go.set()
        await hashing
        assert await leaving is State.COLD
        assert core.witness.checks == {("hash", "unknown"): 1}
