"""The manifest: `metadata/index.json`, which tells whoever looks into the bucket what is where, without asking tierd.

It is written when something has changed and some time has passed, whole or not at all. What is too much for one
document lies in pages named by their content, which are there before the document names them: a reader never finds half
of it. No manifest is an asset's object: it carries no passport, so nothing that looks for assets takes it for one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from index.asset import path_to_bytes, printable
from index.lifecycle import State
from index.listing import Query
from tiering.rollout import EVERYTHING, Mode, Rollout
from tiering.store import Absent, Attributes, NotFoundError, PreconditionError, StoreError, Unchanged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

KEY: Final = "metadata/index.json"
PAGES: Final = "metadata/index/"
VERSION: Final = 1
MARKER: Final = "tierd-manifest"
"""The entry of an object's metadata that says that it is one of these."""
DELAY_SECONDS: Final = 60.0
"""How long changes are gathered."""
SHARE: Final = 50
"""So many times as long as it took to write one, nobody writes the next."""
OTHERS_SECONDS: Final = 86_400.0
"""A manifest that another host wrote is left alone for so long after that."""
LEFT_SECONDS: Final = 3600.0
"""A page that no manifest names is removed when it is so old: it may be one that is being written."""
LEAST: Final = 2_000
SPREAD: Final = 4_096
MOST: Final = 10_000
"""So many assets are on a page: at least, on average beyond that, and at most."""
_LISTED: Final = 1000
_LARGEST: Final = 64 << 20
_PAGE: Final = re.compile(re.escape(PAGES) + r"[0-9a-f]{32}\.json")


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest as it lies in the store."""

    etag: str
    document: Mapping[str, Any]
    is_ours: bool


@dataclass(slots=True)
class Draft:
    """The next one: `last` are the assets that are on no page yet."""

    pages: list[dict[str, Any]] = field(default_factory=list)
    last: list[dict[str, Any]] = field(default_factory=list)
    assets: int = 0


class Manifest:
    """Keeps the manifest of one index up to date."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        *,
        host: str,
        clock: Callable[[], float],
        rollout: Callable[[], Rollout] = lambda: EVERYTHING,
    ) -> None:
        """`host` is the name of the cache root."""
        self._catalog = catalog
        self._store = store
        self._host = host
        self._clock = clock
        self._rollout = rollout

    async def run(self) -> None:
        """Write it when something has changed, for ever."""
        seen = -1
        while True:
            await self._catalog.wait_change(seen)
            await asyncio.sleep(DELAY_SECONDS)
            began, cursor = time.monotonic(), await self._catalog.newest_event()
            try:
                await self.write()
            except StoreError as error:
                log.warning("the manifest %s is not up to date: %s", KEY, error.advice)
            else:
                seen = cursor
            await asyncio.sleep(SHARE * (time.monotonic() - began))

    async def write(self) -> bool:
        """Write what is so now, if that differs from what is there; return whether it did. Raise StoreError."""
        if self._rollout().mode is Mode.LOCAL:
            return False
        before = await self._read()
        if before is not None and (reason := self._reason_to_leave(before)):
            log.warning("the manifest %s is left as it is: %s", KEY, reason)
            return False
        known = _pages_of(before)
        draft = await self._draft(known)
        document = {"version": VERSION, "store": self._store.url, "host": self._host, "assets": draft.assets}
        document |= {"pages": draft.pages} if draft.pages else {"entries": draft.last}
        is_new = before is None or {**before.document, "at": 0} != {**document, "at": 0}
        if is_new:
            condition = Absent() if before is None else Unchanged(before.etag)
            await self._put(KEY, await _encoded(document | {"at": self._clock()}), condition)
        if known or draft.pages:
            await self._remove_pages({page["key"] for page in draft.pages})
        return is_new

    async def _read(self) -> Written | None:
        try:
            async with self._store.get(KEY) as download:
                body = b"".join([chunk async for chunk in download.chunks()]) if _is_readable(download.info) else b""
                return Written(download.info.etag, _document(body), is_manifest(download.info))
        except NotFoundError:
            return None

    def _reason_to_leave(self, before: Written) -> str | None:
        if not before.is_ours:
            return "an object that tierd did not write is at its key"
        host, at = before.document.get("host"), before.document.get("at", 0.0)
        if host not in {None, self._host} and self._clock() - at < OTHERS_SECONDS:
            return f"another cache root, {host}, keeps it"
        return None

    async def _draft(self, known: set[str]) -> Draft:
        draft = Draft()
        async for asset in self._assets():
            if asset.is_listed:
                continue
            draft.last.append(entry(asset))
            draft.assets += 1
            if ends_page(asset, len(draft.last)):
                await self._turn(draft, known)
        if draft.pages and draft.last:
            await self._turn(draft, known)
        return draft

    async def _turn(self, draft: Draft, known: set[str]) -> None:
        """Bring what is on no page yet to a page, unless it is there already."""
        body = await _encoded({"version": VERSION, "entries": draft.last})
        key = f"{PAGES}{hashlib.sha256(body).hexdigest()[:32]}.json"
        if key not in known:
            try:
                await self._put(key, body, Absent())
            except PreconditionError:
                log.debug("the page %s is there already", key)
        draft.pages.append({"key": key, "assets": len(draft.last), "first": draft.last[0]["path"]})
        draft.last.clear()

    async def _assets(self) -> AsyncIterator[Asset]:
        """Yield what has a remote copy, in the order of paths."""
        query, cursor = Query(states=frozenset(State) - {State.GONE}), None
        while True:
            page, cursor = await self._catalog.list(query, limit=_LISTED, cursor=cursor)
            for asset in page:
                if asset.proof is not None:
                    yield asset
            if cursor is None:
                return

    async def _put(self, key: str, body: bytes, condition: Absent | Unchanged) -> None:
        await self._store.put(
            key, body, Attributes("application/json", {MARKER: str(VERSION)}, storage_class=""), condition
        )

    async def _remove_pages(self, named: set[str]) -> None:
        async for page in self._store.list(PAGES):
            for info in page:
                is_left = info.key not in named and self._clock() - info.modified > LEFT_SECONDS
                if is_left and _PAGE.fullmatch(info.key) and is_manifest(await self._store.head(info.key)):
                    await self._store.delete(info.key, etag=info.etag)


