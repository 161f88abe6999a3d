"""Short blocking work in threads, many calls to a hop: going there and back costs more than most of it."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Work = Callable[[], Any]
    Outcome = tuple[Any, Exception | None]

T = TypeVar("T")

TOGETHER: Final = 8
"""How many calls go to a thread at once: each waits for the others of its hop."""


class Lanes:
    """Runs functions in at most `count` threads. What is asked for while all are busy goes together in the next hop.

    For work of some hundred microseconds. Whatever waits for a slow disk holds up those that went with it.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._is_called = False

    def __repr__(self) -> str:
        return f"<Lanes {self._free} free, {len(self._waiting)} waiting>"

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises. It runs also where its caller is cancelled meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, future))
        if not self._is_called:
            # Not at once: all who ask in this turn of the loop go together.
            self._is_called = True
            loop.call_soon(self._start)
        return await future

    def _start(self) -> None:
        self._is_called = False
        while self._free and self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            self._free -= 1
            hop = asyncio.get_running_loop().run_in_executor(None, _perform, [work for work, _ in batch])
            hop.add_done_callback(partial(self._settle, [future for _, future in batch]))

    def _settle(self, futures: Sequence[asyncio.Future[Any]], hop: asyncio.Future[Sequence[Outcome]]) -> None:
        self._free += 1
        for future, (result, error) in zip(futures, _outcomes(hop, len(futures)), strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._start()


def _perform(works: Sequence[Work]) -> list[Outcome]:
    return [_attempt(work) for work in works]


def _attempt(work: Work) -> Outcome:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - it is its caller's to handle
        return None, error


def _outcomes(hop: asyncio.Future[Sequence[Outcome]], count: int) -> Sequence[Outcome]:
    """Return what became of each; where there was no thread to be had, all get the same error."""
    if hop.cancelled():
        return [(None, RuntimeError("the threads were stopped"))] * count
    error = hop.exception()
    if isinstance(error, Exception):
        return [(None, error)] * count
    return hop.result()
