"""What no asset stands for: files that the index does not know, copies left in the trash, objects that nobody needs.

Nothing here is removed, ever: what nobody knows may be the only copy there is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from index.asset import AssetId, RelPath, printable
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.answers import Difference
from tiering.manifest import is_manifest
from tiering.metadata import Passport
from tiering.scan import scan
from tiering.store import NotFoundError, StoreError
from tiering.trash import listing
from tiering.tree import TRASH, FileError, MissingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from index.asset import Asset, Sighting
    from index.catalog import Catalog
    from tiering.store import ObjectInfo, Store
    from tiering.tree import Tree

SETTLED_SECONDS: Final = 10.0
"""A file that was touched more recently is on its way into the index, or still being written: no difference yet."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was found among so many files or objects. `superseded` are keys of ours that no asset needs any more."""

    looked_at: int
    differences: list[Difference] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)


def is_settled(sighting: Sighting, *, now: float) -> bool:
    """Whether a file was left alone for so long that the index should know it as it is."""
    return now - sighting.ctime_ns / 1e9 >= SETTLED_SECONDS


class Strays:
    """Looks through the disk and the store for what the index does not account for."""

    def __init__(self, catalog: Catalog, tree: Tree, store: Store, *, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._tree = tree
        self._store = store
        self._clock = clock

    async def files(self) -> AsyncIterator[Page]:
        """Look through the whole tree, page by page."""
        after: RelPath | str = ""
        batches = scan(self._tree)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            known = {row.path for row in await self._catalog.between(after, batch.upto)}
            unknown = [sighting for sighting in batch.sightings if sighting.path not in known]
            found = [await self._untracked(sighting) for sighting in unknown]
            yield Page(len(batch.sightings), [difference for difference in found if difference is not None])
            after = batch.upto or after

    async def trashed(self) -> Page:
        """Look at what the trash holds although nothing is being demoted."""
        try:
            kept = await asyncio.to_thread(listing, self._tree)
        except MissingError:
            return Page(0)
        except FileError as error:
            return Page(0, [Difference(path=RelPath(TRASH), kind="unknown", detail=error.reason)])
        found = [await self._stranded(asset_id) for asset_id in kept]
        return Page(len(kept), [difference for difference in found if difference is not None])

    async def objects(self) -> AsyncIterator[Page]:
        """Look through everything below the store's prefix, page by page."""
        try:
            async for page in self._store.list():
                known = await self._catalog.known_keys([info.key for info in page])
                yield await self._look(len(page), [info for info in page if info.key not in known])
        except StoreError as error:
            detail = f"the store cannot be listed: {error}"
            yield Page(0, [Difference(path=RelPath(""), kind="unknown", detail=detail)])

    async def _look(self, count: int, unknown: list[ObjectInfo]) -> Page:
        page = Page(count)
        for info in unknown:
            kind, detail = await self._judge(info)
            if kind == "superseded":
                page.superseded.append(info.key)
            elif kind != "known":
                page.differences.append(Difference(path=RelPath(info.key), kind=kind, detail=detail))
        return page

    async def _judge(self, info: ObjectInfo) -> tuple[str, str]:
        """Return what an object is that is no asset's proof, and what is to be said of it."""
        try:
            head = await self._store.head(info.key)
        except NotFoundError:
            return "known", ""
        except StoreError as error:
            return "unknown", str(error)
        passport = Passport.from_metadata(head.metadata or {})
        if passport is None:
            return ("known", "") if is_manifest(head) else ("orphan", "no asset has this object")
        asset = await self._find(passport.id)
        if asset is None:
            return "orphan", f"it is of an asset that the index does not know: {printable(passport.path)}"
        if asset.state is State.GONE or (asset.proof is not None and passport.generation < asset.proof.generation):
            return "superseded", ""
        # As new as what the index knows, or newer: it was sent a moment ago, and its proof is still to be written.
        return "known", ""

    async def _untracked(self, sighting: Sighting) -> Difference | None:
        """Look again, since the page of the index may be older than the look at the disk."""
        if not is_settled(sighting, now=self._clock()):
            return None
        try:
            await asyncio.to_thread(self._tree.sight, sighting.path)
            if (await self._catalog.find(sighting.path)).state is not State.GONE:
                return None
        except FileError:
            return None
        except UnknownAssetError:
            pass
        return Difference(path=sighting.path, kind="untracked", detail="the index does not know this file yet")

    async def _stranded(self, asset_id: AssetId) -> Difference | None:
        path = RelPath(f"{TRASH}/{asset_id}")
        asset = await self._find(asset_id)
        if asset is not None and asset.state is State.DEMOTING:
            return None
        try:
            seen = await asyncio.to_thread(self._tree.sight, path)
        except MissingError:
            return None
        except FileError as error:
            return Difference(path=path, kind="unknown", detail=error.reason)
        if not is_settled(seen, now=self._clock()):
            return None
        whose = "an asset that the index does not know" if asset is None else printable(asset.path)
        return Difference(path=path, kind="stranded", detail=f"a copy of {whose} is left in the trash")

    async def _find(self, asset_id: AssetId) -> Asset | None:
        try:
            return await self._catalog.get(asset_id)
        except UnknownAssetError:
            return None
