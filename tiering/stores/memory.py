"""A store that forgets: for tests, and for trying tierd out as `memory://`."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tiering.store import NotFoundError, ObjectInfo, Part, PendingUpload
from tiering.stores.rules import (
    PAGE,
    body_length,
    check_condition,
    check_etag,
    check_key,
    check_md5,
    check_part_number,
    check_parts,
    is_listed,
    md5_of,
    multipart_etag,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tiering.store import Attributes, Condition

_CHUNK: Final = 256 * 1024


async def _turn() -> None:
    """Let others run before the call takes effect at once: a real store takes its time, too."""
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class _Object:
    info: ObjectInfo
    body: bytes

    def listed(self) -> ObjectInfo:
        return replace(self.info, metadata=None, content_type=None)


@dataclass(slots=True)
class _Upload:
    key: str
    attributes: Attributes
    started: float
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Download:
    info: ObjectInfo
    body: memoryview

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), _CHUNK):
            await _turn()
            yield bytes(self.body[at : at + _CHUNK])


class MemoryStore:
    """Objects in a dictionary, with the ETags, conditions and uploads of a real store. See tiering.store.Store."""

    def __init__(self, url: str = "memory://", *, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._clock = clock
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, _Upload] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore {self._url} objects={len(self._objects)} uploads={len(self._uploads)}>"

    @property
    def url(self) -> str:
        """See Store."""
        return self._url

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        await _turn()
        return self._write(key, bytes(body), md5_of(body), attributes, condition)

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        check_key(key)
        return self._write(key, bytes(body), md5_of(body), attributes, condition)

    async def head(self, key: str) -> ObjectInfo:
        """See Store."""
        await _turn()
        return self._find(key).info

    @asynccontextmanager
    async def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[_Download]:
        """See Store."""
        await _turn()
        found = self._find(key)
        check_etag(key, etag, found.info.etag)
        end = start + body_length(found.info, start, length)
        yield _Download(found.info, memoryview(found.body)[start:end])

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        await _turn()
        found = self._objects.get(key)
        if found is not None:
            check_etag(key, etag, found.info.etag)
            del self._objects[key]

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """See Store."""
        keys = sorted(key for key in self._objects if key > after and is_listed(key, prefix))
        for at in range(0, len(keys), PAGE):
            await _turn()
            yield [self._objects[key].listed() for key in keys[at : at + PAGE] if key in self._objects]

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """See Store."""
        check_key(key)
        await _turn()
        found = self._find(source)
        check_etag(source, etag, found.info.etag)
        kept = found.info.etag if source == key else md5_of(found.body)
        return self._write(key, found.body, kept, attributes, None)

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """See Store."""
        check_key(key)
        await _turn()
        upload_id = uuid.uuid4().hex
        self._uploads[upload_id] = _Upload(key, attributes, self._clock())
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Store."""
        check_part_number(key, number)
        await _turn()
        part = Part(number, check_md5(key, body, md5), len(body))
        self._find_upload(key, upload_id).parts[number] = (part, bytes(body))
        return part

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """See Store."""
        await _turn()
        upload = self._find_upload(key, upload_id)
        return [upload.parts[number][0] for number in sorted(upload.parts)]

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """See Store."""
        await _turn()
        etag = multipart_etag(parts)
        try:
            upload = self._find_upload(key, upload_id)
        except NotFoundError:
            done = self._objects.get(key)
            if done is not None and done.info.etag == etag:
                return done.info
            raise
        check_parts(key, parts, [part for part, _ in upload.parts.values()])
        body = b"".join(upload.parts[part.number][1] for part in parts)
        info = self._write(key, body, etag, upload.attributes, condition)
        del self._uploads[upload_id]
        return info

    async def abort(self, key: str, upload_id: str) -> None:
        """See Store."""
        await _turn()
        with suppress(NotFoundError):
            self._find_upload(key, upload_id)
            del self._uploads[upload_id]

    async def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """See Store."""
        await _turn()
        found = [PendingUpload(upload.key, upload_id, upload.started) for upload_id, upload in self._uploads.items()]
        if found:
            yield sorted(found, key=lambda pending: (pending.key, pending.started))

    async def close(self) -> None:
        """See Store."""

    def _find(self, key: str) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFoundError(f"{key}: there is no such object", key=key) from None

    def _find_upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise NotFoundError(f"{key}: there is no upload {upload_id}", key=key)
        return upload

    def _write(self, key: str, body: bytes, etag: str, attributes: Attributes, condition: Condition) -> ObjectInfo:
        present = self._objects.get(key)
        check_condition(key, condition, None if present is None else present.info.etag)
        told = dict(attributes.metadata), attributes.content_type, attributes.storage_class
        info = ObjectInfo(key, len(body), etag, self._clock(), *told)
        self._objects[key] = _Object(info, body)
        return info
