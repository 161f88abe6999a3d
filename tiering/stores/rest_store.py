"""What stores have in common that speak HTTP and have no multipart uploads with conditions.

The port's ETag is the MD5 where the service tells one, and the service has versions of its own: an object is read,
replaced and removed by the version that was just seen to have the ETag that is meant. An upload is a note.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from tiering.store import Absent, NotFoundError, PreconditionError, StoreError, UnavailableError
from tiering.stores.notes import list_notes, read_note, remove_note, write_note
from tiering.stores.rest import Rest, by_loop, date_of
from tiering.stores.rules import body_length, check_condition, check_etag, check_key, check_part_number, is_listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

    from tiering.presigner import Signer
    from tiering.store import Attributes, Condition, ObjectInfo, Part, PendingUpload
    from tiering.stores.notes import Note
    from tiering.stores.rest import Dialect, Reply, Request
    from tiering.toll import Toll

_TRIES: Final = 3
"""How often an object may be replaced between the question what it is and the reading of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object; which of all that ever had its name; of which upload it was made; where a copy to it has got."""

    info: ObjectInfo
    version: str
    mark: str | None = None
    copying: str = ""


class Pieces(Protocol):
    """The parts of all uploads of one store."""

    async def put(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """Write a part. Raise CorruptError, and keep nothing, where it is not of the MD5 that was said."""

    async def list(self, key: str, upload_id: str) -> list[Part]:
        """Return the parts that the store has, by number."""

    async def join(self, note: Note, upload_id: str, parts: Sequence[Part], condition: Condition) -> None:
        """Make the object of the parts. Raise CorruptError where the store does not have them."""

    async def remove(self, upload_id: str) -> None:
        """Remove what is left of an upload."""


class Identity(Protocol):
    """Who we are."""

    source: str

    async def current(self) -> object:
        """Return what says so. Raise CredentialsError where there is nothing."""

    @property
    def expires(self) -> float | None:
        """When that runs out, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    rest: Rest
    response: aiohttp.ClientResponse
    length: int

    def chunks(self) -> AsyncIterator[bytes]:
        return self.rest.pieces(self.response, self.info.key, self.length)


