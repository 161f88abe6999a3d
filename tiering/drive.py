"""Running a coroutine without an event loop, where it never has to wait."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


class MustWaitError(Exception):
    """What was asked for needs an event loop: it is to be done over there, from its beginning."""


def drive(work: Coroutine[object, object, T]) -> T:
    """Return what a coroutine returns that never has to wait. Raise RuntimeError where it does: that is a bug."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("this coroutine was not to wait for anything")


class Here:
    """Stands for lanes and a byte budget where a thread may block and there is nobody to wait for."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises."""
        return work()

    def take(self, _: object) -> AbstractAsyncContextManager[None]:
        """Have it at once."""
        return nullcontext()
