"""Objects that are to have another storage class now that they are older: looked for daily, changed where they are.

The store's list says of each object class and age, so looking costs next to nothing. What is due is copied onto itself
within the store, with its metadata and under its ETag, which stays: its proof is never in doubt, wherever that stops.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.errors import IndexFullError
from index.lifecycle import State
from tiering.evidence import is_as_proven
from tiering.rekeyer import ITS_OWN
from tiering.store import StoreError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.catalog import Catalog
    from tiering.classes import Classes
    from tiering.rekeyer import Rekeyer
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 86_400.0
RETRY_SECONDS: Final = 600.0
NOT_READY_SECONDS: Final = 5.0
_AT_ONCE: Final = 4
_AT_REST: Final = frozenset({State.REPLICATED, State.COLD})


class Ageing:
    """Has objects change their storage class as they get older."""

    def __init__(
        self, catalog: Catalog, store: Store, rekeyer: Rekeyer, *, classes: Classes, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._rekeyer = rekeyer
        self._classes = classes
        self._clock = clock

    async def run(self) -> None:
        """Look once a day, for ever, once it is known what the store can do. Without a rule that waits, do nothing."""
        while any(rule.after for rule in self._classes.rules):
            if not self._rekeyer.is_ready:
                await asyncio.sleep(NOT_READY_SECONDS)
                continue
            try:
                await self.look()
            except (StoreError, IndexFullError) as error:
                log.info("storage classes are not changed yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> int:
        """Change what is due; return how many that were. Raise StoreError where the store cannot be listed."""
        changed = 0

        async def change(info: ObjectInfo) -> None:
            nonlocal changed
            changed += await self._change(info)

        async for page in self._store.list():
            due = [info for info in page if self._classes.may_be_due(info, now=self._clock())]
            await for_each(due, change, at_once=_AT_ONCE, name="ageing")
        return changed

    async def _change(self, info: ObjectInfo) -> bool:
        """Have one object change its class, if it is an asset's proven copy, and one whose ETag stays."""
        for asset in await self._catalog.having(info.key):
            proof, kind = asset.proof, asset.content_type or ""
            wanted = self._classes.due(info, asset.type, kind, now=self._clock())
            if proof is None or wanted is None or asset.state not in _AT_REST or not is_as_proven(info, proof):
                continue
            if not self._rekeyer.keeps_etag(proof):
                continue
            try:
                await self._rekeyer.reclassify(asset, wanted)
            except ITS_OWN as error:
                log.warning("%s stays in the class %s: %s", printable(asset.path), info.storage_class, error)
                continue
            said = {"path": printable(asset.path), "from": info.storage_class, "to": wanted}
            log.info("a remote copy has another storage class now", extra=said)
            return True
        return False
