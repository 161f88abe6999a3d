"""A cold asset whose object is another one than was proven, because it holds a later content of that very asset.

An upload that ended in the store and nowhere else leaves this behind, where the file was lost before it was uploaded
again; and so does another host that shares the bucket. The object that the index knows was replaced, and what replaced
it is the only content that exists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from index.changes import succeeds
from tiering.discovery import found_in
from tiering.store import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset
    from index.catalog import Catalog
    from index.changes import FoundObject
    from tiering.store import Store


class Succession:
    """Takes later contents in."""

    def __init__(self, catalog: Catalog, store: Store, *, host: str, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._store = store
        self._host = host
        self._clock = clock

    async def settle(self, asset: Asset) -> bool:
        """Look at what is at the key of a cold asset; return whether it was taken in as its content.

        It counts as claimed only, until it has been read. Raise what the store raises.
        """
        found = await self.successor(asset)
        return found is not None and bool(await self._catalog.adopt_cold([found]))

    async def successor(self, asset: Asset) -> FoundObject | None:
        """Return what is at the key of an asset where it holds a later content. Raise what the store raises."""
        if asset.proof is None:
            return None
        try:
            head = await self._store.head(asset.proof.key)
        except NotFoundError:
            return None
        found = found_in(head, host=self._host, now=self._clock())
        if found is None or (found.id != asset.id and found.path != asset.path) or not succeeds(found, asset):
            return None
        # Where it was renamed since, the object has the old path: the asset is what it is, wherever its file was.
        return replace(found, path=asset.path)
