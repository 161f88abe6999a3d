"""Reads the text of assets for those who will search it: a search that comes first would wait for all of it.

Later than the upload, so that no upload waits for it, and only while none does; a small part of the time at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from index.errors import IndexFullError
from index.lifecycle import State

if TYPE_CHECKING:
    from index.catalog import Catalog

SHARE: Final = 9
"""So many times as long as it took to read some, nothing is read."""
IDLE_SECONDS: Final = 5.0


class Reader:
    """Goes through what was said and not read yet, for ever."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def run(self) -> None:
        """Read whatever there is to read, for ever."""
        while True:
            began = time.monotonic()
            more = not self._is_busy() and await self._read_some()
            await asyncio.sleep(SHARE * (time.monotonic() - began) if more else IDLE_SECONDS)

    def _is_busy(self) -> bool:
        totals = self._catalog.totals
        return totals.assets[State.NEW] > totals.outside

    async def _read_some(self) -> bool:
        try:
            return await self._catalog.read_text()
        except IndexFullError:
            # Whoever searches is told. Here it can wait.
            return False
