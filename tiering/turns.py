"""Who of us has an asset's file: one at a time.

The kernel tells that somebody has a file open, not who. Without turns, a file that we ourselves read would pass for one
that somebody else uses, and would be refused for a demotion.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from index.asset import AssetId


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Turns:
    """A line for each asset whose file one of us has or wants."""

    def __init__(self) -> None:
        self._lines: dict[AssetId, _Line] = {}

    def __repr__(self) -> str:
        return f"<Turns of {len(self._lines)} assets>"

    @asynccontextmanager
    async def take(self, asset_id: AssetId) -> AsyncIterator[None]:
        """Wait for those who came first, and keep the rest waiting meanwhile."""
        line = self._lines.setdefault(asset_id, _Line())
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[asset_id]

    def is_awaited(self, asset_id: AssetId) -> bool:
        """Whether somebody waits for who has this file now: what can be done another time should end."""
        line = self._lines.get(asset_id)
        return line is not None and line.length > 1
