"""Learning what the store has: how an index that was lost comes back, path, key, size, digest and metadata.

So does what an index has missed that is not the newest: objects that it knows cost no question, only their share of the
store's list. Absence concludes nothing here: discovery only ever adds what it was told of.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from index.asset import Proof, ProofMethod
from index.changes import FoundObject
from tiering.label import Label
from tiering.metadata import Passport
from tiering.store import NotFoundError, StoreError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.catalog import Catalog
    from tiering.pacing import Pacer
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
DONE: Final = "discovered"


class Discovery:
    """Takes in every object under our prefix that says whose it is; runs until it was done once for this index.

    Where the index is `doubted`, since it may not be the newest that there was, it is done once more.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        *,
        host: str,
        doubted: bool,
        pacer: Pacer,
        clock: Callable[[], float],
    ) -> None:
        """`host` is the name of this host's cache root, as its objects carry it."""
        self._catalog = catalog
        self._store = store
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
        # Written only where it is new: a start needs no room for the index.
        if not await self._was_done():
            await self._catalog.remember(DONE, self._store.url)
        self.done.set()

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
            whose = await self._identify(info)
            if whose is not None:
                found.append(whose)

        await for_each(unknown, ask, at_once=AT_ONCE, name="discover")
        return found

    async def _identify(self, info: ObjectInfo) -> FoundObject | None:
        try:
            head = await self._store.head(info.key)
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
