"""What the kernel says happens in the tree. A hint, nothing more: events are lost without a word.

They are lost when a directory is new, when the queue overflows (for which reading files is enough), and when a name is
not UTF-8, which ends the watch. Whoever acts on hints must look at everything from time to time all the same.

The watch follows symbolic links, out of the root, too, and names what lies beneath one by any of the ways to it. A hint
names where it truly is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from watchfiles import watch

from index.asset import RelPath

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from watchfiles import Change

    from tiering.observer import Observer
    from tiering.tree import Tree

ALL: Final = frozenset({RelPath("")})
"""Look at everything. `""`, the root itself, in any other set means the same."""

MOST_PATHS: Final = 5_000
"""More hints at once than this are not worth looking at one by one, and a sign that others were lost."""

_STEP_MS: Final = 20
_LONGEST_WAIT_MS: Final = 100
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
_CALM_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


async def hints(tree: Tree, *, observer: Observer) -> AsyncGenerator[frozenset[RelPath], None]:
    """Yield, for ever, sets of paths that something happened to; `ALL` whenever a watch has just begun."""
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        began = loop.time()
        try:
            async for batch in _watch_once(tree):
                yield batch
        except (RuntimeError, OSError) as error:
            log.warning("the watch on %s ended and is begun again: %s", tree.root, error)
        observer.overflowed()
        if loop.time() - began > _CALM_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


async def _watch_once(tree: Tree) -> AsyncIterator[frozenset[RelPath]]:
    """Yield hints until the watch fails. It is set up in its own thread: in a large tree that takes a while."""
    batches = watch(
        tree.root,
        watch_filter=None,
        debounce=_LONGEST_WAIT_MS,
        step=_STEP_MS,
        rust_timeout=_LONGEST_WAIT_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=True,
        ignore_permission_denied=True,
    )
    thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
    advance = partial(asyncio.get_running_loop().run_in_executor, thread)
    try:
        root = await advance(_identity, tree)
        # The first answer, be it that nothing happened, shows that the watch is in place: what was before is unknown.
        hint = await advance(_next_hint, tree, batches)
        yield ALL
        while hint is not None:
            if hint:
                yield hint
            # A watch stays with the directory that it began with, and says nothing when a disk is mounted over it.
            if await advance(_identity, tree) != root:
                raise OSError("there is another directory at the cache root now")
            hint = await advance(_next_hint, tree, batches)
    finally:
        thread.shutdown(wait=False)


def _identity(tree: Tree) -> tuple[int, int]:
    seen = tree.root.stat()
    return seen.st_dev, seen.st_ino


def _next_hint(tree: Tree, batches: Iterator[set[tuple[Change, str]]]) -> frozenset[RelPath] | None:
    """Return what to look at, perhaps nothing; None once the watch is over."""
    changes = next(batches, None)
    if changes is None:
        return None
    hint = frozenset(_true_paths(tree, (path for _, path in changes)))
    return ALL if len(hint) > MOST_PATHS else hint


def _true_paths(tree: Tree, paths: Iterable[str]) -> Iterator[RelPath]:
    """Yield what lies beneath the root and is not ignored, by the path that leads there without a symbolic link."""
    true_directory = cache(os.path.realpath)
    root = true_directory(str(tree.root))
    for path in paths:
        directory, name = os.path.split(path)
        within = "." if path == str(tree.root) else os.path.relpath(f"{true_directory(directory)}/{name}", root)
        if within == ".":
            yield RelPath("")
        elif within.partition("/")[0] != ".." and not tree.is_ignored(within):
            yield RelPath(within)
