"""Work that is somebody's: of a group that outlives whoever asked for it, or the same for many items."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from tiering.store import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

T = TypeVar("T")


def begin(group: asyncio.TaskGroup, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Have the group do the work. Raise UnavailableError where the group is ending, and the daemon with it."""
    try:
        return group.create_task(work, name=name)
    except RuntimeError as error:
        work.close()
        raise UnavailableError("the daemon is ending", hint="ask again when it has started") from error


async def for_each(items: Collection[T], work: Callable[[T], Awaitable[None]], *, at_once: int, name: str) -> None:
    """Do the work for every item, in their order, for at most `at_once` of them at a time.

    The first that fails cancels the others, and its error is raised.
    """
    todo = iter(items)

    async def take() -> None:
        for item in todo:
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(at_once, len(items))):
                workers.create_task(take(), name=name)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
