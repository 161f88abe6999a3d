"""How much at once: slots that a throttling store halves, bytes that memory bounds, and a rate that people set."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RETRY_FIRST: Final = 1.0
RETRY_MOST: Final = 300.0
PAUSE_LEAST: Final = 0.1
PAUSE_MOST: Final = 60.0


def backoff(attempts: int, *, first: float = RETRY_FIRST, most: float = RETRY_MOST) -> float:
    """Return the seconds to wait after `attempts` failures: exponential, with full jitter above half."""
    ceiling = min(most, first * 2.0 ** min(attempts - 1, 30))
    return ceiling * random.uniform(0.5, 1.0)


class Pacer:
    """Slots for requests to the store: fewer when it asks for less, none for a while when it does not answer.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989): a throttled request halves the limit, `limit`
    good ones in a row raise it by one. `clock` must never be set back: a pause lasts until it says so.
    """

    def __init__(self, most: int, *, clock: Callable[[], float]) -> None:
        self._most = most
        self._limit = float(most)
        self._clock = clock
        self._failures = 0
        self._halved_at = -math.inf
        self.resume_at = 0.0
        self.reason = ""

    def __repr__(self) -> str:
        return f"<Pacer {self.limit} of {self._most}, {self._failures} failures>"

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return max(1, int(self._limit))

    @property
    def is_reachable(self) -> bool:
        """Whether the last word from the store was an answer."""
        return self._failures == 0

    @property
    def pause_left(self) -> float:
        """The seconds in which nothing may be begun; 0.0 when there is no pause."""
        return max(0.0, self.resume_at - self._clock())

    def succeeded(self) -> None:
        """The store did what was asked."""
        self._failures = 0
        self.resume_at = 0.0
        self.reason = ""
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def throttled(self) -> None:
        """The store asks for less; one burst of such answers counts once."""
        now = self._clock()
        if now - self._halved_at >= 1.0:
            self._halved_at = now
            self._limit = max(1.0, self._limit / 2)

    def failed(self, reason: str) -> None:
        """The store did not answer: nothing new is begun for a while, and one failure a pause counts."""
        now = self._clock()
        self.reason = reason
        if now >= self.resume_at:
            self._failures += 1
            self.resume_at = now + backoff(self._failures, most=PAUSE_MOST)

    async def wait_pause(self) -> None:
        """Wait until something may be begun again."""
        await asyncio.sleep(max(PAUSE_LEAST, self.pause_left))


class ByteBudget:
    """Bounds the bytes in memory. One that asks for more than all of it waits for all of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def __repr__(self) -> str:
        return f"<ByteBudget {self._most - self._free} of {self._most}, {len(self._waiting)} waiting>"

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes; first come, first served, so that a large one is never starved by small ones."""
        size = min(size, self._most)
        await self._acquire(size)
        try:
            yield
        finally:
            self._free += size
            self._hand_out()

    async def _acquire(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free += size
            self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif size <= self._free:
                self._waiting.popleft()
                self._free -= size
                turn.set_result(None)
            else:
                return


class Bandwidth:
    """A rate in bytes per second; None lets everything pass. Virtual scheduling: each taker books its own time."""

    def __init__(self, rate: int | None, *, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may be sent."""
        if self.rate is None:
            return
        now = self._clock()
        start = max(now, self._free_at)
        self._free_at = start + size / self.rate
        try:
            await asyncio.sleep(start - now)
        except asyncio.CancelledError:
            self._free_at -= size / self.rate
            raise
