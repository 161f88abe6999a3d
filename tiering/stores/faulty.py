"""A store that fails as it is told to: for tests, and for seeing what tierd does then.

A script is a list of faults. Each says of which operation which call it strikes, and what it does there; what no
fault strikes goes through untouched.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from tiering.drive import drive
from tiering.store import CorruptError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tiering.store import Attributes, Condition, Download, ObjectInfo, Part, PendingUpload, Store

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Strikes calls `first` to `first + times - 1` of an operation, counted from 1; `times` None is for ever."""

    operation: str
    first: int = 1
    times: int | None = 1

    def strikes(self, operation: str, call: int) -> bool:
        """Whether this call is struck."""
        last = None if self.times is None else self.first + self.times
        return operation == self.operation and call >= self.first and (last is None or call < last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Fault):
    """Raises the error: before the call takes effect, or after, when the answer is lost."""

    error: Exception
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault):
    """Keeps the call waiting until `release` is set; `reached` is set when it waits. After: when it took effect."""

    after: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage(Fault):
    """Changes the body of a `get`: `change` gets the whole and returns what comes instead.

    `error` is raised after it; a body that ends short without one ends in CorruptError, as the port promises.
    """

    operation: str = "get"
    change: Callable[[bytes], bytes]
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie(Fault):
    """Changes the answer: `change` gets the true one and returns what is told instead."""

    change: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretend(Fault):
    """Does nothing, and answers as if it had."""

    answer: Any = None


@dataclass(frozen=True, slots=True)
class _DamagedDownload:
    """A download whose whole body goes through a fault."""

    download: Download
    fault: Damage

    @property
    def info(self) -> ObjectInfo:
        return self.download.info

    async def chunks(self) -> AsyncIterator[bytes]:
        true = b"".join([chunk async for chunk in self.download.chunks()])
        body = self.fault.change(true)
        yield body
        if self.fault.error is not None:
            raise self.fault.error
        if len(body) != len(true):
            key = self.info.key
            raise CorruptError(f"{key}: {len(body)} bytes came where {len(true)} were to come", key=key)


Faults: TypeAlias = list[Fault]
"""Named here because a store has a method called list."""


class FaultyStore:
    """A coat for any store, with a script that a test may change as it goes. See tiering.store.Store.

    `calls` counts by operation what was asked, struck or not.
    """

    def __init__(self, store: Store, *script: Fault) -> None:
        self._store = store
        self.script: list[Fault] = list(script)
        self.calls: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<FaultyStore {self._store!r} script={self.script}>"

    @property
    def url(self) -> str:
        """See Store."""
        return self._store.url

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        return await self._call("put", lambda: self._store.put(key, body, attributes, condition))

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store. A Hold cannot strike here: nothing is to be waited for."""

        async def put() -> ObjectInfo:
            return self._store.put_blocking(key, body, attributes, condition)

        return drive(self._call("put", put))

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        return await self._call("head", lambda: self._store.head(key))

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[Download]:
        """See Store."""
        faults = self._strike("get")
        await _before(faults)
        async with self._store.get(key, etag=etag, start=start, length=length) as download:
            await _after(faults)
            given: Download = download
            for fault in faults:
                if isinstance(fault, Damage):
                    given = _DamagedDownload(given, fault)
            yield given

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        await self._call("delete", lambda: self._store.delete(key, etag=etag))

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        faults = self._strike("list")
        await _before(faults)
        async for page in self._store.list(prefix, after=after):
            yield _told(faults, page)
        await _after(faults)

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        return await self._call("copy", lambda: self._store.copy(source, key, attributes, etag=etag))

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        return await self._call("create_upload", lambda: self._store.create_upload(key, attributes))

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        return await self._call("put_part", lambda: self._store.put_part(key, upload_id, number, body, md5=md5))

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        return await self._call("list_parts", lambda: self._store.list_parts(key, upload_id))

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        return await self._call("complete", lambda: self._store.complete(key, upload_id, parts, condition))

    async def abort(self, key: str, upload_id: str) -> None:
        """See Store."""
        await self._call("abort", lambda: self._store.abort(key, upload_id))

    async def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        faults = self._strike("list_uploads")
        await _before(faults)
        async for page in self._store.list_uploads():
            yield _told(faults, page)
        await _after(faults)

    async def close(self) -> None:
        """See Store."""
        await self._store.close()

    def _strike(self, operation: str) -> Faults:
        self.calls[operation] += 1
        return [fault for fault in self.script if fault.strikes(operation, self.calls[operation])]

    async def _call(self, operation: str, call: Callable[[], Awaitable[_T]]) -> _T:
        faults = self._strike(operation)
        await _before(faults)
        for fault in faults:
            if isinstance(fault, Pretend):
                return cast("_T", fault.answer)
        answer = await call()
        await _after(faults)
        return _told(faults, answer)


async def _before(faults: Faults) -> None:
    for fault in faults:
        if isinstance(fault, (Fail, Hold)) and not fault.after:
            await _happen(fault)


async def _after(faults: Faults) -> None:
    for fault in faults:
        if isinstance(fault, (Fail, Hold)) and fault.after:
            await _happen(fault)


async def _happen(fault: Fail | Hold) -> None:
    if isinstance(fault, Fail):
        raise fault.error
    fault.reached.set()
    await fault.release.wait()


def _told(faults: Faults, answer: _T) -> _T:
    for fault in faults:
        if isinstance(fault, Lie):
            answer = fault.change(answer)
    return answer
