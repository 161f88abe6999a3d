"""A clock that moves when it is told to, and an event loop on it in which waiting takes no time and nothing is chance.

There is one thread. What the product gives to worker threads runs on the loop, after and before some turns of it: as
many as `turns` says, so that what a thread would have left to the scheduler is left to the case.
"""

# ruff: noqa: D102 - the calls are those of time and asyncio, and do what those do

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

BEGINNING_NS = 1_800_000_000 * 10**9


class Clock:
    """Stands in for the module `time`, and is the clock that the core is given."""

    def __init__(self) -> None:
        self.passed_ns = 0
        self._offset_ns = BEGINNING_NS

    def __call__(self) -> float:
        return self.time()

    def time(self) -> float:
        return self.time_ns() / 1e9

    def time_ns(self) -> int:
        return self._offset_ns + self.passed_ns

    def monotonic(self) -> float:
        return self.passed_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.passed_ns += int(seconds * 1e9)

    def jump(self, seconds: float) -> None:
        """Set the time of day another way, as people and NTP do; no time passes."""
        self._offset_ns += int(seconds * 1e9)


class StalledError(Exception):
    """Everything waits, and nothing will ever happen."""


class _Sleep:
    """The loop's way to wait for what comes first: nothing comes from outside, so it is always the next timer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StalledError
        # A microsecond more, so that the timer is due and not almost due.
        self._clock.sleep(timeout + 1e-6 if timeout > 0 else 0)
        return []


class Loop(asyncio.BaseEventLoop):
    """An event loop of one thread, without sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.turns: Callable[[], int] = int
        self._selector = _Sleep(self.clock)
        # A nanosecond is less than a float can tell after half a year: a timer that is due would never be over.
        self._clock_resolution = 1e-6

    def renew(self) -> None:
        """Begin anew at the beginning of time."""
        self.clock = Clock()
        self._selector = _Sleep(self.clock)

    def time(self) -> float:
        return self.clock.monotonic()

    def _process_events(self, events: Any) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits
            future.set_exception(error)
        return future

    async def to_thread(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Stand in for asyncio.to_thread."""
        await self.pass_turns()
        result = work(*args, **named)
        await self.pass_turns()
        return result

    async def pass_turns(self) -> None:
        """Let others run for a while."""
        for _ in range(self.turns()):
            await asyncio.sleep(0)
