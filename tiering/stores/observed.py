"""A store that tells what was asked of it, how it ended and how long it took."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tiering.observer import Observer
    from tiering.store import Attributes, Condition, Download, ObjectInfo, Part, PendingUpload, Store

OPERATIONS: Final = (
    "put",
    "head",
    "get",
    "delete",
    "list",
    "copy",
    "create_upload",
    "put_part",
    "list_parts",
    "complete",
    "abort",
    "list_uploads",
)
"""What an observer is told about, so that it can know all names before the first."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """A download whose bytes are told."""

    download: Download
    observer: Observer

    @property
    def info(self) -> ObjectInfo:
        return self.download.info

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.download.chunks():
            self.observer.fetched(len(chunk))
            yield chunk


class ObservedStore:
    """A coat for any store. A `get` counts when its body ends, a listing page by page. See tiering.store.Store."""

    def __init__(self, store: Store, observer: Observer, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock

    def __repr__(self) -> str:
        return f"<ObservedStore {self._store!r}>"

    @property
    def url(self) -> str:
        """See Store."""
        return self._store.url

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        with self._observed("put"):
            return await self._store.put(key, body, attributes, condition)

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        with self._observed("put"):
            return self._store.put_blocking(key, body, attributes, condition)

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        with self._observed("head"):
            return await self._store.head(key)

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[Download]:
        """See Store."""
        with self._observed("get"):
            async with self._store.get(key, etag=etag, start=start, length=length) as download:
                yield _Counted(download, self._observer)

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        with self._observed("delete"):
            await self._store.delete(key, etag=etag)

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        pages = self._store.list(prefix, after=after)
        while True:
            with self._observed("list"):
                page = await anext(pages, None)
            if page is None:
                return
            yield page

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        with self._observed("copy"):
            return await self._store.copy(source, key, attributes, etag=etag)

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        with self._observed("create_upload"):
            return await self._store.create_upload(key, attributes)

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        with self._observed("put_part"):
            return await self._store.put_part(key, upload_id, number, body, md5=md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        with self._observed("list_parts"):
            return await self._store.list_parts(key, upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        with self._observed("complete"):
            return await self._store.complete(key, upload_id, parts, condition)

    async def abort(self, key: str, upload_id: str) -> None:
        """See Store."""
        with self._observed("abort"):
            await self._store.abort(key, upload_id)

    async def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        pages = self._store.list_uploads()
        while True:
            with self._observed("list_uploads"):
                page = await anext(pages, None)
            if page is None:
                return
            yield page

    async def close(self) -> None:
        """See Store."""
        await self._store.close()

    @contextmanager
    def _observed(self, operation: str) -> Iterator[None]:
        started, result = self._clock(), "cancelled"
        try:
            yield
            result = "ok"
        except StoreError as error:
            result = error.code
            raise
        except Exception:
            # Raised by who reads a download, not by the store.
            result = "abandoned"
            raise
        finally:
            self._observer.stored(operation, result, self._clock() - started)
