"""Google Cloud Storage, by its JSON interface.

The port's ETag is the MD5 where the service tells one. An object that was composed of parts has none: there it is `g`
and the generation. Conditions go by generation: the one that was just seen to have the ETag that is meant.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tiering.store import (
    Absent,
    CorruptError,
    NotFoundError,
    ObjectInfo,
    PreconditionError,
    RefusedError,
    UnavailableError,
)
from tiering.stores.gcs_dialect import DoubtfulError, GcsDialect
from tiering.stores.gcs_parts import Parts
from tiering.stores.notes import MARK, list_notes, read_note, remove_note, unmarked, write_note
from tiering.stores.rest import Request, Rest, by_loop, date_of, md5_of
from tiering.stores.rules import PAGE, body_length, check_condition, check_etag, check_key, check_part_number, is_listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from tiering.store import Attributes, Condition, Part, PendingUpload
    from tiering.stores.gcs_dialect import GcsSettings

_TOLD: Final = "name,size,md5Hash,generation,updated,storageClass,contentType,metadata"
_LISTED: Final = "items(name,size,md5Hash,generation,updated,storageClass),nextPageToken"
_TRIES: Final = 3
"""How often an object may be replaced between the question what it is and the reading of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object, and which of all that ever had its name."""

    info: ObjectInfo
    generation: int


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    rest: Rest
    response: aiohttp.ClientResponse
    length: int

    def chunks(self) -> AsyncIterator[bytes]:
        return self.rest.pieces(self.response, self.info.key, self.length)


class GcsStore:
    """A bucket, or what lies under a prefix in it. See tiering.store.Store."""

    def __init__(self, settings: GcsSettings) -> None:
        """Open it. Nothing is sent yet. An event loop must be running."""
        self.settings = settings
        self._dialect = GcsDialect(settings)
        self._loop = asyncio.get_running_loop()
        self._rest = Rest(self._dialect, concurrency=settings.concurrency, stall_seconds=settings.stall_seconds)
        self._prefix = f"{settings.prefix.strip('/')}/".lstrip("/")
        self._parts = Parts(self)

    def __repr__(self) -> str:
        return f"<GcsStore {self.url} {self.settings.endpoint or ''}>"

    @property
    def url(self) -> str:
        """See Store."""
        return f"gs://{self.settings.bucket}/{self._prefix}".rstrip("/")

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        expected = await self._expected(key, condition)
        return await self.write(key, body, attributes, expected, await md5_of(body))

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
        generation = None
        try:
            if etag is not None:
                seen = await self.look(key)
                check_etag(key, etag, seen.info.etag)
                generation = seen.generation
            await self.ask(Request("DELETE", self.place(key, ifGenerationMatch=generation)), key)
        except NotFoundError:
            return

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        token = ""
        start = f"{self._prefix}{after}" if after else ""
        while True:
            target = self._dialect.place(
                prefix=self._prefix + prefix, startOffset=start, pageToken=token, maxResults=PAGE, fields=_LISTED
            )
            answer = await self.ask(Request("GET", target), "")
            found = [self._listed(each) for each in answer.get("items", ())]
            page = [info for info in found if info.key > after and is_listed(info.key, prefix)]
            if page:
                yield page
            token = answer.get("nextPageToken", "")
            if not token:
                return

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        seen = await self.look(source)
        check_etag(source, etag, seen.info.etag)
        action = f"/rewriteTo{self.place(key).removeprefix('/storage/v1')}"
        token = ""
        while True:
            target = self.place(source, action, ifSourceGenerationMatch=seen.generation, rewriteToken=token)
            answer = await self.ask(self.documented("POST", target, self.described(attributes)), source)
            if answer.get("done", True):
                return await self.head(key)
            token = answer["rewriteToken"]

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
        return await self._parts.put(key, upload_id, number, body, md5=md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        await read_note(self, key, upload_id)
        return await self._parts.list(upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        try:
            note = await read_note(self, key, upload_id)
            expected = await self._expected(key, condition)
            if expected == 0:
                # Some servers do not look for us.
                check_condition(key, condition, await self._present_etag(key))
            await self._parts.compose(note, upload_id, parts, expected)
        except (NotFoundError, PreconditionError):
            if await self._made_of(key) != upload_id:
                raise
        await self.abort(key, upload_id)
        return await self.head(key)

    async def abort(self, key: str, upload_id: str) -> None:  # noqa: ARG002 - the port's
        """See Store."""
        # The note goes last: while it is there, whoever lists the uploads finds what is left.
        await self._parts.remove(upload_id)
        await remove_note(self, upload_id)

    def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        return list_notes(self)

    @property
    def credentials_end(self) -> float:
        """See Remote."""
        return self._dialect.tokens.expires or 0.0

    async def server_time(self) -> float:
        """See Remote."""
        return date_of(await self._rest.ask(Request("GET", self._dialect.place(maxResults=1, fields="kind")), ""))

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""
        if self._dialect.endpoint.startswith("http://"):
            return "nowhere: over http:// nobody says who he is", None
        await self._dialect.tokens.current()
        return self._dialect.tokens.source, self._dialect.tokens.expires

    async def close(self) -> None:
        """See Store."""
        await self._rest.close()

    def full(self, key: str) -> str:
        """Return the key as the bucket knows it. Raise RefusedError where it cannot be one."""
        full = self._prefix + key
        check_key(full if key else key)
        return full

    async def write(
        self, key: str, body: bytes, attributes: Attributes, expected: int | None, md5: bytes
    ) -> ObjectInfo:
        """Write an object that has this MD5 over the expected generation: 0 is none, None whatever is there."""
        said = {**self.described(attributes), "name": self.full(key), "md5Hash": base64.b64encode(md5).decode()}
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(said)}\r\n--{boundary}\r\n"
        head += f"Content-Type: {attributes.content_type}\r\n\r\n"
        request = Request(
            "POST",
            self._dialect.upload_place(ifGenerationMatch=expected, fields=_TOLD),
            {"Content-Type": f"multipart/related; boundary={boundary}"},
            (head.encode(), body, f"\r\n--{boundary}--\r\n".encode()),
        )
        info = (await self._object(request, key)).info
        if info.etag != md5.hex():
            raise CorruptError(f"{key}: the store has bytes of MD5 {info.etag}, not {md5.hex()}", key=key)
        return info

    async def look(self, key: str) -> Seen:
        """Return an object and its generation. Raise NotFoundError where there is none."""
        return await self._object(Request("GET", self.place(key, fields=_TOLD)), key)

    def described(self, attributes: Attributes) -> dict[str, Any]:
        """Return attributes as the service wants them. Tags are none of its things."""
        said: dict[str, Any] = {"contentType": attributes.content_type, "metadata": dict(attributes.metadata)}
        storage_class = attributes.storage_class or self.settings.storage_class
        return said if storage_class is None else {**said, "storageClass": storage_class}

    def documented(self, method: str, target: str, document: object) -> Request:
        """Return a request that has a document for a body."""
        return Request(method, target, {"Content-Type": "application/json"}, (json.dumps(document).encode(),))

    def place(self, key: str, action: str = "", **query: object) -> str:
        """Return the target that means an object, or what is done with it."""
        return self._dialect.place(self.full(key), action, **query)

    async def ask(self, request: Request, key: str) -> dict[str, Any]:
        """Return the document that is answered. Raise StoreError; where it is not clear what is missing, ask that."""
        try:
            reply = await self._rest.ask(request, key, seconds=self._patience(request))
            return _document(reply.body, key)
        except DoubtfulError as error:
            if await self._has_bucket():
                raise
            raise RefusedError(
                "the store: there is no such bucket", key=key, hint="create the bucket, or correct [store] url"
            ) from error

    def _patience(self, request: Request) -> float:
        """How long the service may take: minutes only where it copies."""
        is_long = "/rewriteTo/" in request.target or "/compose" in request.target
        return self.settings.assembly_seconds if is_long else self.settings.stall_seconds

    async def _has_bucket(self) -> bool:
        try:
            await self._rest.ask(Request("GET", self._dialect.place(maxResults=1, fields="kind")), "")
        except NotFoundError:
            return False
        return True

    async def _object(self, request: Request, key: str) -> Seen:
        said = await self.ask(request, key)
        try:
            return self._seen(said)
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"{key}: the answer is no object's", key=key) from error

    async def _open(
        self, stack: AsyncExitStack, key: str, etag: str | None, start: int, length: int | None
    ) -> tuple[Seen, aiohttp.ClientResponse]:
        """Return what is there, and its body: of this very generation."""
        for _ in range(_TRIES):
            seen = await self.look(key)
            check_etag(key, etag, seen.info.etag)
            end = start + body_length(seen.info, start, length)
            headers = {"Range": f"bytes={start}-{end - 1}"} if 0 < end - start < seen.info.size else {}
            request = Request("GET", self.place(key, alt="media", generation=seen.generation), headers)
            try:
                return seen, await stack.enter_async_context(self._rest.open(request, key))
            except NotFoundError:
                continue  # Replaced since it was looked at: look again.
        raise UnavailableError(f"{key}: it keeps changing while it is read", key=key)

    async def _expected(self, key: str, condition: Condition) -> int | None:
        """Return the generation that a write may replace: 0 for none, None for whatever is there."""
        if condition is None:
            return None
        if isinstance(condition, Absent):
            return 0
        try:
            seen = await self.look(key)
        except NotFoundError as error:
            raise PreconditionError(f"{key}: there is no object any more", key=key) from error
        check_condition(key, condition, seen.info.etag)
        return seen.generation

    async def _present_etag(self, key: str) -> str | None:
        try:
            return (await self.look(key)).info.etag
        except NotFoundError:
            return None

    async def _made_of(self, key: str) -> str | None:
        """Return of which upload the object that is there was made."""
        try:
            said = await self.ask(Request("GET", self.place(key, fields="metadata")), key)
        except NotFoundError:
            return None
        upload_id: str | None = (said.get("metadata") or {}).get(MARK)
        return upload_id

    def _listed(self, said: Mapping[str, Any]) -> ObjectInfo:
        return replace(self._seen(said).info, metadata=None, content_type=None)

    def _seen(self, said: Mapping[str, Any]) -> Seen:
        generation = int(said["generation"])
        info = ObjectInfo(
            said["name"].removeprefix(self._prefix),
            int(said["size"]),
            base64.b64decode(said["md5Hash"]).hex() if said.get("md5Hash") else f"g{generation}",
            datetime.fromisoformat(said["updated"]).timestamp(),
            unmarked(said.get("metadata") or {}),
            said.get("contentType"),
            said.get("storageClass"),
        )
        return Seen(info, generation)


def _document(body: bytes, key: str) -> dict[str, Any]:
    """Return an answer's document. An answer that is none says nothing about what exists."""
    try:
        said = json.loads(body) if body else None
    except ValueError as error:
        raise UnavailableError(f"{key or 'the store'}: the answer is no document", key=key) from error
    return said if isinstance(said, dict) else {}
