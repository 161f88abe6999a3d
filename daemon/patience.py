"""A start that takes long: the service manager is asked to wait, for as long as the start makes progress."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

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
    spent = time.process_time()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        before, spent = spent, time.process_time()
        if spent - before >= LEAST_WORK_SECONDS:
            notifier.starting(within=WAIT_SECONDS)
