"""What others upload by a presigned URL: it waits in a place of its own, and becomes an asset from there.

Whoever holds a URL can write one object of ours and no other, so he can overwrite nothing that anybody relies on. What
he wrote is read once, whole, copied within the store to where its asset belongs, with what an asset's object carries,
and taken in as a cold asset. Each step can be repeated: a start goes on with whatever lies there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index.asset import AssetId, Proof, ProofMethod, RelPath, printable
from index.changes import FoundObject
from index.errors import UnknownAssetError
from tiering.discovery import found_in
from tiering.keys import KEY_BYTES, RESERVED, MirrorLayout, Subject
from tiering.metadata import Passport
from tiering.mime import HEAD_BYTES, UNKNOWN, content_type
from tiering.outcome import IgnoredError
from tiering.store import Attributes, NotFoundError, PreconditionError, StoreError
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.keys import Layout
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

PLACE: Final = f"{RESERVED}inbox/"
SOONEST_SECONDS: Final = 2.0
"""How often is looked right after a URL was given; the older that is, the less often."""
LATEST_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 600.0
_MODE: Final = 0o644
_TOKENS: Final = 3
"""Parts of a key before the name of the asset: the place, whose it is, and which URL."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What an object was found to be when it was read whole."""

    sha256: str
    md5: str
    content_type: str


class Inbox:
    """Where this daemon's presigned uploads arrive. `name` tells it from those of other hosts."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        layout: Layout,
        *,
        name: str,
        find: Callable[[RelPath], Awaitable[Asset]],
        learnt: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        """`find` raises UnknownAssetError; until all is `learnt` an unknown path may be a cold asset."""
        self._catalog = catalog
        self._store = store
        self._layout = layout
        self._name = name
        self._place = f"{PLACE}{name}/"
        self._find = find
        self._learnt = learnt
        self._clock = clock
        # What the longest key here begins with, beside the name of the asset.
        spoken_for = len(store.url.encode()) + len(self._place) + len(uuid.uuid4().hex) + 1
        self._names = MirrorLayout(key_bytes=KEY_BYTES - spoken_for)
        self._given_at = self._until = 0.0
        self._given = asyncio.Event()
        self._told: set[str] = set()

    def key_for(self, path: RelPath) -> str | None:
        """Return where an upload of this path is to arrive, another place each time; None where no key can say it."""
        name = self._names.key_for(path)
        return f"{self._place}{uuid.uuid4().hex}/{name}" if self._names.path_of(name) == path else None

    def expect(self, *, until: float) -> None:
        """Look more often: a URL was given that can be used until then."""
        self._given_at, self._until = self._clock(), max(self._until, until)
        self._given.set()

    async def run(self) -> None:
        """Take in what arrives."""
        await self._learnt.wait()
        while True:
            try:
                await self.take_in()
            except StoreError as error:
                log.info("uploads by presigned URLs were not looked for: %s", error.advice)
            self._given.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._given.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SOONEST_SECONDS)

    def _pause(self) -> float:
        now = self._clock()
        if now > self._until + LATEST_SECONDS:
            return IDLE_SECONDS
        return min(max((now - self._given_at) / 10, SOONEST_SECONDS), LATEST_SECONDS)

    async def take_in(self) -> int:
        """Make assets of what has arrived; return how many those were. Raise StoreError."""
        taken = 0
        async for page in self._store.list(self._place):
            for info in page:
                taken += await self._take(info)
        return taken

    async def _take(self, info: ObjectInfo) -> bool:
        path = self._path_of(info.key)
        if path is None:
            return self._leave(info, "its key names no asset")
        try:
            head = await self._store.head(info.key)
            found = await self._settle(path, head, await self._read(path, head))
        except (NotFoundError, PreconditionError):
            return False  # It was written again meanwhile: the next look sees that.
        if found is None:
            return self._leave(info, f"{printable(path)} is there already")
        await self._catalog.adopt_cold([found])
        await self._store.delete(info.key)
        log.info("an upload by a presigned URL has arrived: %s", printable(path))
        return True

    async def _read(self, path: RelPath, head: ObjectInfo) -> _Read:
        """Read it whole. Raise PreconditionError where it is no longer the object that `head` is about."""
        sha256, md5, first = hashlib.sha256(), hashlib.md5(usedforsecurity=False), b""
        async with self._store.get(head.key, etag=head.etag) as download:
            async for chunk in download.chunks():
                first = first or chunk[:HEAD_BYTES]
                await asyncio.to_thread(_digest, chunk, sha256.update, md5.update)
        said = head.content_type
        kind = said if said not in {None, UNKNOWN, "binary/octet-stream"} else None
        return _Read(sha256.hexdigest(), md5.hexdigest(), kind or content_type(path, first))

    async def _settle(self, path: RelPath, head: ObjectInfo, read: _Read) -> FoundObject | None:
        """Return the asset, its object being where it belongs; None where the path is taken."""
        subject = Subject(path, content_type=read.content_type, md5=read.md5, mtime_ns=_mtime_ns(head))
        for key in self._layout.keys_for(subject):
            present = await self._present(key)
            if present is None:
                return None if await self._is_known(path) else await self._copy(path, key, head, read)
            if present.path == path:
                # Copied before a stop, or written by the file's owner meanwhile.
                return present if present.proof.sha256 == read.sha256 else None
        return None

    async def _copy(self, path: RelPath, key: str, head: ObjectInfo, read: _Read) -> FoundObject:
        passport = Passport(AssetId(uuid.uuid4().hex), 1, path, read.sha256, _mtime_ns(head), _MODE, host=self._name)
        attributes = Attributes(read.content_type, passport.to_metadata())
        copy = await self._store.copy(head.key, key, attributes, etag=head.etag)
        proof = Proof(
            key=key,
            etag=copy.etag,
            size=copy.size,
            sha256=read.sha256,
            generation=passport.generation,
            mtime_ns=passport.mtime_ns,
            mode=_MODE,
            method=ProofMethod.CLAIMED,
            at=self._clock(),
        )
        return FoundObject(passport.id, path, proof, read.content_type)

    async def _present(self, key: str) -> FoundObject | None:
        try:
            head = await self._store.head(key)
        except NotFoundError:
            return None
        return found_in(head, host=self._name, now=self._clock()) or _foreign(head)

    async def _is_known(self, path: RelPath) -> bool:
        try:
            await self._find(path)
        except UnknownAssetError:
            return False
        except (FileError, IgnoredError):
            return True
        return True

    def _path_of(self, key: str) -> RelPath | None:
        parts = key.removeprefix(PLACE).split("/", _TOKENS - 1)
        return self._names.path_of(parts[-1]) if len(parts) == _TOKENS else None

    def _leave(self, info: ObjectInfo, why: str) -> bool:
        """Keep what cannot be taken in where it is, and say so once."""
        if info.key not in self._told:
            self._told.add(info.key)
            log.warning("an upload by a presigned URL stays in the store as %s: %s", info.key, why)
        return False


def _foreign(head: ObjectInfo) -> FoundObject:
    """Return what stands for an object that says nothing of whose it is: nobody's, and in the way."""
    proof = Proof(head.key, head.etag, head.size, "", 0, 0, 0, ProofMethod.CLAIMED, 0.0)
    return FoundObject(AssetId(""), RelPath(""), proof, None)


def _mtime_ns(head: ObjectInfo) -> int:
    return int(head.modified) * 10**9


def _digest(chunk: bytes, *updates: Callable[[bytes], None]) -> None:
    for update in updates:
        update(chunk)
