"""S3 and what speaks its language: the Rust library moves the bytes, the Python one does what is particular to S3."""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from tiering.store import (
    Absent,
    CorruptError,
    NotFoundError,
    ObjectInfo,
    PreconditionError,
    StoreError,
    UnavailableError,
    Unchanged,
)
from tiering.stores.rules import PAGE, body_length, check_condition, check_etag, class_of, is_listed, multipart_etag
from tiering.stores.s3_connection import connected
from tiering.stores.s3_errors import FOREIGN, read_answer, translate
from tiering.stores.s3_requests import SLOWEST, Requests, quoted, unquoted
from tiering.stores.s3_uploads import Uploads
from tiering.toll import Fare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from obstore import Attributes as Headers
    from obstore import GetOptions, GetResult, PutMode, PutResult

    from tiering.store import Attributes, Condition, Part, PendingUpload
    from tiering.stores.s3_connection import S3Settings
    from tiering.toll import Toll

_CHUNK: Final = 256 * 1024
_HEADERS: Final = frozenset(
    ["Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Storage-Class"]
)
_UNEXPLAINED: Final = frozenset([400, 403, 404])
"""The answer to a HEAD has no body that tells a missing object from a missing bucket: a GET must ask again."""
_PARTS: Final = re.compile(r"[0-9a-f]{32}-[0-9]+")
_STANDARD: Final = "STANDARD"
"""The class that servers do not name."""
_MD5: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    requests: Requests
    result: GetResult
    length: int

    async def chunks(self) -> AsyncIterator[bytes]:
        stream = self.result.stream(_CHUNK)
        key, left = self.info.key, self.length
        while True:
            try:
                # Silence, not slowness, is what ends a download.
                async with self.requests.guarded(key, self.requests.settings.stall_seconds):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                break
            left -= len(chunk)
            yield chunk
        if left:
            raise CorruptError(f"{key}: {self.length - left} bytes came where {self.length} were to come", key=key)


