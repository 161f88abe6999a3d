"""Accesses, gathered in memory and written in batches: a lost batch loses a few seconds of heat and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from index.errors import IndexFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset, AssetId
    from index.catalog import Catalog

FLUSH_SECONDS: Final = 5.0


class Accesses:
    """Who was asked for since the last batch: at most one entry an asset."""

    def __init__(self, catalog: Catalog, *, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._recent: dict[AssetId, tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<Accesses {len(self._recent)} to write>"

    def record(self, asset: Asset) -> None:
        """Somebody opened or read it now."""
        _, count = self._recent.get(asset.id, (0.0, 0))
        self._recent[asset.id] = (self._clock(), count + 1)

    async def run(self) -> None:
        """Write what was gathered every few seconds, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered."""
        batch, self._recent = self._recent, {}
        if batch:
            # For want of room a few seconds of heat are lost, too.
            with suppress(IndexFullError):
                await self._catalog.touch(batch)
