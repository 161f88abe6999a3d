"""What nobody needs any more: multipart uploads that cost money and no listing shows, old events, old tombstones."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import AssetId
    from index.catalog import Catalog
    from tiering.store import Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 6 * 3600.0
RETRY_SECONDS: Final = 60.0
ORPHAN_SECONDS: Final = 24 * 3600.0
"""An upload that our index does not know may be another host's, under way: it is left alone for so long."""
EVENTS_KEPT: Final = 1_000_000
TOMBSTONE_SECONDS: Final = 90 * 24 * 3600.0


class Sweeper:
    """Aborts what our index began and no asset needs any more, and what nobody has finished in a day."""

    def __init__(self, catalog: Catalog, store: Store, *, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Sweep now and then, for ever."""
        while True:
            await self._catalog.prune_events(EVENTS_KEPT)
            await self._catalog.forget_gone(self._clock() - TOMBSTONE_SECONDS)
            try:
                await self.sweep()
            except StoreError as error:
                log.info("multipart uploads not swept yet: %s", error.advice)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(INTERVAL_SECONDS)

    async def sweep(self) -> int:
        """Abort what is orphaned; return how many that were. Raise StoreError where the store does not let us."""
        swept = await self._sweep_listed(needed=await self._sweep_known())
        if swept:
            log.info("aborted multipart uploads that nobody would finish", extra={"count": swept})
        return swept

    async def _sweep_known(self) -> set[str]:
        """Abort what we began for assets that need no upload any more; return the ids of the others."""
        needed = set()
        for upload in await self._catalog.uploads.all():
            if await self._is_needed(upload.asset_id):
                needed.add(upload.upload_id)
            else:
                await self._store.abort(upload.key, upload.upload_id)
                await self._catalog.uploads.end(upload.asset_id)
        return needed

    async def _sweep_listed(self, *, needed: set[str]) -> int:
        swept = 0
        async for page in self._store.list_uploads():
            for pending in page:
                if pending.upload_id not in needed and self._clock() - pending.started > ORPHAN_SECONDS:
                    await self._store.abort(pending.key, pending.upload_id)
                    swept += 1
        return swept

    async def _is_needed(self, asset_id: AssetId) -> bool:
        try:
            asset = await self._catalog.get(asset_id)
        except UnknownAssetError:
            return False
        return asset.state in {State.NEW, State.UPLOADING, State.STUCK}
