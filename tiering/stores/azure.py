"""Azure Blob Storage, by its REST interface.

The port's ETag is the MD5 that the service keeps of a blob that came in one request. One that was made of blocks has
none: there it is the service's own ETag. Conditions go by that one: of the blob that was just seen to be the one meant.
"""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tiering.store import (
    Absent,
    NotFoundError,
    ObjectInfo,
    PreconditionError,
    RefusedError,
    UnavailableError,
)
from tiering.stores.azure_blocks import Blocks
from tiering.stores.azure_dialect import AzureDialect, document
from tiering.stores.notes import MARK, list_notes, read_note, remove_note, unmarked, write_note
from tiering.stores.rest import Request, Rest, by_loop, date_of, md5_of
from tiering.stores.rules import PAGE, body_length, check_condition, check_etag, check_key, check_part_number, is_listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from xml.etree.ElementTree import Element

    import aiohttp

    from tiering.store import Attributes, Condition, Part, PendingUpload
    from tiering.stores.azure_dialect import AzureSettings
    from tiering.stores.rest import Reply

_TRIES: Final = 3
"""How often a blob may be replaced between the question what it is and the reading of it."""
_POLL_SECONDS: Final = 1.0
_META: Final = "x-ms-meta-"
_NOTHING: Final = "-"
"""The mark of a copy that has no metadata: without any, it would have those of its source."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A blob, by the service's own ETag, quotes included, and where a copy to it has got."""

    info: ObjectInfo
    version: str
    mark: str | None
    copying: str


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    rest: Rest
    response: aiohttp.ClientResponse
    length: int

    def chunks(self) -> AsyncIterator[bytes]:
        return self.rest.pieces(self.response, self.info.key, self.length)


