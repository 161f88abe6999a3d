"""Hashes a file again that nobody has touched: what a disk has let rot shows in its hash alone."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Final

from index.asset import printable
from tiering.source import AlteredError, NotYetError, Source
from tiering.tree import FileError

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.pacing import Bandwidth
    from tiering.tree import Tree
    from tiering.turns import Turns

log = logging.getLogger(__name__)

PIECE: Final = 1 << 20


class Hasher:
    """Compares replicated files with what was uploaded, slowly."""

    def __init__(self, tree: Tree, *, turns: Turns, bandwidth: Bandwidth, settle: float) -> None:
        self._tree = tree
        self._turns = turns
        self._bandwidth = bandwidth
        self._settle = settle

    async def check(self, asset: Asset) -> str:
        """Return `right`, `rotten`, `unknown` where its file is wanted for something else, or `changed`.

        What was touched since is read again by the reconciler.
        """
        source = Source(self._tree, asset, settle=self._settle)
        try:
            async with self._turns.take(asset.id):
                with source:
                    await asyncio.to_thread(source.open)
                    digest = await self._digest(source)
                    await asyncio.to_thread(source.confirm)
        except (AlteredError, NotYetError, FileError, OSError):
            return "changed"
        if digest is None:
            return "unknown"
        if source.sighting.ctime_ns != asset.ctime_ns:
            return "changed"
        if digest == asset.sha256:
            return "right"
        log.error(
            "rotten: %s: the file is not what was uploaded; its remote copy is right",
            printable(asset.path),
            extra={"asset": asset.id},
        )
        return "rotten"

    async def _digest(self, source: Source) -> str | None:
        """Return the digest of the content; None where it was left because somebody waits for the file."""
        sha256 = hashlib.sha256()
        for number in range(1, -(-source.sighting.fingerprint.size // PIECE) + 1):
            if self._turns.is_awaited(source.asset.id):
                return None
            await self._bandwidth.take(PIECE)
            piece = await asyncio.to_thread(source.read_part, number, PIECE)
            await asyncio.to_thread(sha256.update, piece)
        return sha256.hexdigest()