class RestStore(ABC):
    """See tiering.store.Store. What differs from one such store to another is abstract here."""

    _pieces: Pieces
    _who: Identity
    REPLACED: ClassVar[type[StoreError]] = PreconditionError
    """What a reading is refused by where the object has another version since it was looked at."""

    def __init__(self, dialect: Dialect, *, prefix: str, concurrency: int, stall_seconds: float) -> None:
        """Open it. Nothing is sent yet. An event loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._rest = Rest(dialect, concurrency=concurrency, stall_seconds=stall_seconds)
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")

    # What differs

    @property
    @abstractmethod
    def url(self) -> str:
        """See Store."""

    @property
    @abstractmethod
    def signer(self) -> Signer:
        """What signs URLs, if the credentials can."""

    @abstractmethod
    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""

    @abstractmethod
    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""

    @abstractmethod
    async def look(self, key: str) -> Seen:
        """Return an object and its version. Raise NotFoundError where there is none."""

    @abstractmethod
    def reading(self, key: str, seen: Seen, span: str) -> Request:
        """Return the request for the body of this very version, or for a span of it as HTTP has it."""

    @abstractmethod
    def removal(self, key: str, version: str | None) -> Request:
        """Return the request that removes an object, of this version if it is to have one."""

    @abstractmethod
    async def page(self, prefix: str, after: str, token: str) -> tuple[Sequence[ObjectInfo], str]:
        """Return some objects in the order of the service, and by which token it goes on; "" for none."""

    @abstractmethod
    def least(self) -> Request:
        """Return the request that asks for least."""

    # What does not

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store. The loop does it, whose the connections are."""
        return by_loop(self._loop, self.put(key, body, attributes, condition))

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        return (await self.look(key)).info

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[_Download]:
        """See Store."""
        async with AsyncExitStack() as stack:
            seen, response = await self._open(stack, key, etag, start, length)
            yield _Download(seen.info, self._rest, response, body_length(seen.info, start, length))

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        version = None
        try:
            if etag is not None:
                seen = await self.look(key)
                check_etag(key, etag, seen.info.etag)
                version = seen.version
            await self.ask(self.removal(key, version), key)
        except NotFoundError:
            return

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        token = ""
        while True:
            found, token = await self.page(prefix, after, token)
            page = [info for info in found if info.key > after and is_listed(info.key, prefix)]
            if page:
                yield page
            if not token:
                return

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        check_key(key)
        upload_id = uuid.uuid4().hex
        await write_note(self, key, upload_id, attributes)
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        check_part_number(key, number)
        await read_note(self, key, upload_id)
        return await self._pieces.put(key, upload_id, number, body, md5=md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        await read_note(self, key, upload_id)
        return await self._pieces.list(key, upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        try:
            note = await read_note(self, key, upload_id)
            if isinstance(condition, Absent):
                # Some servers do not look for us, and a write may have dropped the parts: what is there is told first.
                check_condition(key, condition, await self._present_etag(key))
            await self._pieces.join(note, upload_id, parts, condition)
        except (NotFoundError, PreconditionError):
            if not await self._is_made_of(key, upload_id):
                raise
        await self.abort(key, upload_id)
        return await self.head(key)

    async def abort(self, key: str, upload_id: str) -> None:  # noqa: ARG002 - the port's
        """See Store."""
        # The note goes last: while it is there, whoever lists the uploads finds what is left.
        await self._pieces.remove(upload_id)
        await remove_note(self, upload_id)

    def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        return list_notes(self)

    @property
    def toll(self) -> Toll:
        """See Remote."""
        return self._rest.toll

    @property
    def credentials_end(self) -> float:
        """See Remote."""
        return self._who.expires or 0.0

    async def server_time(self) -> float:
        """See Remote."""
        return date_of(await self._rest.ask(self.least(), ""))

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""
        await self._who.current()
        return self._who.source, self._who.expires

    async def close(self) -> None:
        """See Store."""
        await self._rest.close()

    async def ask(self, request: Request, key: str) -> Reply:
        """Return an answer. Raise StoreError."""
        return await self._rest.ask(request, key)

    def full(self, key: str) -> str:
        """Return the key as the service knows it. Raise RefusedError where it cannot be one."""
        full = self._prefix + key
        check_key(full if key else key)
        return full

    async def expected(self, key: str, condition: Condition) -> str | None:
        """Return the version that a write may replace: "" for none, None for whatever is there."""
        if condition is None:
            return None
        if isinstance(condition, Absent):
            return ""
        try:
            seen = await self.look(key)
        except NotFoundError as error:
            raise PreconditionError(f"{key}: there is no object any more", key=key) from error
        check_condition(key, condition, seen.info.etag)
        return seen.version

    async def _open(
        self, stack: AsyncExitStack, key: str, etag: str | None, start: int, length: int | None
    ) -> tuple[Seen, aiohttp.ClientResponse]:
        """Return what is there, and its body: of this very version."""
        for _ in range(_TRIES):
            seen = await self.look(key)
            check_etag(key, etag, seen.info.etag)
            end = start + body_length(seen.info, start, length)
            span = f"bytes={start}-{end - 1}" if 0 < end - start < seen.info.size else ""
            try:
                return seen, await stack.enter_async_context(self._rest.open(self.reading(key, seen, span), key))
            except self.REPLACED:
                continue  # Replaced since it was looked at: look again.
        raise UnavailableError(f"{key}: it keeps changing while it is read", key=key)

    async def _present_etag(self, key: str) -> str | None:
        try:
            return (await self.look(key)).info.etag
        except NotFoundError:
            return None

    async def _is_made_of(self, key: str, upload_id: str) -> bool:
        """Whether the object that is there was made of this upload."""
        try:
            return (await self.look(key)).mark == upload_id
        except NotFoundError:
            return False
