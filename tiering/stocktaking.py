"""What the store has and the index lacks, for a person who asks; taken in on his word.

What an object says of itself is enough to take it in as a cold asset. One that says nothing, another program's, is
taken in only if it is asked for: it is read once, since only its bytes can tell its digest, and its key says the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from index.asset import Proof, ProofMethod, RelPath, is_asset_path, new_asset_ids
from index.changes import FoundObject
from index.errors import UnknownAssetError
from tiering.answers import Inventory, Stray
from tiering.discovery import AT_ONCE, found_in, newest
from tiering.evidence import read_sha256
from tiering.manifest import is_manifest
from tiering.store import ArchivedError, CorruptError, NotFoundError, PreconditionError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from index.asset import AssetId
    from index.catalog import Catalog
    from tiering.keys import Layout
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

MOST_LISTED: Final = 10_000
_MODE: Final = 0o644


@dataclass(slots=True)
class Tally:
    """What was found so far. `ids` are the assets that the index lacked."""

    objects: int = 0
    bytes: int = 0
    taken: int = 0
    strangers: int = 0
    ids: set[AssetId] = field(default_factory=set)
    lacking: list[Stray] = field(default_factory=list)
    foreign: list[Stray] = field(default_factory=list)

    def note(self, found: FoundObject) -> None:
        """Count an asset that the index lacks, once."""
        if found.id in self.ids:
            return
        self.ids.add(found.id)
        self.bytes += found.proof.size
        if len(self.lacking) < MOST_LISTED:
            self.lacking.append(Stray(key=found.proof.key, size=found.proof.size, path=found.path))

    def note_stranger(self, head: ObjectInfo) -> None:
        """Count an object that does not say whose it is."""
        self.strangers += 1
        if len(self.foreign) < MOST_LISTED:
            self.foreign.append(Stray(key=head.key, size=head.size, path=None))

    def report(self, *, is_done: bool) -> Inventory:
        """Return it; the lists only at the end."""
        return Inventory(
            objects=self.objects,
            assets=len(self.ids),
            bytes=self.bytes,
            taken=self.taken,
            strangers=self.strangers,
            lacking=tuple(self.lacking) if is_done else (),
            foreign=tuple(self.foreign) if is_done else (),
            is_done=is_done,
        )


class Stocktaking:
    """Looks through the whole store."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        layout: Layout,
        *,
        is_ignored: Callable[[RelPath], bool],
        host: str,
        clock: Callable[[], float],
    ) -> None:
        """`is_ignored` says of a path that nothing there is an asset; `host` is this one."""
        self._catalog = catalog
        self._store = store
        self._layout = layout
        self._is_ignored = is_ignored
        self._host = host
        self._clock = clock

    async def take(self, *, sync: bool, foreign: bool) -> AsyncGenerator[Inventory, None]:
        """Yield after every page of the store's list what was found so far, at last all of it.

        With `sync` assets are taken in; with `foreign` those of other programs too. Raise what the store raises.
        """
        tally = Tally()
        async for page in self._store.list():
            found = await self._inspect(page, tally, foreign=foreign, read=sync)
            if sync:
                tally.taken += await self._catalog.adopt_cold(newest(found))
            tally.objects += len(page)
            yield tally.report(is_done=False)
        yield tally.report(is_done=True)

    async def _inspect(
        self, page: Sequence[ObjectInfo], tally: Tally, *, foreign: bool, read: bool
    ) -> list[FoundObject]:
        known = await self._catalog.known_objects([info.key for info in page])
        found: list[FoundObject] = []

        async def ask(info: ObjectInfo) -> None:
            try:
                head = await self._store.head(info.key)
            except NotFoundError:
                return
            if is_manifest(head):
                return
            each = found_in(head, host=self._host, now=self._clock())
            if each is None and foreign:
                each = await self._adopted(head, read=read)
            if each is None:
                tally.note_stranger(head)
                return
            found.append(each)
            if await self._is_lacking(each):
                tally.note(each)

        unknown = [info for info in page if (info.key, info.etag) not in known]
        await for_each(unknown, ask, at_once=AT_ONCE, name="discover")
        return found

    async def _is_lacking(self, found: FoundObject) -> bool:
        try:
            await self._catalog.get(found.id)
        except UnknownAssetError:
            return True
        return False

    async def _adopted(self, head: ObjectInfo, *, read: bool) -> FoundObject | None:
        """Return another program's object as an asset; None where its key stands for none."""
        parsed = self._layout.parse(head.key)
        if parsed is None:
            return None
        path = RelPath(head.key) if parsed.path is None else parsed.path
        if not is_asset_path(path) or self._is_ignored(path):
            return None
        try:
            sha256 = await read_sha256(self._store, head.key, etag=head.etag) if read else ""
        except (NotFoundError, PreconditionError, ArchivedError, CorruptError) as error:
            log.warning("not taken in: %s (%s)", head.key, error)
            return None
        (asset_id,) = new_asset_ids(1)
        proof = Proof(
            key=head.key,
            etag=head.etag,
            size=head.size,
            sha256=sha256,
            generation=1,
            mtime_ns=int(head.modified * 1e9),
            mode=_MODE,
            method=ProofMethod.READ_BACK,
            at=self._clock(),
        )
        kind = head.content_type
        return FoundObject(asset_id, path, proof, kind, elsewhere=True, type=parsed.type, fields=parsed.fields)
