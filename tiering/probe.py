"""What a store can be trusted with, found out by trying it, under a key that is never an asset's.

Nothing is taken on faith: an ETag counts as an MD5 only where it is the MD5 of bytes just sent and just read again, a
condition only where a write against it was refused. What a store does not show is proven otherwise, at more cost.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.keys import RESERVED
from tiering.store import (
    Absent,
    Attributes,
    CorruptError,
    NotFoundError,
    PreconditionError,
    StoreError,
    Unchanged,
)

if TYPE_CHECKING:
    from tiering.store import Store

log = logging.getLogger(__name__)

PLACE: Final = f"{RESERVED}probe-"
_SIZE: Final = 64 * 1024
_ATTRIBUTES: Final = Attributes("application/x-tierd-probe", {"tierd-probe": "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store showed."""

    etag_is_md5: bool
    """The ETag of an object is the MD5 of its bytes, that of a multipart upload the MD5 of its parts' MD5s."""
    checks_md5: bool
    """A part whose MD5 is not what was said is refused."""
    create_only: bool
    """A create-only write leaves alone what is there."""
    if_match: bool
    """A write that names an ETag leaves alone an object of another, and so does a read."""
    read_back_equal: bool
    """What was written is what is read, its attributes included. Where not, nothing may be demoted."""


async def probe(store: Store, *, name: str) -> Capabilities:
    """Try the store with an object and an upload of ours, and remove them. Raise StoreError where it cannot be used.

    `name` is this daemon's own and always the same: what a probe leaves that is killed, the next one removes.
    """
    key = f"{PLACE}{name}"
    body, other = os.urandom(_SIZE), os.urandom(_SIZE)
    try:
        etag = (await store.put(key, body, _ATTRIBUTES)).etag
        equal = await _reads_back(store, key, body, etag)
        return Capabilities(
            etag_is_md5=equal and etag == hashlib.md5(body, usedforsecurity=False).hexdigest(),
            checks_md5=await _checks_md5(store, f"{key}-part"),
            create_only=await _refuses(store, key, other, Absent()) and await _reads_back(store, key, body, etag),
            if_match=await _heeds_etags(store, key, body, other),
            read_back_equal=equal,
        )
    finally:
        await _remove(store, key)


async def _reads_back(store: Store, key: str, body: bytes, etag: str) -> bool:
    head = await store.head(key)
    told = (head.size, head.etag, head.content_type, dict(head.metadata or {}))
    async with store.get(key) as download:
        got = b"".join([chunk async for chunk in download.chunks()])
    meant = (len(body), etag, _ATTRIBUTES.content_type, dict(_ATTRIBUTES.metadata))
    return (told, got) == (meant, body)


async def _refuses(store: Store, key: str, body: bytes, condition: Absent | Unchanged) -> bool:
    try:
        await store.put(key, body, _ATTRIBUTES, condition)
    except PreconditionError:
        return True
    return False


async def _heeds_etags(store: Store, key: str, body: bytes, other: bytes) -> bool:
    """Whether writes and reads that name an ETag heed it. The object may be another one by now: write it anew."""
    first = await store.put(key, body, _ATTRIBUTES)
    try:
        second = await store.put(key, other, _ATTRIBUTES, Unchanged(first.etag))
    except PreconditionError:
        return False  # It keeps another ETag than it told.
    if first.etag == second.etag or not await _refuses(store, key, body, Unchanged(first.etag)):
        return False
    try:
        async with store.get(key, etag=first.etag):
            return False
    except PreconditionError:
        return await _reads_back(store, key, other, second.etag)


async def _checks_md5(store: Store, key: str) -> bool:
    """Whether a part with a wrong MD5 is refused, and one with the right MD5 is not."""
    body = os.urandom(_SIZE)
    right, wrong = (hashlib.md5(each, usedforsecurity=False).digest() for each in (body, body[1:]))
    upload_id = await store.create_upload(key, _ATTRIBUTES)
    try:
        await store.put_part(key, upload_id, 1, body, md5=right)
        try:
            await store.put_part(key, upload_id, 2, body, md5=wrong)
        except CorruptError:
            return True
        return False
    finally:
        await store.abort(key, upload_id)


async def _remove(store: Store, key: str) -> None:
    """Leave nothing behind. Where that fails the answer counts all the same: the next probe removes what is left."""
    try:
        await store.delete(key)
    except (StoreError, NotFoundError) as error:
        log.info("the probe %s, if it was written, stays in the store until the next one: %s", key, error)
