"""Azure Blob Storage, by its REST interface.

The port's ETag is the MD5 that the service keeps of a blob that came in one request. One that was made of blocks has
none: there it is the service's own ETag. Conditions go by that one: of the blob that was just seen to be the one meant.
"""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tiering.store import ObjectInfo, RefusedError, UnavailableError
from tiering.stores.azure_blocks import Blocks
from tiering.stores.azure_dialect import AzureDialect, document
from tiering.stores.azure_signer import AzureSigner
from tiering.stores.notes import MARK, unmarked
from tiering.stores.rest import Request, md5_of
from tiering.stores.rest_store import RestStore, Seen
from tiering.stores.rules import PAGE, check_etag, check_key, class_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from tiering.store import Attributes, Condition
    from tiering.stores.azure_dialect import AzureSettings
    from tiering.stores.rest import Reply

_POLL_SECONDS: Final = 1.0
_META: Final = "x-ms-meta-"
_NOTHING: Final = "-"
"""The mark of a copy that has no metadata: without any, it would have those of its source."""


class AzureStore(RestStore):
    """A container, or what lies under a prefix in it. See tiering.store.Store."""

    def __init__(self, settings: AzureSettings) -> None:
        """Open it. Nothing is sent yet. An event loop must be running. Raise RefusedError where no account is named."""
        self.settings = settings
        self._dialect = AzureDialect(settings)
        super().__init__(
            self._dialect,
            prefix=settings.prefix,
            concurrency=settings.concurrency,
            stall_seconds=settings.stall_seconds,
        )
        self._who = self._dialect.credentials
        self._pieces = Blocks(self)

    def __repr__(self) -> str:
        return f"<AzureStore {self.url} {self._dialect.endpoint}>"

    @property
    def url(self) -> str:
        """See Store."""
        return f"az://{self.settings.container}/{self._prefix}".rstrip("/")

    @property
    def signer(self) -> AzureSigner:
        """See RestStore."""
        return AzureSigner(self._dialect, self.full)

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        headers = {
            **self.described(key, attributes),
            **await self.conditions(key, condition),
            "x-ms-blob-type": "BlockBlob",
            "Content-MD5": base64.b64encode(await md5_of(body)).decode(),
        }
        reply = await self.ask(Request("PUT", self.place(key), headers, (body,)), key)
        etag = base64.b64decode(reply.headers.get("Content-MD5", "")).hex() or _unquoted(reply.headers["ETag"])
        return ObjectInfo(key, len(body), etag, time.time(), dict(attributes.metadata), attributes.content_type)

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        seen = await self.look(source)
        check_etag(source, etag, seen.info.etag)
        said = self.described(key, attributes)
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

    async def look(self, key: str) -> Seen:
        """See RestStore."""
        reply = await self.ask(Request("HEAD", self.place(key)), key)
        try:
            return _seen(key, reply)
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"{key}: the answer is no blob's", key=key) from error

    def reading(self, key: str, seen: Seen, span: str) -> Request:
        """See RestStore."""
        return Request("GET", self.place(key), {"If-Match": seen.version} | ({"x-ms-range": span} if span else {}))

    def removal(self, key: str, version: str | None) -> Request:
        """See RestStore."""
        return Request("DELETE", self.place(key), {} if version is None else {"If-Match": version})

    async def page(self, prefix: str, after: str, token: str) -> tuple[Sequence[ObjectInfo], str]:  # noqa: ARG002 - as RestStore has it
        """See RestStore. The service begins every listing at its beginning."""
        target = self._dialect.place(
            restype="container", comp="list", prefix=self._prefix + prefix, maxresults=PAGE, marker=token
        )
        answer = document((await self.ask(Request("GET", target, lists=True), "")).body, "EnumerationResults")
        return [self._listed(each) for each in answer.iterfind("Blobs/Blob")], answer.findtext("NextMarker") or ""

    def least(self) -> Request:
        """See RestStore."""
        return Request("GET", self._dialect.place(restype="container", comp="list", maxresults=1), lists=True)

    def full(self, key: str) -> str:
        """See RestStore."""
        full = super().full(key)
        if "\\" in full:
            raise RefusedError(f"{key!a} cannot be a blob's key: the service makes / of its \\", key=key)
        return full

    def place(self, key: str, **query: object) -> str:
        """Return the target that means a blob."""
        return self._dialect.place(self.full(key), **query)

    def described(self, key: str, attributes: Attributes) -> dict[str, str]:
        """Return attributes as headers. The names of metadata have no hyphen here; tags are left out."""
        headers = {f"{_META}{_encoded(name)}": value for name, value in attributes.metadata.items()}
        headers["x-ms-blob-content-type"] = attributes.content_type
        tier = class_of(key, attributes, self.settings.storage_class)
        return headers if tier is None else {**headers, "x-ms-access-tier": tier.capitalize()}

    async def conditions(self, key: str, condition: Condition) -> dict[str, str]:
        """Return the headers by which a write is refused where the condition does not hold."""
        expected = await self.expected(key, condition)
        if expected is None:
            return {}
        return {"If-Match": expected} if expected else {"If-None-Match": "*"}

    async def _finished(self, key: str, attributes: Attributes, *, is_moved: bool) -> ObjectInfo:
        """Wait for a copy, and give it the content type that it is to have: the service copies the source's."""
        seen = await self._copied(key)
        if seen.info.content_type != attributes.content_type:
            headers = {"x-ms-blob-content-type": attributes.content_type, "If-Match": seen.version}
            if _is_md5(seen.info.etag):
                headers["x-ms-blob-content-md5"] = base64.b64encode(bytes.fromhex(seen.info.etag)).decode()
            await self.ask(Request("PUT", self.place(key, comp="properties"), headers), key)
        tier = attributes.storage_class
        if tier and not is_moved:
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
