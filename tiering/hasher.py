"""Hashes a file again that should be as it was: new content under an old size and time shows in its hash alone."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.changes import Change, Observations
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import Event
from tiering.source import AlteredError, NotYetError, Source
from tiering.tree import FileError

if TYPE_CHECKING:
    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.pacing import Bandwidth
    from tiering.tree import Tree

log = logging.getLogger(__name__)

PIECE: Final = 1 << 20


class Hasher:
    """Compares replicated files with what was uploaded. What was touched since, and differs, is a new generation."""

    def __init__(self, catalog: Catalog, tree: Tree, *, bandwidth: Bandwidth, settle: float) -> None:
        self._catalog = catalog
        self._tree = tree
        self._bandwidth = bandwidth
        self._settle = settle

    async def check(self, asset: Asset) -> str:
        """Return `right`, `changed` where its owner works with it, or `rotten`."""
        source = Source(self._tree, asset, settle=self._settle)
        try:
            with source:
                await asyncio.to_thread(source.open)
                digest = await self._digest(source)
                await asyncio.to_thread(source.confirm)
        except (AlteredError, NotYetError, FileError, OSError):
            return "changed"  # Somebody works with it: the next scan says more.
        was_touched = source.sighting.ctime_ns != asset.ctime_ns
        if digest == asset.sha256:
            if was_touched:
                await self._catalog.observe(Observations(refreshed=[(asset.id, source.sighting)]))
            return "right"
        if was_touched:
            await self._note_change(asset, source)
            return "changed"
        log.error("rotten: %s: the file is not what was uploaded; its remote copy is right", printable(asset.path))
        return "rotten"

    async def _digest(self, source: Source) -> str:
        sha256 = hashlib.sha256()
        for number in range(1, -(-source.sighting.fingerprint.size // PIECE) + 1):
            await self._bandwidth.take(PIECE)
            piece = await asyncio.to_thread(source.read_part, number, PIECE)
            await asyncio.to_thread(sha256.update, piece)
        return sha256.hexdigest()

    async def _note_change(self, asset: Asset, source: Source) -> None:
        """Take in new content under an old size and time: only its hash, and its ctime, tell it."""
        try:
            await self._catalog.apply(Change.about(asset, Event.CHANGED, sighting=source.sighting))
        except (StaleTransitionError, UnknownAssetError) as error:
            log.info("not changed after all: %s", error)
