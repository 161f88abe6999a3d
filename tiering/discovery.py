"""Learning what the store has: how an index that was lost comes back, path, key, size, digest and metadata.

First its list is gone through: where keys tell paths, assets can be listed and asked for after that. Then every object
is asked who it is; until then an asset that is wanted is asked alone.

So does what an index has missed that is not the newest: objects that it knows cost no question, only their share of the
store's list. Absence concludes nothing here: discovery only ever adds what it was told of.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from index.asset import Proof, ProofMethod, is_asset_path
from index.changes import FoundObject
from index.listed import Listed
from tiering.answers import Inventory
from tiering.label import Label
from tiering.metadata import Passport
from tiering.store import NotFoundError, StoreError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from index.asset import Asset, RelPath
    from index.catalog import Catalog
    from tiering.keys import Layout
    from tiering.pacing import Pacer
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
DONE: Final = "discovered"
_LISTED: Final = "listed"
"""What is written down in the place of the store's URL when its list was begun, and its objects are to be asked."""


class Discovery:
    """Takes in every object under our prefix that says whose it is; runs until it was done once for this index.

    Where the index is `doubted`, since it may not be the newest that there was, it is done once more.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        layout: Layout,
        *,
        is_ignored: Callable[[RelPath], bool],
        host: str,
        doubted: bool,
        pacer: Pacer,
        clock: Callable[[], float],
    ) -> None:
        """`is_ignored` says of a path that nothing there is an asset.

        `host` is the name of this host's cache root, as its objects carry it.
        """
        self._catalog = catalog
        self._store = store
        self._layout = layout
        self._is_ignored = is_ignored
        self._host = host
        self._doubted = doubted
        self._pacer = pacer
        self._clock = clock
        self.done = asyncio.Event()
        """Whether every object in the store is in the index: until then an unknown path may be a cold asset."""

    async def is_due(self) -> bool:
        """Whether this index has yet to learn what the store has."""
        return self._doubted or not await self._was_done()

    async def run(self) -> None:
        """Discover, unless this index has known the store from its beginning; try again for ever."""
        if not await self.is_due():
            self.done.set()
            return
        said = ""
        while not self.done.is_set():
            try:
                await self._enlist_all()
                await self.discover()
            except StoreError as error:
                self._pacer.failed(error.advice)
                if error.advice != said:
                    log.warning("the store cannot be listed yet: %s", error.advice)
                said = error.advice
                await self._pacer.wait_pause()
            else:
                await self.note_done()

    async def _was_done(self) -> bool:
        return await self._catalog.recall(DONE) == self._store.url

    async def finish(self) -> None:
        """Discover now, if this index has yet to. Raise what the store raises."""
        if await self.is_due():
            await self.discover()
        await self.note_done()

    async def note_done(self) -> None:
        """Write down that every object in the store is in the index."""
        await self._catalog.strike_listed()
        # Written only where it is new: a start needs no room for the index.
        if not await self._was_done():
            await self._catalog.remember(DONE, self._store.url)
        self.done.set()

    async def enlist(self) -> AsyncGenerator[Inventory, None]:
        """Take in what the store's list alone tells; yield after every page what that was so far, at last all of it.

        The objects are asked by the next `run`. Raise what the store raises.
        """
        await self._catalog.remember(DONE, _LISTED)
        found = Inventory(objects=0, assets=0, bytes=0, taken=0, strangers=0)
        async for page in self._store.list():
            found = await self._enlist(page, found)
            yield found
        yield replace(found, is_done=True)

    async def _enlist(self, page: Sequence[ObjectInfo], found: Inventory) -> Inventory:
        known = await self._catalog.known_objects([info.key for info in page])
        unknown = [info for info in page if (info.key, info.etag) not in known]
        listed = [each for info in unknown if (each := self._listed(info)) is not None]
        taken = await self._catalog.enlist(listed)
        return replace(
            found,
            objects=found.objects + len(page),
            assets=found.assets + len(taken),
            bytes=found.bytes + sum(each.size for each in taken),
            taken=found.taken + len(taken),
            strangers=found.strangers + len(unknown) - len(listed),
        )

    async def identify(self, asset: Asset) -> None:
        """Ask the object of an asset of which only a listing told who it is. Raise what the store raises."""
        if asset.proof is not None:
            found = await self._identify(asset.proof.key)
            await self._catalog.identify(asset, found)

    async def _enlist_all(self) -> None:
        # An index that knew the store once has seen more than a list tells.
        if await self._was_done():
            return
        async for found in self.enlist():
            if found.is_done and found.taken:
                log.info("listed what the store has", extra={"objects": found.objects, "assets": found.taken})

    def _listed(self, info: ObjectInfo) -> Listed | None:
        """Return what an object's key says; None where it says no path."""
        parsed = self._layout.parse(info.key)
        path = None if parsed is None else parsed.path
        if path is None or not is_asset_path(path) or self._is_ignored(path):
            return None
        return Listed(path, info.key, info.etag, info.size, int(info.modified * 1e9))

    async def discover(self) -> int:
        """Take in what the store has and the index lacks; return how many assets that were."""
        taken = 0
        async for page in self._store.list():
            found = await self.inspect(page)
            taken += await self._catalog.adopt_cold(newest(found))
        if taken:
            log.info("discovered what the store has", extra={"assets": taken})
        return taken

    async def inspect(self, page: Sequence[ObjectInfo]) -> list[FoundObject]:
        """Ask each object that is nobody's proof who it is, some at once. Raise StoreError."""
        known = await self._catalog.known_objects([info.key for info in page])
        unknown = [info for info in page if (info.key, info.etag) not in known]
        found: list[FoundObject] = []

        async def ask(info: ObjectInfo) -> None:
            whose = await self._identify(info.key)
            if whose is not None:
                found.append(whose)

        await for_each(unknown, ask, at_once=AT_ONCE, name="discover")
        return found

    async def _identify(self, key: str) -> FoundObject | None:
        try:
            head = await self._store.head(key)
        except NotFoundError:
            return None
        return found_in(head, host=self._host, now=self._clock())


def found_in(head: ObjectInfo, *, host: str, now: float) -> FoundObject | None:
    """Return the asset that an object says it holds; None where it says nothing of the kind. `host` is who asks."""
    passport = Passport.from_metadata(head.metadata or {})
    if passport is None:
        return None
    proof = Proof(
        key=head.key,
        etag=head.etag,
        size=head.size,
        sha256=passport.sha256,
        generation=passport.generation,
        mtime_ns=passport.mtime_ns,
        mode=passport.mode,
        method=ProofMethod.CLAIMED,
        at=now,
    )
    label = Label.from_metadata(head.metadata or {})
    return FoundObject(
        passport.id,
        passport.path,
        proof,
        head.content_type,
        passport.replaces,
        passport.is_from_elsewhere(host),
        type=label.type,
        fields=label.fields,
        tags=label.tags,
    )


def newest(found: Sequence[FoundObject]) -> list[FoundObject]:
    """Of several objects of one asset, the highest generation counts; the others are superseded."""
    best: dict[str, FoundObject] = {}
    for each in found:
        known = best.get(each.id)
        if known is None or each.proof.generation > known.proof.generation:
            best[each.id] = each
    return list(best.values())