class S3Store:
    """A bucket, or what lies under a prefix in it. See tiering.store.Store."""

    def __init__(self, requests: Requests, stack: AsyncExitStack) -> None:
        self._requests = requests
        self._uploads = Uploads(requests)
        self._stack = stack
        self._bucket = requests.bucket

    def __repr__(self) -> str:
        return f"<S3Store {self.url} {self._requests.settings.endpoint or ''}>"

    @classmethod
    async def connect(cls, settings: S3Settings) -> Self:
        """Return the store. Nothing is sent yet: what is wrong with server or credentials shows at the first call.

        Raise StoreError where the AWS configuration contradicts the settings: a profile that there is not.
        """
        try:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(connected(settings))
                return cls(Requests(connection), stack.pop_all())
        except FOREIGN as error:
            raise translate(error, key="", source="the AWS configuration") from error

    @property
    def url(self) -> str:
        """See Store."""
        return f"s3://{self._requests.settings.bucket}/{self._requests.prefix}".rstrip("/")

    @property
    def signer(self) -> Requests:
        """What signs URLs."""
        return self._requests

    @property
    def requests(self) -> Requests:
        """The requests that are particular to S3, for what is about the bucket and not about an object."""
        return self._requests

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        try:
            return await self._put(key, body, attributes, condition)
        except NotFoundError as error:
            raise PreconditionError(f"{key}: there is no object any more", key=key) from error
        except PreconditionError:
            if isinstance(condition, Absent) and await self._is_only_directory(key):
                return await self._put(key, body, attributes, None)
            raise

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        full = self._requests.full(key)
        try:
            with self._requests.translated(key, Fare.WRITE):
                result = self._requests.prompt.put(
                    full, body, attributes=self._headers(key, attributes), mode=_mode(condition), use_multipart=False
                )
        except NotFoundError as error:
            raise PreconditionError(f"{key}: there is no object any more", key=key) from error
        return _written(key, body, attributes, result)

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        full = self._requests.full(key)
        try:
            return _info(key, await self._open(key, full, {"head": True}))
        except StoreError as error:
            if error.__cause__ is None or read_answer(error.__cause__).status not in _UNEXPLAINED:
                raise
            return _info(key, await self._open(key, full, {}))

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[_Download]:
        """See Store."""
        options: GetOptions = {}
        if etag is not None:
            options["if_match"] = quoted(etag)
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        result = await self._open(key, self._requests.full(key), options)
        info = _info(key, result)
        check_etag(key, etag, info.etag)
        yield _Download(info, self._requests, result, body_length(info, start, length))

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        condition: dict[str, Any] = {}
        try:
            if etag is not None:
                # Some servers do not look for us.
                check_etag(key, etag, (await self.head(key)).etag)
                condition["IfMatch"] = quoted(etag)
            await self._requests.ask("delete_object", key, Key=self._requests.full(key), **condition)
        except NotFoundError as error:
            # Removing nothing is no error to S3: whoever says that there is nothing is asked once more.
            if await self._present_etag(key) is not None:
                raise UnavailableError(f"{key}: it is there, and yet it was said to be missing", key=key) from error

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        ours = self._requests.prefix
        # SeaweedFS skips a directory whose name it begins after: begin before all that lies beside it.
        start = after[:-1].rpartition("/")[0]
        place: dict[str, Any] = {"StartAfter": f"{ours}{start}/"} if start else {}
        while True:
            answer = await self._requests.ask(
                "list_objects_v2", "", needs="IsTruncated", Prefix=ours + prefix, MaxKeys=PAGE, **place
            )
            found = [_listed(each, ours) for each in answer.get("Contents", ()) if each["Key"].startswith(ours)]
            page = [info for info in found if info.key > after and is_listed(info.key, prefix)]
            if page:
                yield page
            if not answer["IsTruncated"]:
                return
            place = {"ContinuationToken": answer["NextContinuationToken"]}

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        found = await self.head(source)
        check_etag(source, etag, found.etag)
        if source == key and _PARTS.fullmatch(etag):
            await self._uploads.copy_alike(found, attributes)
        else:
            await self._uploads.copy(found, key, attributes)
        return await self.head(key)

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        return await self._uploads.begin(key, attributes)

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        return await self._uploads.add(key, upload_id, number, body, md5=md5)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        return await self._uploads.parts(key, upload_id)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        try:
            if condition is not None:
                # Some servers do not look for us.
                check_condition(key, condition, await self._present_etag(key))
            await self._uploads.finish(key, upload_id, parts, condition)
        except (NotFoundError, PreconditionError) as error:
            if isinstance(error, PreconditionError) and await self._is_only_directory(key):
                await self._uploads.finish(key, upload_id, parts, None)
            elif not await self._was_completed(key, upload_id, parts):
                raise
        return await self.head(key)

    async def abort(self, key: str, upload_id: str) -> None:
        """See Store."""
        await self._uploads.drop(key, upload_id)

    def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        return self._uploads.pending()

    async def server_time(self) -> float:
        """Return what time it is there, in seconds since the epoch. Raise StoreError where it does not say."""
        return await self._requests.server_time()

    @property
    def toll(self) -> Toll:
        """See Remote."""
        return self._requests.toll

    @property
    def credentials_end(self) -> float:
        """When the present credentials run out, in seconds since the epoch; 0 where they do not, or are not known."""
        return self._requests.credentials_end

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""
        return await self._requests.identity()

    async def close(self) -> None:
        """See Store."""
        await self._stack.aclose()

    async def _put(self, key: str, body: bytes, attributes: Attributes, condition: Condition) -> ObjectInfo:
        full = self._requests.full(key)
        patience = self._requests.settings.stall_seconds + len(body) / SLOWEST
        async with self._requests.guarded(key, patience, Fare.WRITE):
            result = await self._bucket.put_async(
                full,
                body,
                attributes=self._headers(key, attributes),
                tags=dict(attributes.tags) or None,
                mode=_mode(condition),
                use_multipart=False,
            )
        return _written(key, body, attributes, result)

    async def _is_only_directory(self, key: str) -> bool:
        """Whether there is no such object, and yet others beneath it.

        SeaweedFS takes the directory for the object, and a create-only write for a conflict.
        """
        if await self._present_etag(key) is not None:
            return False
        beneath = f"{self._requests.full(key)}/"
        answer = await self._requests.ask("list_objects_v2", key, needs="IsTruncated", Prefix=beneath, MaxKeys=1)
        return bool(answer.get("Contents"))

    async def _open(self, key: str, full: str, options: GetOptions) -> GetResult:
        async with self._requests.guarded(key, self._requests.settings.stall_seconds, Fare.READ):
            return await self._bucket.get_async(full, options=options)

    async def _present_etag(self, key: str) -> str | None:
        try:
            return (await self.head(key)).etag
        except NotFoundError:
            return None

    async def _was_completed(self, key: str, upload_id: str, parts: Sequence[Part]) -> bool:
        """Whether an earlier call, whose answer nobody heard, made the object that is there of these very parts."""
        if await self._uploads.is_open(key, upload_id) or not all(_MD5.fullmatch(part.etag) for part in parts):
            return False
        return await self._present_etag(key) == multipart_etag(parts)

    def _headers(self, key: str, attributes: Attributes) -> Headers:
        headers: Headers = {"Content-Type": attributes.content_type, **attributes.metadata}
        storage_class = class_of(key, attributes, self._requests.settings.storage_class)
        if storage_class is not None:
            headers["Storage-Class"] = storage_class
        return headers


def _mode(condition: Condition) -> PutMode:
    if isinstance(condition, Absent):
        return "create"
    if isinstance(condition, Unchanged):
        return {"e_tag": quoted(condition.etag)}
    return "overwrite"


def _written(key: str, body: bytes, attributes: Attributes, result: PutResult) -> ObjectInfo:
    etag = unquoted(result["e_tag"])
    return ObjectInfo(key, len(body), etag, time.time(), attributes.metadata, attributes.content_type)


def _info(key: str, result: GetResult) -> ObjectInfo:
    meta, headers = result.meta, result.attributes
    metadata = {name.lower(): value for name, value in headers.items() if name not in _HEADERS}
    return ObjectInfo(
        key,
        meta["size"],
        unquoted(meta["e_tag"]),
        meta["last_modified"].timestamp(),
        metadata,
        headers.get("Content-Type"),
    )


def _listed(found: dict[str, Any], prefix: str) -> ObjectInfo:
    key = found["Key"].removeprefix(prefix)
    etag, modified = unquoted(found["ETag"]), found["LastModified"].timestamp()
    return ObjectInfo(key, found["Size"], etag, modified, storage_class=found.get("StorageClass", _STANDARD))
