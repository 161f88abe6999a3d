"""Google Cloud Storage, by its JSON interface.

The port's ETag is the MD5 where the service tells one. An object that was composed of parts has none: there it is `g`
and the generation. Conditions go by generation: the one that was just seen to have the ETag that is meant.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tiering.store import CorruptError, NotFoundError, ObjectInfo, RefusedError, StoreError, UnavailableError
from tiering.stores.gcs_dialect import DoubtfulError, GcsDialect, generation
from tiering.stores.gcs_parts import Parts
from tiering.stores.gcs_signer import GcsSigner
from tiering.stores.notes import MARK, unmarked
from tiering.stores.rest import Reply, Request, md5_of
from tiering.stores.rest_store import RestStore, Seen
from tiering.stores.rules import PAGE, check_etag, check_key, class_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiering.store import Attributes, Condition
    from tiering.stores.gcs_dialect import GcsSettings

_TOLD: Final = "name,size,md5Hash,generation,updated,storageClass,contentType,metadata"
_LISTED: Final = "items(name,size,md5Hash,generation,updated,storageClass),nextPageToken"


class GcsStore(RestStore):
    """A bucket, or what lies under a prefix in it. See tiering.store.Store."""

    REPLACED: ClassVar[type[StoreError]] = NotFoundError

    def __init__(self, settings: GcsSettings) -> None:
        """Open it. Nothing is sent yet. An event loop must be running."""
        self.settings = settings
        self._dialect = GcsDialect(settings)
        super().__init__(
            self._dialect,
            prefix=settings.prefix,
            concurrency=settings.concurrency,
            stall_seconds=settings.stall_seconds,
        )
        self._who = self._dialect.tokens
        self._pieces = Parts(self)

    def __repr__(self) -> str:
        return f"<GcsStore {self.url} {self.settings.endpoint or ''}>"

    @property
    def url(self) -> str:
        """See Store."""
        return f"gs://{self.settings.bucket}/{self._prefix}".rstrip("/")

    @property
    def signer(self) -> GcsSigner:
        """See RestStore."""
        return GcsSigner(self._dialect, self.full)

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        expected = await self.expected(key, condition)
        return await self.write(key, body, attributes, expected, await md5_of(body))

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        seen = await self.look(source)
        check_etag(source, etag, seen.info.etag)
        action = f"/rewriteTo{self.place(key).removeprefix('/storage/v1')}"
        token = ""
        while True:
            target = self.place(source, action, ifSourceGenerationMatch=seen.version, rewriteToken=token)
            answer = await self._told(self.documented("POST", target, self.described(key, attributes)), source)
            if answer.get("done", True):
                return await self.head(key)
            token = answer["rewriteToken"]

    async def identity(self) -> tuple[str, float | None]:
        """See RestStore."""
        if self._dialect.endpoint.startswith("http://"):
            return "nowhere: over http:// nobody says who he is", None
        return await super().identity()

    async def write(
        self, key: str, body: bytes, attributes: Attributes, expected: str | None, md5: bytes
    ) -> ObjectInfo:
        """Write an object that has this MD5 over the expected generation: "" is none, None whatever is there."""
        said = {**self.described(key, attributes), "name": self.full(key), "md5Hash": base64.b64encode(md5).decode()}
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(said)}\r\n--{boundary}\r\n"
        head += f"Content-Type: {attributes.content_type}\r\n\r\n"
        request = Request(
            "POST",
            self._dialect.upload_place(**generation(expected), fields=_TOLD),
            {"Content-Type": f"multipart/related; boundary={boundary}"},
            (head.encode(), body, f"\r\n--{boundary}--\r\n".encode()),
        )
        info = (await self._object(request, key)).info
        if info.etag != md5.hex():
            raise CorruptError(f"{key}: the store has bytes of MD5 {info.etag}, not {md5.hex()}", key=key)
        return info

    async def look(self, key: str) -> Seen:
        """See RestStore."""
        return await self._object(Request("GET", self.place(key, fields=_TOLD)), key)

    def reading(self, key: str, seen: Seen, span: str) -> Request:
        """See RestStore."""
        target = self.place(key, alt="media", generation=seen.version)
        return Request("GET", target, {"Range": span} if span else {})

    def removal(self, key: str, version: str | None) -> Request:
        """See RestStore."""
        return Request("DELETE", self.place(key, **generation(version)))

    async def page(self, prefix: str, after: str, token: str) -> tuple[Sequence[ObjectInfo], str]:
        """See RestStore."""
        start = f"{self._prefix}{after}" if after else ""
        target = self._dialect.place(
            prefix=self._prefix + prefix, startOffset=start, pageToken=token, maxResults=PAGE, fields=_LISTED
        )
        answer = await self._told(Request("GET", target, lists=True), "")
        return [self._listed(each) for each in answer.get("items", ())], answer.get("nextPageToken", "")

    def least(self) -> Request:
        """See RestStore."""
        return Request("GET", self._dialect.place(maxResults=1, fields="kind"), lists=True)

    def described(self, key: str, attributes: Attributes) -> dict[str, Any]:
        """Return attributes as the service wants them. Tags are none of its things."""
        said: dict[str, Any] = {"contentType": attributes.content_type, "metadata": dict(attributes.metadata)}
        storage_class = class_of(key, attributes, self.settings.storage_class)
        return said if storage_class is None else {**said, "storageClass": storage_class}

    def documented(self, method: str, target: str, document: object) -> Request:
        """Return a request that has a document for a body."""
        return Request(method, target, {"Content-Type": "application/json"}, (json.dumps(document).encode(),))

    def place(self, key: str, action: str = "", **query: object) -> str:
        """Return the target that means an object, or what is done with it."""
        return self._dialect.place(self.full(key), action, **query)

    async def ask(self, request: Request, key: str) -> Reply:
        """See RestStore. Where it is not clear what is missing, ask that."""
        try:
            return await self._rest.ask(request, key, seconds=self._patience(request))
        except DoubtfulError as error:
            if await self._has_bucket():
                raise
            raise RefusedError(
                "the store: there is no such bucket", key=key, hint="create the bucket, or correct [store] url"
            ) from error

    async def _told(self, request: Request, key: str) -> dict[str, Any]:
        """Return the document that is answered. One that is none says nothing about what exists."""
        body = (await self.ask(request, key)).body
        try:
            said = json.loads(body) if body else None
        except ValueError as error:
            raise UnavailableError(f"{key or 'the store'}: the answer is no document", key=key) from error
        return said if isinstance(said, dict) else {}

    def _patience(self, request: Request) -> float:
        """How long the service may take: minutes only where it copies."""
        is_long = "/rewriteTo/" in request.target or "/compose" in request.target
        return self.settings.assembly_seconds if is_long else self.settings.stall_seconds

    async def _has_bucket(self) -> bool:
        try:
            await self._rest.ask(self.least(), "")
        except NotFoundError:
            return False
        return True

    async def _object(self, request: Request, key: str) -> Seen:
        said = await self._told(request, key)
        try:
            return self._seen(said)
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"{key}: the answer is no object's", key=key) from error

    def _listed(self, said: Mapping[str, Any]) -> ObjectInfo:
        return replace(self._seen(said).info, metadata=None, content_type=None)

    def _seen(self, said: Mapping[str, Any]) -> Seen:
        version, metadata = str(int(said["generation"])), said.get("metadata") or {}
        info = ObjectInfo(
            said["name"].removeprefix(self._prefix),
            int(said["size"]),
            base64.b64decode(said["md5Hash"]).hex() if said.get("md5Hash") else f"g{version}",
            datetime.fromisoformat(said["updated"]).timestamp(),
            unmarked(metadata),
            said.get("contentType"),
            said.get("storageClass"),
        )
        return Seen(info, version, metadata.get(MARK))
