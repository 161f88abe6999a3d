"""Paths that must be looked at again, each at its time: files whose writers are not done, directories just made."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.asset import RelPath

SHORTEST: Final = 0.05
LONGEST: Final = 1.0


class Revisits:
    """An appointment book. Times are those of the event loop. A path has one entry at most."""

    def __init__(self) -> None:
        # When, and how long the wait was. Those that are being looked at wait for ever, until somebody asks again.
        self._entries: dict[RelPath, tuple[float, float]] = {}
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Revisits {len(self._entries)}>"

    def __len__(self) -> int:
        return len(self._entries)

    def postpone(self, path: RelPath, *, now: float) -> None:
        """Look again soon; if it is asked for at that look too, less soon, and so on."""
        _, pause = self._entries.get(path, (0.0, SHORTEST / 2))
        pause = min(2 * pause, LONGEST)
        self._enter(path, now + pause, pause)

    def appoint(self, path: RelPath, *, at: float) -> None:
        """Look again at this time."""
        self._enter(path, at, SHORTEST / 2)

    def due(self, now: float) -> list[RelPath]:
        """Return the paths whose time has come. To be followed, after the look, by `close`."""
        paths = [path for path, (at, _) in self._entries.items() if at <= now]
        for path in paths:
            _, pause = self._entries[path]
            self._entries[path] = (math.inf, pause)
        return paths

    def close(self, paths: Iterable[RelPath]) -> None:
        """Strike out what was looked at and need not be looked at again."""
        for path in paths:
            if self._entries[path][0] == math.inf:
                del self._entries[path]

    async def wait_due(self) -> None:
        """Return once a path may be due."""
        self._changed.clear()
        soonest = min((at for at, _ in self._entries.values()), default=math.inf)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if soonest == math.inf else soonest):
                await self._changed.wait()

    def _enter(self, path: RelPath, at: float, pause: float) -> None:
        self._entries[path] = (at, pause)
        self._changed.set()