class AzureStore:
    """A container, or what lies under a prefix in it. See tiering.store.Store."""

    def __init__(self, settings: AzureSettings) -> None:
        """Open it. Nothing is sent yet. An event loop must be running. Raise RefusedError where no account is named."""
        self.settings = settings
        self._dialect = AzureDialect(settings)
        self._loop = asyncio.get_running_loop()
        self._rest = Rest(self._dialect, concurrency=settings.concurrency, stall_seconds=settings.stall_seconds)
        self._prefix = f"{settings.prefix.strip('/')}/".lstrip("/")
        self._blocks = Blocks(self)

    def __repr__(self) -> str:
        return f"<AzureStore {self.url} {self._dialect.endpoint}>"

    @property
    def url(self) -> str:
        """See Store."""
        return f"az://{self.settings.container}/{self._prefix}".rstrip("/")

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        headers = {
            **self.described(attributes),
            **await self.conditions(key, condition),
            "x-ms-blob-type": "BlockBlob",
            "Content-MD5": base64.b64encode(await md5_of(body)).decode(),
        }
        reply = await self.ask(Request("PUT", self.place(key), headers, (body,)), key)
        etag = base64.b64decode(reply.headers.get("Content-MD5", "")).hex() or _unquoted(reply.headers["ETag"])
        return ObjectInfo(key, len(body), etag, time.time(), dict(attributes.metadata), attributes.content_type)

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
        headers = {}
        try:
            if etag is not None:
                seen = await self.look(key)
                check_etag(key, etag, seen.info.etag)
                headers["If-Match"] = seen.version
            await self.ask(Request("DELETE", self.place(key), headers), key)
        except NotFoundError:
            return

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store. The service begins every listing at its beginning."""
        marker = ""
        while True:
            target = self._dialect.place(
                restype="container", comp="list", prefix=self._prefix + prefix, maxresults=PAGE, marker=marker
            )
            answer = document((await self.ask(Request("GET", target), "")).body, "EnumerationResults")
            found = [self._listed(each) for each in answer.iterfind("Blobs/Blob")]
            page = [info for info in found if info.key > after and is_listed(info.key, prefix)]
            if page:
                yield page
            marker = answer.findtext("NextMarker") or ""
            if not marker:
                return

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        seen = await self.look(source)
        check_etag(source, etag, seen.info.etag)
        said = self.described(attributes)
        metadata = {name: value for name, value in said.items() if name.startswith(_META)}
        headers = metadata or {f"{_META}{_encoded(MARK)}": _NOTHING}
        if source == key:
            request = Request("PUT", self.place(key, comp="metadata"), {**headers, "If-Match": seen.version})
        else:
            tier = {name: value for name, value in said.items() if name == "x-ms-access-tier"}
            there = self._dialect.endpoint + self.place(source)
            headers = {**headers, **tier, "x-ms-copy-source": there, "x-ms-source-if-match": seen.version}
            request = Request("PUT", self.place(key), headers)
        await self.ask(request, source)
        return await self._finished(key, attributes, is_moved=source != key)

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
        return await self._blocks.put(key, upload_id, number, body, md5=md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store. What nobody committed within a week the service drops."""
        await read_note(self, key, upload_id)
        return await self._blocks.list(key, upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        try:
            note = await read_note(self, key, upload_id)
            # A write in one request has dropped the blocks: that it was there is to be told first.
            conditions = await self.conditions(key, condition)
            if isinstance(condition, Absent):
                check_condition(key, condition, await self._present_etag(key))
            await self._blocks.commit(note, upload_id, parts, conditions)
        except (NotFoundError, PreconditionError):
            if await self._made_of(key) != upload_id:
                raise
        await self.abort(key, upload_id)
        return await self.head(key)

    async def abort(self, key: str, upload_id: str) -> None:  # noqa: ARG002 - the port's
        """See Store. The service drops blocks that nobody commits within a week."""
        await remove_note(self, upload_id)

    def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        return list_notes(self)

    @property
    def credentials_end(self) -> float:
        """See Remote."""
        return self._dialect.credentials.expires or 0.0

    async def server_time(self) -> float:
        """See Remote."""
        target = self._dialect.place(restype="container", comp="list", maxresults=1)
        return date_of(await self.ask(Request("GET", target), ""))

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""
        await self._dialect.credentials.current()
        return self._dialect.credentials.source, self._dialect.credentials.expires

    async def close(self) -> None:
        """See Store."""
        await self._rest.close()

    async def look(self, key: str) -> Seen:
        """Return a blob and its version. Raise NotFoundError where there is none."""
        reply = await self.ask(Request("HEAD", self.place(key)), key)
        try:
            return _seen(key, reply)
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"{key}: the answer is no blob's", key=key) from error

    def place(self, key: str, **query: object) -> str:
        """Return the target that means a blob. Raise RefusedError where its key cannot be one."""
        full = self._prefix + key
        check_key(full if key else key)
        if "\\" in full:
            raise RefusedError(f"{key!a} cannot be a blob's key: the service makes / of its \\", key=key)
        return self._dialect.place(full, **query)

    def described(self, attributes: Attributes) -> dict[str, str]:
        """Return attributes as headers. The names of metadata have no hyphen here; tags are left out."""
        headers = {f"{_META}{_encoded(name)}": value for name, value in attributes.metadata.items()}
        headers["x-ms-blob-content-type"] = attributes.content_type
        tier = attributes.storage_class or self.settings.storage_class
        return headers if tier is None else {**headers, "x-ms-access-tier": tier.capitalize()}

    async def conditions(self, key: str, condition: Condition) -> dict[str, str]:
        """Return the headers by which a write is refused where the condition does not hold."""
        if condition is None:
            return {}
        if isinstance(condition, Absent):
            return {"If-None-Match": "*"}
        try:
            seen = await self.look(key)
        except NotFoundError as error:
            raise PreconditionError(f"{key}: there is no blob any more", key=key) from error
        check_condition(key, condition, seen.info.etag)
        return {"If-Match": seen.version}

    async def ask(self, request: Request, key: str) -> Reply:
        """Return an answer. Raise StoreError."""
        return await self._rest.ask(request, key)

    async def _finished(self, key: str, attributes: Attributes, *, is_moved: bool) -> ObjectInfo:
        """Wait for a copy, and give it the content type that it is to have: the service copies the source's."""
        seen = await self._copied(key)
        if seen.info.content_type != attributes.content_type:
            headers = {"x-ms-blob-content-type": attributes.content_type, "If-Match": seen.version}
            if _is_md5(seen.info.etag):
                headers["x-ms-blob-content-md5"] = base64.b64encode(bytes.fromhex(seen.info.etag)).decode()
            await self.ask(Request("PUT", self.place(key, comp="properties"), headers), key)
        tier = attributes.storage_class
        if tier is not None and not is_moved:
            await self.ask(Request("PUT", self.place(key, comp="tier"), {"x-ms-access-tier": tier.capitalize()}), key)
        return await self.head(key)

    async def _copied(self, key: str) -> Seen:
        try:
            async with asyncio.timeout(self.settings.assembly_seconds):
                seen = await self.look(key)
                while seen.copying == "pending":
                    await asyncio.sleep(_POLL_SECONDS)
                    seen = await self.look(key)
        except TimeoutError as error:
            raise UnavailableError(f"{key}: the copy within the store takes too long", key=key) from error
        if seen.copying in {"failed", "aborted"}:
            raise UnavailableError(f"{key}: the copy within the store has {seen.copying}", key=key)
        return seen

    async def _open(
        self, stack: AsyncExitStack, key: str, etag: str | None, start: int, length: int | None
    ) -> tuple[Seen, aiohttp.ClientResponse]:
        """Return what is there, and its body: of this very version."""
        for _ in range(_TRIES):
            seen = await self.look(key)
            check_etag(key, etag, seen.info.etag)
            end = start + body_length(seen.info, start, length)
            headers = {"x-ms-range": f"bytes={start}-{end - 1}"} if 0 < end - start < seen.info.size else {}
            request = Request("GET", self.place(key), {**headers, "If-Match": seen.version})
            try:
                return seen, await stack.enter_async_context(self._rest.open(request, key))
            except PreconditionError:
                continue  # Replaced since it was looked at: look again.
        raise UnavailableError(f"{key}: it keeps changing while it is read", key=key)

    async def _present_etag(self, key: str) -> str | None:
        try:
            return (await self.look(key)).info.etag
        except NotFoundError:
            return None

    async def _made_of(self, key: str) -> str | None:
        """Return of which upload the blob that is there was made."""
        try:
            return (await self.look(key)).mark
        except NotFoundError:
            return None

    def _listed(self, found: Element) -> ObjectInfo:
        name = found.find("Name")
        full = "" if name is None else name.text or ""
        if name is not None and name.get("Encoded") == "true":
            full = unquote(full)
        said = {each.tag: each.text or "" for each in found.iterfind("Properties/*")}
        etag = base64.b64decode(said.get("Content-MD5", "")).hex() or _unquoted(said["Etag"])
        return ObjectInfo(
            full.removeprefix(self._prefix),
            int(said["Content-Length"]),
            etag,
            _seconds(said["Last-Modified"]),
            storage_class=said.get("AccessTier", "").upper() or None,
        )


