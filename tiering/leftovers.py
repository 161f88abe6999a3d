"""What is at the key of an asset and is another one's: left there when it was renamed, or still needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.evidence import is_as_proven
from tiering.metadata import Passport
from tiering.store import NotFoundError, PreconditionError
from tiering.twins import copy_source

if TYPE_CHECKING:
    from index.asset import Asset, Proof
    from index.catalog import Catalog
    from tiering.store import ObjectInfo, Store

_ON_ITS_WAY = frozenset({State.NEW, State.UPLOADING, State.VERIFYING})


class Leftovers:
    """Tells objects that nobody needs from those that somebody does."""

    def __init__(self, catalog: Catalog, store: Store, *, host: str) -> None:
        """`host` is the name of this host's cache root, as its objects carry it."""
        self.host = host
        self._catalog = catalog
        self._store = store

    def is_earlier(self, there: ObjectInfo, asset: Asset) -> bool:
        """Whether it is an object of this very asset, written here, and not of a later generation."""
        passport = Passport.from_metadata(there.metadata or {})
        return passport is not None and passport.is_earlier_of(asset, self.host)

    def is_another_hosts(self, there: ObjectInfo) -> bool:
        """Whether another host wrote it."""
        passport = Passport.from_metadata(there.metadata or {})
        return passport is not None and passport.is_from_elsewhere(self.host)

    async def is_one(self, there: ObjectInfo) -> bool:
        """Whether the object is an older generation of an asset whose present one is proven, freshly, at another key.

        What another host wrote is none: that it is older is only what we know of it.

        Raise PreconditionError where it is still the asset's only copy in the store, and the next is on its way.
        """
        passport = Passport.from_metadata(there.metadata or {})
        if passport is None or passport.is_from_elsewhere(self.host):
            return False
        owner = await self._owner(passport)
        if owner is None or owner.proof is None or owner.generation <= passport.generation:
            return False
        if owner.proof.key == there.key:
            if await self._is_on_its_way(owner):
                raise PreconditionError(
                    f"the object {there.key} is needed until that of {owner.path!a} is at its own key"
                )
            return False
        try:
            return is_as_proven(await self._store.head(owner.proof.key), owner.proof)
        except NotFoundError:
            return False

    async def twin_of(self, asset: Asset, sha256: str) -> Proof | None:
        """Return the remote copy of another asset that holds this content; None also where it is a small one."""
        return copy_source(asset, await self._catalog.large_twins(sha256))

    async def needed_by(self, key: str, asset: Asset) -> Asset | None:
        """Return another asset than this one of which the object at this key is, and stays, the only remote copy.

        None where there is none. The index is asked, not the store.
        """
        for each in await self._catalog.having(key):
            if each.id != asset.id and each.state is not State.GONE and not await self._is_on_its_way(each):
                return each
        return None

    async def _is_on_its_way(self, owner: Asset) -> bool:
        return owner.state in _ON_ITS_WAY or await self._catalog.is_misplaced(owner.id)

    async def _owner(self, passport: Passport) -> Asset | None:
        try:
            return await self._catalog.get(passport.id)
        except UnknownAssetError:
            return None