def is_manifest(info: ObjectInfo) -> bool:
    """Whether an object, as `head` describes it, is a manifest or a page of one, and no asset's."""
    return MARKER in (info.metadata or {})


def ends_page(asset: Asset, count: int) -> bool:
    """Whether a page of so many assets ends with this one: by its path, so that a new asset alters few pages."""
    return count >= MOST or (count >= LEAST and crc32(path_to_bytes(asset.path)) % SPREAD == 0)


def entry(asset: Asset) -> dict[str, Any]:
    """Return what the manifest says of an asset; of one that waits for its upload, what is in the store."""
    proof = asset.proof
    return {
        "path": printable(asset.path),
        "key": proof.key if proof else None,
        "type": asset.type,
        "fields": dict(sorted(asset.all_fields.items())),
        "tags": dict(sorted(asset.tags.items())),
        "content_type": asset.content_type,
        "size": proof.size if proof else None,
        "sha256": proof.sha256 if proof else None,
        "modified": proof.mtime_ns / 1e9 if proof else None,
    }


async def _encoded(document: Mapping[str, Any]) -> bytes:
    """Return it as it is stored. Written in a thread: a page takes some hundredths of a second."""
    return await asyncio.to_thread(lambda: json.dumps(document, separators=(",", ":")).encode() + b"\n")


def _is_readable(info: ObjectInfo) -> bool:
    return is_manifest(info) and info.size <= _LARGEST


def _document(body: bytes) -> Mapping[str, Any]:
    """Return what is there. What makes no sense is written anew."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("at"), int | float) else {}


def _pages_of(before: Written | None) -> set[str]:
    pages: Sequence[Any] = before.document.get("pages", ()) if before is not None else ()
    return {page["key"] for page in pages if isinstance(page, dict) and isinstance(page.get("key"), str)}