def _seen(key: str, reply: Reply) -> Seen:
    headers = reply.headers
    metadata = {
        _decoded(name.lower().removeprefix(_META)): value
        for name, value in headers.items()
        if name.lower().startswith(_META)
    }
    etag = base64.b64decode(headers.get("Content-MD5", "")).hex() or _unquoted(headers["ETag"])
    info = ObjectInfo(
        key,
        int(headers["Content-Length"]),
        etag,
        _seconds(headers["Last-Modified"]),
        unmarked(metadata),
        headers.get("Content-Type"),
        headers.get("x-ms-access-tier", "").upper() or None,
    )
    return Seen(info, headers["ETag"], metadata.get(MARK), headers.get("x-ms-copy-status", ""))


def _encoded(name: str) -> str:
    """Return a metadata entry's name as the service takes it: like a variable's, in C#."""
    return name.replace("-", "_")


def _decoded(name: str) -> str:
    return name.replace("_", "-")


def _is_md5(etag: str) -> bool:
    return len(etag) == 32 and not etag.startswith("0x")  # noqa: PLR2004 - an MD5 in hex


def _seconds(moment: str) -> float:
    return parsedate_to_datetime(moment).replace(tzinfo=UTC).timestamp()


def _unquoted(etag: str) -> str:
    return etag.strip('"')
