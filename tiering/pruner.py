"""Removes superseded objects from the store, and nothing else, when a person asks for it.

What the index does not know stays, whoever's it is: it may be another host's, or the only copy there is. An asset's
earlier object goes only while its present one is proven, freshly; that of a removed asset only where the record has it
that a person removed it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index.asset import ProofMethod
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.evidence import examine
from tiering.metadata import Passport
from tiering.store import NotFoundError, PreconditionError, RefusedError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 16
_AT_REST: Final = frozenset({State.REPLICATED, State.COLD})


@dataclass(slots=True)
class Pruning:
    """How much was looked at and removed, or would be, so far. `kept` were superseded, and stay all the same."""

    objects: int = 0
    removed: int = 0
    bytes: int = 0
    kept: int = 0


class Pruner:
    """Looks through the store for what no asset needs any more."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        *,
        alone_at: Callable[[str], AbstractAsyncContextManager[None]],
        host: str,
    ) -> None:
        """`alone_at` keeps everybody else from writing at a key; what another host than this one sent is not pruned."""
        self._catalog = catalog
        self._store = store
        self._alone_at = alone_at
        self._host = host

    async def prune(self, *, dry_run: bool) -> AsyncIterator[Pruning]:
        """Yield after every page of the store's list how far it is. Raise what the store raises."""
        done = Pruning()
        buried = await self._catalog.buried()
        async for page in self._store.list():
            known = await self._catalog.known_keys([info.key for info in page])
            await self._go_through([info for info in page if info.key not in known], buried, done, dry_run=dry_run)
            done.objects += len(page)
            yield done

    async def _go_through(
        self, unknown: Sequence[ObjectInfo], buried: Mapping[AssetId, int], done: Pruning, *, dry_run: bool
    ) -> None:
        async def consider(info: ObjectInfo) -> None:
            async with self._alone_at(info.key):
                found = await self._judge(info.key, buried)
                if found is None:
                    return
                head, is_needless = found
                if is_needless and (dry_run or await self._remove(head)):
                    done.removed += 1
                    done.bytes += head.size
                else:
                    done.kept += 1

        await for_each(unknown, consider, at_once=AT_ONCE, name="prune")

    async def _judge(self, key: str, buried: Mapping[AssetId, int]) -> tuple[ObjectInfo, bool] | None:
        """Return a superseded object, and whether nobody needs it; None where it is none, or is not there."""
        try:
            head = await self._store.head(key)
            passport = Passport.from_metadata(head.metadata or {})
            asset = None if passport is None else await self._catalog.get(passport.id)
        except (NotFoundError, UnknownAssetError):
            return None
        if passport is None or asset is None or passport.is_from_elsewhere(self._host):
            return None
        if not is_superseded(asset, passport, buried=buried.get(passport.id)):
            return None
        # Somebody may have taken it for his since the page was read.
        if key in await self._catalog.known_keys([key]):
            return None
        return head, asset.state is State.GONE or await self._is_safe(asset)

    async def _is_safe(self, asset: Asset) -> bool:
        proof = asset.proof
        if proof is None:
            return False
        # What an object only says of itself is read once before it is relied upon.
        return await examine(self._store, proof, deep=proof.method is ProofMethod.CLAIMED) == "right"

    async def _remove(self, head: ObjectInfo) -> bool:
        try:
            await self._store.delete(head.key, etag=head.etag)
        except (PreconditionError, RefusedError) as error:
            log.warning("superseded object not removed: %s (%s)", head.key, error)
            return False
        log.info("removed a superseded object: %s", head.key)
        return True


def is_superseded(asset: Asset, passport: Passport, *, buried: int | None) -> bool:
    """Whether an object is an earlier one of an asset at rest, or of one that a person removed at `buried`.

    `buried` is the generation of the asset when it was last removed. A tombstone alone does not say that: of an asset
    whose file was lost before its upload was written down, the object may be the only copy.
    """
    if passport.id != asset.id:
        return False
    if asset.state is State.GONE:
        return buried is not None and passport.generation <= buried
    return asset.state in _AT_REST and asset.proof is not None and passport.generation < asset.proof.generation
