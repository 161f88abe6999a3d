"""What the kernel says happens in the tree. A hint, nothing more: events are lost without a word.

They are lost when a directory is new and when the queue overflows, for which reading files is enough; and of some
directories there are none to be had. Whoever acts on hints must look at everything from time to time all the same.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from tiering.notices import ALL, Notices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from index.asset import RelPath
    from tiering.directories import BlindSpots
    from tiering.observer import Observer
    from tiering.tree import Tree

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
_CALM_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


async def hints(tree: Tree, *, observer: Observer, blind: BlindSpots) -> AsyncGenerator[frozenset[RelPath], None]:
    """Yield, for ever, sets of paths that something happened to; `ALL` whenever a watch has just begun.

    `blind` is kept to name the directories of which no hint comes.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        began = loop.time()
        try:
            async for batch in _watch_once(Notices(tree, blind), observer):
                yield batch
        except (RuntimeError, OSError) as error:
            log.warning("the watch on %s ended and is begun again: %s", tree.root, error)
        observer.overflowed()
        if loop.time() - began > _CALM_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


async def _watch_once(notices: Notices, observer: Observer) -> AsyncIterator[frozenset[RelPath]]:
    """Yield hints until the watch fails. It is set up in its own thread: in a large tree that takes a while."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
    advance = partial(asyncio.get_running_loop().run_in_executor, thread)
    lost = 0
    try:
        await advance(notices.open)
        # What was before is unknown.
        yield ALL
        while True:
            hint = await advance(notices.advance)
            for _ in range(notices.losses - lost):
                observer.overflowed()
            lost = notices.losses
            if hint:
                yield hint
    finally:
        thread.submit(notices.close)
        thread.shutdown(wait=False)
