"""The cold tier on a disk: the default store, and as careful as the others are said to be."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from tiering.store import CorruptError, Part, RefusedError, UnavailableError
from tiering.stores.file_listing import list_pages
from tiering.stores.file_shelf import Shelf
from tiering.stores.file_sidecars import Label
from tiering.stores.file_staging import Staged
from tiering.stores.file_uploads import Uploads
from tiering.stores.rules import (
    body_length,
    check_etag,
    check_key,
    check_md5,
    check_part_number,
    check_parts,
    md5_of,
    multipart_etag,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from tiering.store import Attributes, Condition, ObjectInfo, PendingUpload

_P = ParamSpec("_P")
_T = TypeVar("_T")
_CHUNK: Final = 1024 * 1024
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED: Final = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV, errno.ENAMETOOLONG}


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Say what went wrong on the disk in the words of the port."""
    try:
        yield
    except OSError as error:
        what = f"{key or 'the store'}: {error.strerror or error}"
        if error.errno in _FULL:
            raise UnavailableError(what, key=key, hint="free space where the store is") from error
        if error.errno in _NOT_ALLOWED:
            raise RefusedError(what, key=key, hint="check the owner and mode of the store's directory") from error
        raise UnavailableError(what, key=key) from error


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    read: Callable[[int, int], Awaitable[bytes]]
    start: int
    length: int

    async def chunks(self) -> AsyncIterator[bytes]:
        at, end = self.start, self.start + self.length
        while at < end:
            chunk = await self.read(min(_CHUNK, end - at), at)
            if not chunk:
                raise CorruptError(f"{self.info.key}: it ends {end - at} bytes short", key=self.info.key)
            at += len(chunk)
            yield chunk


class FileStore:
    """Objects as files below `root`; at most `threads` calls touch the disk at once. See tiering.store.Store.

    `prepare` makes an empty store of an empty directory. Without it, and wherever the mark that it leaves is missing,
    every call raises UnavailableError: a disk that is not mounted must not look like a store without objects.
    """

    def __init__(
        self, root: Path, *, url: str = "", threads: int = 4, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._url = url or f"file://{root}"
        self._shelf = Shelf(root, clock_ns=clock_ns)
        self._uploads = Uploads(self._shelf)
        self._turns = asyncio.Semaphore(threads)

    def __repr__(self) -> str:
        return f"<FileStore {self._url}>"

    @property
    def url(self) -> str:
        """See Store."""
        return self._url

    async def prepare(self) -> None:
        """Make the directory a store, if it is none, and sweep away what crashes left."""
        await self._run("", self._shelf.prepare)
        await self._run("", self._uploads.sweep)

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        return await self._run(key, self._put, key, body, attributes, condition)

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        with _translated(key):
            return self._put(key, body, attributes, condition)

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        return (await self._run(key, self._shelf.vouch, key)).info

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[_Download]:
        """See Store."""
        check_key(key)
        fd, info = await self._run(key, self._shelf.open, key)
        try:
            check_etag(key, etag, info.etag)

            async def read(size: int, at: int) -> bytes:
                return await self._run(key, os.pread, fd, size, at)

            yield _Download(info, read, start, body_length(info, start, length))
        finally:
            os.close(fd)

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        check_key(key)
        await self._run(key, self._shelf.remove, key, etag)

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        pages = list_pages(self._shelf, prefix, after)
        while (page := await self._run("", next, pages, None)) is not None:
            yield page

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        check_key(source)
        return await self._run(source, self._copy, source, key, attributes, etag)

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        check_key(key)
        return await self._run(key, self._uploads.begin, key, attributes)

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        check_part_number(key, number)
        return await self._run(key, self._put_part, key, upload_id, number, body, md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        return await self._run(key, self._uploads.parts, key, upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        info = await self._run(key, self._shelf.made_by, key, upload_id)
        if info is None:
            attributes = await self._run(key, self._begin_join, key, upload_id, parts, condition)
            info = await self._join(Label(key, multipart_etag(parts), attributes, upload_id), parts, condition)
        await self._run(key, self._uploads.drop, upload_id)
        return info

    async def abort(self, key: str, upload_id: str) -> None:
        """See Store."""
        await self._run(key, self._uploads.drop, upload_id)

    async def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        found = await self._run("", self._uploads.pending)
        if found:
            yield found

    async def close(self) -> None:
        """See Store."""

    async def _run(self, key: str, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work in a thread. A cancelled call waits for it: nothing happens behind the caller's back."""
        async with self._turns:
            running = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
            try:
                with _translated(key):
                    return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise

    def _put(self, key: str, body: bytes, attributes: Attributes, condition: Condition) -> ObjectInfo:
        self._shelf.check_condition(key, condition)
        with Staged(self._shelf.staging) as staged:
            staged.write(body)
            return self._shelf.publish(staged, Label(key, md5_of(body), attributes), condition)

    def _copy(self, source: str, key: str, attributes: Attributes, etag: str) -> ObjectInfo:
        fd, info = self._shelf.open(source)
        try:
            check_etag(source, etag, info.etag)
            with Staged(self._shelf.staging) as staged:
                staged.append(fd)
                return self._shelf.publish(staged, Label(key, info.etag, attributes), None)
        finally:
            os.close(fd)

    def _put_part(self, key: str, upload_id: str, number: int, body: bytes, md5: bytes) -> Part:
        part = Part(number, check_md5(key, body, md5), len(body))
        self._uploads.add(key, upload_id, part, body)
        return part

    def _begin_join(self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition) -> Attributes:
        attributes = self._uploads.attributes(key, upload_id)
        self._shelf.check_condition(key, condition)
        check_parts(key, parts, self._uploads.parts(key, upload_id))
        return attributes

    async def _join(self, label: Label, parts: Sequence[Part], condition: Condition) -> ObjectInfo:
        """Publish the parts as one object. Each part is a call of its own, so that cancelling takes no longer."""
        staged = await self._run(label.key, Staged, self._shelf.staging)
        try:
            for part in parts:
                await self._run(label.key, self._uploads.append, staged, label.upload_id, part)
            return await self._run(label.key, self._shelf.publish, staged, label, condition)
        finally:
            await self._run(label.key, staged.close)
