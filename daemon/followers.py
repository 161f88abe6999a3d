"""Answers that would go on for ever, and the one way to end them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Followers:
    """Those who wait for what happens next. `close` wakes everybody and lets nobody wait again."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self.closed = False

    def __repr__(self) -> str:
        return f"<Followers {len(self._waits)} waiting{', closed' if self.closed else ''}>"

    async def wait(self, what: Awaitable[object], *, seconds: float) -> bool:
        """Return whether `what` has happened before the time was over or we were closed."""
        scope = asyncio.timeout(0 if self.closed else seconds)
        self._waits.add(scope)
        try:
            async with scope:
                await what
                return True
        except TimeoutError:
            if not scope.expired():
                raise
            return False
        finally:
            self._waits.discard(scope)

    def close(self) -> None:
        """End every wait, now and from now on."""
        self.closed = True
        for scope in self._waits:
            scope.reschedule(asyncio.get_running_loop().time())
