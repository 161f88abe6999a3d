"""Who of us has something: one at a time.

Of an asset's file, since the kernel tells that somebody has it open, but not who: without turns, a file that we
ourselves read would pass for one that somebody else uses, and would be refused for a demotion.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiering.drive import MustWaitError, drive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Turns:
    """A line for each asset, or key, that one of us has or wants."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        return f"<Turns with {len(self._lines)} lines>"

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for those who came first, and keep the rest waiting meanwhile."""
        line = self._lines.setdefault(name, _Line())
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            self._leave(name, line)

    def take_now(self, name: str) -> bool:
        """Take it if nobody has it, until `give_back`. From any thread."""
        line = _Line(length=1)
        drive(line.lock.acquire())
        # One act, as a dictionary does it: of two threads only one finds its own line there.
        return self._lines.setdefault(name, line) is line

    def give_back(self, name: str) -> None:
        """Let the next one have what was taken by `take_now`."""
        line = self._lines[name]
        line.lock.release()
        self._leave(name, line)

    def is_awaited(self, name: str) -> bool:
        """Whether somebody waits for who has this file now: what can be done another time should end."""
        line = self._lines.get(name)
        return line is not None and line.length > 1

    def _leave(self, name: str, line: _Line) -> None:
        line.length -= 1
        if not line.length:
            del self._lines[name]


class ThreadTurns:
    """The same turns for threads, none of which waits: who finds something taken raises MustWaitError."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._had: deque[str] = deque()

    def __repr__(self) -> str:
        return f"<ThreadTurns of {self._turns!r}>"

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Take it at once, until somebody calls `settle` after this has ended."""
        if not self._turns.take_now(name):
            raise MustWaitError(name)
        try:
            yield
        finally:
            self._had.append(name)

    def settle(self) -> None:
        """Give back what threads had, in the loop of those who may wait for it."""
        while self._had:
            self._turns.give_back(self._had.popleft())
