"""The same work for many items, some at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

T = TypeVar("T")


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
