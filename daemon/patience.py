"""A start that takes long: the service manager is asked to wait, for as long as the start makes progress."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from daemon.notify import Notifier

LOOK_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 60.0
"""How long the service manager is to wait from each look on."""
LEAST_WORK_SECONDS: Final = 0.05
"""Processor time between two looks below which nothing goes on: a start that hangs is not to be waited for."""


@asynccontextmanager
async def patience(notifier: Notifier) -> AsyncIterator[None]:
    """Ask for patience while the block runs: an index is checked, or what the last stop interrupted is read again."""
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(notifier), name="patience")
        yield
        asking.cancel()


async def _ask(notifier: Notifier) -> None:
    work = _work()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        before, work = work, _work()
        if work.seconds - before.seconds >= LEAST_WORK_SECONDS or work.blocks > before.blocks:
            notifier.starting(within=WAIT_SECONDS)


class _Work(NamedTuple):
    """What this process has done so far: processor time, and blocks that went to disks and came from them."""

    seconds: float
    blocks: int


def _work() -> _Work:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return _Work(used.ru_utime + used.ru_stime, used.ru_inblock + used.ru_oublock)
