"""Multipart uploads to S3, and copies within it: what needs an upload's id."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tiering.store import Absent, NotFoundError, Part, PendingUpload, RefusedError, Unchanged
from tiering.stores.rules import check_part_number, class_of, multipart_etag
from tiering.stores.s3_body import Pieces
from tiering.stores.s3_requests import SLOWEST, quoted, unquoted
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tiering.store import Attributes, Condition, ObjectInfo
    from tiering.stores.s3_requests import Requests

log = logging.getLogger(__name__)

_COPY_PART: Final = 1024**3
_COPIES_AT_ONCE: Final = 4
_MD5: Final = re.compile(r"[0-9a-f]{32}")
ABORTS_MOST: Final = 5
ABORT_PAUSE: Final = 0.2
"""In seconds, for a part that is still coming in; twice as long each time."""


class Uploads:
    """The multipart uploads of one bucket under our prefix."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def begin(self, key: str, attributes: Attributes) -> str:
        """Return the id of a new upload."""
        answer = await self._requests.ask(
            "create_multipart_upload",
            key,
            needs="UploadId",
            Key=self._requests.full(key),
            **self._sent_with(key, attributes),
        )
        return str(answer["UploadId"])

    async def add(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """Send a part that the server checks against its MD5."""
        check_part_number(key, number)
        answer = await self._requests.ask(
            "upload_part",
            key,
            needs="ETag",
            seconds=self._requests.settings.stall_seconds + len(body) / SLOWEST,
            Key=self._requests.full(key),
            UploadId=upload_id,
            PartNumber=number,
            Body=Pieces(body),
            ContentMD5=base64.b64encode(md5).decode(),
        )
        return Part(number, unquoted(answer["ETag"]), len(body))

    async def parts(self, key: str, upload_id: str) -> list[Part]:
        """Return the parts that the server has, by number. SeaweedFS lists one that was sent again twice."""
        parts: list[Part] = []
        marker = 0
        while True:
            answer = await self._requests.ask(
                "list_parts",
                key,
                needs="IsTruncated",
                Key=self._requests.full(key),
                UploadId=upload_id,
                PartNumberMarker=marker,
            )
            found = answer.get("Parts", ())
            parts += [Part(part["PartNumber"], unquoted(part["ETag"]), part["Size"]) for part in found]
            if not answer["IsTruncated"]:
                return parts
            marker = answer["NextPartNumberMarker"]

    async def finish(self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition) -> None:
        """Make one object of the parts. Raise PreconditionError or NotFoundError also where that was done before."""
        conditions: dict[str, Any] = {}
        if isinstance(condition, Absent):
            conditions["IfNoneMatch"] = "*"
        elif isinstance(condition, Unchanged):
            conditions["IfMatch"] = quoted(condition.etag)
        await self._requests.ask(
            "complete_multipart_upload",
            key,
            seconds=self._requests.settings.assembly_seconds,
            Key=self._requests.full(key),
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": quoted(part.etag)} for part in parts]},
            **conditions,
        )

    async def is_open(self, key: str, upload_id: str) -> bool:
        """Whether the upload was neither completed nor aborted."""
        try:
            await self.parts(key, upload_id)
        except NotFoundError:
            return False
        return True

    async def drop(self, key: str, upload_id: str) -> None:
        """Abort an upload; one that is not there is no error.

        A part that was under way may come in after that: S3 wants to be asked what is left, and told again.
        """
        for attempt in range(ABORTS_MOST):
            await self._abort(key, upload_id)
            if not await self.is_open(key, upload_id):
                return
            await asyncio.sleep(ABORT_PAUSE * 2**attempt)
        log.warning("an upload that was aborted still has parts: %s", key, extra={"upload": upload_id})

    async def _abort(self, key: str, upload_id: str) -> None:
        with suppress(NotFoundError):
            await self._requests.ask("abort_multipart_upload", key, Key=self._requests.full(key), UploadId=upload_id)

    async def pending(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """Yield pages of the uploads that were neither completed nor aborted."""
        prefix = self._requests.prefix
        markers: dict[str, Any] = {}
        while True:
            answer = await self._requests.ask(
                "list_multipart_uploads", "", needs="IsTruncated", Prefix=prefix, **markers
            )
            page = [
                PendingUpload(found["Key"].removeprefix(prefix), found["UploadId"], found["Initiated"].timestamp())
                for found in answer.get("Uploads", ())
                if found["Key"].startswith(prefix)
            ]
            if page:
                yield page
            if not answer["IsTruncated"]:
                return
            markers = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    async def copy(self, source: ObjectInfo, key: str, attributes: Attributes) -> None:
        """Copy an object, if it still has the ETag that `source` says."""
        limit = self._requests.settings.copy_limit
        if source.size > limit:

            async def finish(upload_id: str, parts: Sequence[Part]) -> None:
                await self.finish(key, upload_id, parts, None)

            await self._copy_in_parts(source, key, attributes, min(_COPY_PART, limit), finish)
            return
        await self._requests.ask(
            "copy_object",
            key,
            seconds=self._requests.settings.assembly_seconds,
            Key=self._requests.full(key),
            MetadataDirective="REPLACE",
            **self._copied_from(source),
            **_retagged(source, attributes),
            **self._sent_with(key, attributes),
        )

    async def copy_alike(self, source: ObjectInfo, attributes: Attributes) -> None:
        """Copy an object onto itself in the parts that it has, so that its ETag stays. Raise RefusedError else."""
        answer = await self._requests.ask("head_object", source.key, Key=self._requests.full(source.key), PartNumber=1)
        part_size = answer["ContentLength"]
        if -(-source.size // part_size) != int(source.etag.rpartition("-")[2]):
            raise RefusedError(f"{source.key}: the store does not tell how large its parts are", key=source.key)

        async def finish(upload_id: str, parts: Sequence[Part]) -> None:
            if [part.etag for part in parts if not _MD5.fullmatch(part.etag)] or multipart_etag(parts) != source.etag:
                raise RefusedError(f"{source.key}: copied onto itself it would have another ETag", key=source.key)
            await self.finish(source.key, upload_id, parts, Unchanged(source.etag))

        await self._copy_in_parts(source, source.key, attributes, part_size, finish)

    async def _copy_in_parts(
        self,
        source: ObjectInfo,
        key: str,
        attributes: Attributes,
        part_size: int,
        finish: Callable[[str, Sequence[Part]], Awaitable[None]],
    ) -> None:
        upload_id = await self.begin(key, attributes)
        parts: dict[int, Part] = {}

        async def copy(number: int) -> None:
            parts[number] = await self._copy_part(source, key, upload_id, number, part_size)

        try:
            numbers = range(1, -(-source.size // part_size) + 1)
            await for_each(numbers, copy, at_once=_COPIES_AT_ONCE, name=f"parts of {key}")
            await finish(upload_id, [parts[number] for number in numbers])
        except BaseException:
            # Also when cancelled: nobody else knows the id.
            await asyncio.shield(self.drop(key, upload_id))
            raise

    async def _copy_part(self, source: ObjectInfo, key: str, upload_id: str, number: int, part_size: int) -> Part:
        start = (number - 1) * part_size
        end = min(start + part_size, source.size)
        answer = await self._requests.ask(
            "upload_part_copy",
            key,
            needs="CopyPartResult",
            seconds=self._requests.settings.assembly_seconds,
            Key=self._requests.full(key),
            UploadId=upload_id,
            PartNumber=number,
            CopySourceRange=f"bytes={start}-{end - 1}",
            **self._copied_from(source),
        )
        return Part(number, unquoted(answer["CopyPartResult"]["ETag"]), end - start)

    def _copied_from(self, source: ObjectInfo) -> dict[str, Any]:
        place = {"Bucket": self._requests.settings.bucket, "Key": self._requests.full(source.key)}
        return {"CopySource": place, "CopySourceIfMatch": quoted(source.etag)}

    def _sent_with(self, key: str, attributes: Attributes) -> dict[str, Any]:
        settings = self._requests.settings
        optional = {
            "StorageClass": class_of(key, attributes, settings.storage_class),
            "ServerSideEncryption": settings.sse,
            "SSEKMSKeyId": settings.kms_key,
            "Tagging": urlencode(attributes.tags) or None,
        }
        return {
            "ContentType": attributes.content_type,
            "Metadata": dict(attributes.metadata),
            **{name: value for name, value in optional.items() if value is not None},
        }


def _retagged(source: ObjectInfo, attributes: Attributes) -> dict[str, str]:
    """Return what has the copy's tags be its own. Nothing where there are none: some servers have no tags at all."""
    had_tags = "tierd-tags" in (source.metadata or {})
    return {"TaggingDirective": "REPLACE"} if attributes.tags or had_tags else {}
