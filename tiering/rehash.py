"""Reading a replicated file again where its ctime moved on.

A new mode or name keeps the proof, new content does not.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.changes import Change, Observations
from index.errors import CatalogError
from index.lifecycle import Event, State
from tiering.source import AlteredError, NotYetError, Source
from tiering.tree import ChangedError, FileError, translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from index.rows import Known
    from tiering.tree import Tree
    from tiering.turns import Turns

HASH_STEP: Final = 16 << 20
MOST_WAITING: Final = 1_000
"""What has no room is seen by the next scan again."""

log = logging.getLogger(__name__)


async def rehash(catalog: Catalog, tree: Tree, asset: Asset, *, settle: float) -> Asset:
    """Read the file and return the asset as it is then, with the ctime at which it was read.

    Raise ChangedError where it has other content, which the index knows then, or is being written; FileError where it
    cannot be read, CatalogError where the asset has moved on.
    """
    source = Source(tree, asset, settle=settle)
    try:
        with source, translated(asset.path):
            await asyncio.to_thread(source.open)
            digests = await asyncio.to_thread(source.hash_parts, HASH_STEP)
    except (AlteredError, NotYetError) as error:
        raise ChangedError(asset.path, str(error)) from error
    if asset.proof is None or digests.sha256 != asset.proof.sha256:
        await catalog.apply(Change.about(asset, Event.CHANGED, sighting=source.sighting))
        raise ChangedError(asset.path, "has other content than was uploaded, though its size and time are the same")
    await catalog.observe(Observations(refreshed=[(asset.id, source.sighting)]))
    return await catalog.get(asset.id)


class Rehasher:
    """Reads touched files again, one at a time and once each, so that no scan waits for their content."""

    def __init__(self, catalog: Catalog, tree: Tree, *, turns: Turns, settle: float) -> None:
        self._catalog = catalog
        self._tree = tree
        self._turns = turns
        self._settle = settle
        self._waiting: dict[AssetId, None] = {}
        self._wanted = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Rehasher {len(self._waiting)} waiting>"

    def offer(self, rows: Iterable[Known]) -> None:
        """Have these read again, as far as there is room."""
        for row in rows:
            if len(self._waiting) >= MOST_WAITING:
                break
            self._waiting[row.id] = None
        if self._waiting:
            self._wanted.set()

    async def run(self) -> None:
        """Read what is offered, for ever."""
        while True:
            await self._wanted.wait()
            asset_id = next(iter(self._waiting))
            async with self._turns.take(asset_id):
                await self._read(asset_id)
            del self._waiting[asset_id]
            if not self._waiting:
                self._wanted.clear()

    async def _read(self, asset_id: AssetId) -> None:
        try:
            asset = await self._catalog.get(asset_id)
            if asset.state is State.REPLICATED:
                await rehash(self._catalog, self._tree, asset, settle=self._settle)
        except (FileError, CatalogError) as error:
            # Not read, it is offered again by the next scan; changed, it is uploaded.
            log.info("touched: %s", printable(str(error)))
