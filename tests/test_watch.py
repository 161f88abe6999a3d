"""Hints come quickly, and their loss is never silent."""

from __future__ import annotations

import asyncio
import statistics
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from trees import make_tree, plant

from tiering import notices as notices_module
from tiering.directories import BlindSpots
from tiering.notices import ALL
from tiering.observer import SilentObserver
from tiering.watch import hints

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from index.asset import RelPath
    from tiering.tree import Tree


class Overflows(SilentObserver):
    """Counts the ends of watches."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = asyncio.Event()

    def overflowed(self) -> None:
        """See Observer."""
        self.count += 1
        self.ended.set()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a tree with a directory `d`."""
    tree = make_tree(tmp_path / "media")
    (tree.root / "d").mkdir()
    return tree


@pytest.fixture
def observer() -> Overflows:
    """Return who counts."""
    return Overflows()


@pytest.fixture
async def batches(tree: Tree, observer: Overflows) -> AsyncIterator[AsyncGenerator[frozenset[RelPath], None]]:
    """Return the hints of a watch that is in place."""
    async with asyncio.timeout(30), aclosing(hints(tree, observer=observer, blind=BlindSpots())) as running:
        assert await anext(running) == ALL
        yield running


async def until_hint(batches: AsyncGenerator[frozenset[RelPath], None], path: str) -> frozenset[RelPath]:
    """Read hints until one is about `path`; return what came meanwhile."""
    seen: set[RelPath] = set()
    async for batch in batches:
        seen |= batch
        if path in batch:
            break
    return frozenset(seen)


@pytest.mark.parametrize("name", ["plain", "new\nline", "back\\slash", "100%", "ünï-日本-🎬", "n" * 255])
async def test_a_file_is_hinted_at_by_its_relative_path(
    tree: Tree, batches: AsyncGenerator[frozenset[RelPath], None], name: str
) -> None:
    """Whatever it is called."""
    plant(tree, f"d/{name}")
    assert await until_hint(batches, f"d/{name}") <= {f"d/{name}", "d"}


async def test_what_is_ignored_is_not_hinted_at(tree: Tree, batches: AsyncGenerator[frozenset[RelPath], None]) -> None:
    """Neither what is ours nor what nobody wants."""
    for path in (".tierd/trash/x", "d/x.part", "d/.x/y", "d/x.tmp"):
        plant(tree, path)
    plant(tree, "d/f")
    assert await until_hint(batches, "d/f") <= {"d/f", "d"}


async def test_symbolic_links_hide_nothing(tree: Tree, observer: Overflows) -> None:
    """A directory that links lead to, too, ignored ones even, is hinted at by its own path; what is outside is not."""
    directories = [f"d{number}" for number in range(8)]
    for name in directories:
        (tree.root / name).mkdir()
        (tree.root / f"to-{name}").symlink_to(name)
        (tree.root / f".to-{name}").symlink_to(name)
    (tree.root / "up").symlink_to("..")
    async with asyncio.timeout(30), aclosing(hints(tree, observer=observer, blind=BlindSpots())) as batches:
        assert await anext(batches) == ALL
        tree.root.with_name("outside").touch()
        wanted = {f"{name}/f" for name in directories}
        for path in wanted:
            plant(tree, path)
        seen: set[str] = set()
        while not wanted <= seen:
            seen |= await anext(batches)
        assert seen <= wanted | set(directories)


async def test_a_hint_comes_within_a_tenth_of_a_second(
    tree: Tree, batches: AsyncGenerator[frozenset[RelPath], None]
) -> None:
    """Half of them do, from the file's close on."""
    loop = asyncio.get_running_loop()
    waits = []
    for number in range(9):
        plant(tree, f"d/{number}")
        closed = loop.time()
        await until_hint(batches, f"d/{number}")
        waits.append(loop.time() - closed)
    assert statistics.median(waits) < 0.1


async def test_a_name_that_is_not_utf8_costs_nobody_else_his_hints(
    tree: Tree, observer: Overflows, batches: AsyncGenerator[frozenset[RelPath], None]
) -> None:
    """Everything is to be looked at then, the loss is counted, and hints go on but for that directory."""
    plant(tree, "d/bad\udcff")
    assert "" in await until_hint(batches, "")
    assert observer.count == 1
    plant(tree, "f")
    await until_hint(batches, "f")
    assert observer.count == 1


async def test_a_root_that_goes_and_comes_is_watched_again(
    tree: Tree, observer: Overflows, batches: AsyncGenerator[frozenset[RelPath], None]
) -> None:
    """A disk that is unmounted, and mounted again later, is watched from then on."""
    aside = tree.root.with_name("aside")
    tree.root.rename(aside)

    async def watched_again() -> None:
        while not observer.count:
            await until_hint(batches, "")

    again = asyncio.ensure_future(watched_again())
    await observer.ended.wait()
    aside.rename(tree.root)
    await again
    plant(tree, "d/f")
    await until_hint(batches, "d/f")


async def test_a_flood_is_one_hint_at_everything(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, batches: AsyncGenerator[frozenset[RelPath], None]
) -> None:
    """Thousands of paths are not looked at one by one."""
    monkeypatch.setattr(notices_module, "MOST_PATHS", 50)
    plants = asyncio.to_thread(lambda: [plant(tree, f"d/{number}") for number in range(1000)])
    planting = asyncio.ensure_future(plants)
    assert "" in await until_hint(batches, "")
    await planting


async def test_the_watch_ends_with_its_reader(tree: Tree, observer: Overflows) -> None:
    """Cancelling who waits for a hint ends the thread that waits for the kernel."""
    waiting = asyncio.Event()

    async def read() -> None:
        async with aclosing(hints(tree, observer=observer, blind=BlindSpots())) as running:
            async for _ in running:
                waiting.set()

    task = asyncio.create_task(read())
    await waiting.wait()
    (watcher,) = (thread for thread in threading.enumerate() if thread.name.startswith("watch"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(watcher.join, 20)
    assert not watcher.is_alive()
