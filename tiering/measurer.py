"""Measures what has come into the store: width, height and duration, which are then found beside what people say.

Later than the upload, so that no upload waits for it, and only while none does; a small part of the time at most.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

from index.lifecycle import State
from tiering.measures import measure
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.tree import Tree
    from tiering.turns import Turns

PAGE: Final = 100
SHARE: Final = 9
"""So many times as long as a page took, nothing is measured."""
IDLE_SECONDS: Final = 5.0


class Measurer:
    """Goes through what was never measured, for ever."""

    def __init__(self, catalog: Catalog, tree: Tree, *, turns: Turns) -> None:
        self._catalog = catalog
        self._tree = tree
        self._turns = turns

    async def run(self) -> None:
        """Measure whatever there is to measure, for ever."""
        after = 0
        while True:
            began = time.monotonic()
            after = 0 if self._is_busy() else await self.measure_some(after=after)
            await asyncio.sleep(SHARE * (time.monotonic() - began) if after else IDLE_SECONDS)

    def _is_busy(self) -> bool:
        totals = self._catalog.totals
        return totals.assets[State.NEW] > totals.outside

    async def measure_some(self, *, after: int = 0) -> int:
        """Measure some beyond a row of the index; return the last row, 0 where there was none."""
        page, last = await self._catalog.unmeasured(after=after, limit=PAGE)
        if page:
            found = [(asset, await self._ask(asset)) for asset in page]
            await self._catalog.note_measured((asset, told) for asset, told in found if told is not None)
        return last

    async def _ask(self, asset: Asset) -> Mapping[str, str] | None:
        kind = asset.content_type or ""
        if not kind.startswith(("image/", "audio/", "video/")):
            return {}
        # A file that is open cannot be demoted: whoever wants to do that waits a moment.
        async with self._turns.take(asset.id):
            return await asyncio.to_thread(self._measure, asset, kind)

    def _measure(self, asset: Asset, kind: str) -> Mapping[str, str] | None:
        """Return what the file tells; None where it is not there, or not what the index says: ask later."""
        try:
            fd = self._tree.open(asset.path)
        except FileError:
            return None
        try:
            is_it = self._tree.sight_fd(asset.path, fd).fingerprint == asset.fingerprint
            return measure(fd, kind) if is_it else None
        except FileError:
            return None
        finally:
            os.close(fd)
