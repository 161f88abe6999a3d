"""What every store decides the same way: which keys there are, when a condition holds, what an ETag is."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from tiering.bucket.wishes import ARCHIVED
from tiering.keys import KEY_BYTES, RESERVED
from tiering.store import Absent, CorruptError, PreconditionError, RefusedError, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiering.store import Attributes, Condition, ObjectInfo, Part

PAGE: Final = 1000
"""Objects in one page of a listing."""

PART_NUMBERS: Final = range(1, 10_001)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_key(key: str) -> None:
    """Raise RefusedError where the key could not be stored everywhere, and as the same key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise RefusedError(f"{key!a} cannot be an object's key: it is not UTF-8", key=key) from None
    if not 1 <= size <= KEY_BYTES:
        raise RefusedError(f"{key!a} cannot be an object's key: it has {size} bytes, not 1 to {KEY_BYTES}", key=key)
    if _CONTROL.search(key):
        raise RefusedError(f"{key!a} cannot be an object's key: it has a control character", key=key)
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise RefusedError(f"{key!a} cannot be an object's key: it has an empty, `.` or `..` component", key=key)


def check_condition(key: str, condition: Condition, etag: str | None) -> None:
    """Raise PreconditionError unless a write may replace what is there: the object with this ETag, or none."""
    if isinstance(condition, Absent) and etag is not None:
        raise PreconditionError(f"{key}: there is an object already", key=key)
    if isinstance(condition, Unchanged) and etag != condition.etag:
        raise PreconditionError(f"{key}: the object is not the one with ETag {condition.etag}", key=key)


def check_etag(key: str, wanted: str | None, etag: str) -> None:
    """Raise PreconditionError where a certain ETag is wanted and the object has another."""
    if wanted is not None and wanted != etag:
        raise PreconditionError(f"{key}: the object has ETag {etag}, not {wanted}", key=key)


def body_length(info: ObjectInfo, start: int, length: int | None) -> int:
    """Return how many bytes a read must bring. Raise CorruptError where the object ends before them."""
    end = info.size if length is None else start + length
    if end > info.size or (start >= info.size and start > 0):
        raise CorruptError(f"{info.key}: it has {info.size} bytes, too few to read from {start} to {end}", key=info.key)
    return end - start


def is_listed(key: str, prefix: str) -> bool:
    """Whether a listing of `prefix` has this key: what is reserved is listed only when it is asked for."""
    return key.startswith(prefix) and (prefix.startswith(RESERVED) or not key.startswith(RESERVED))


def multipart_etag(parts: Sequence[Part]) -> str:
    """Return the ETag that S3 gives to an object of these parts, whose ETags are MD5s."""
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def check_part_number(key: str, number: int) -> None:
    """Raise RefusedError where no part can have this number."""
    if number not in PART_NUMBERS:
        raise RefusedError(f"{key}: {number} is not a part's number: they go from 1 to 10,000", key=key)


def check_parts(key: str, said: Sequence[Part], stored: Sequence[Part]) -> None:
    """Raise CorruptError where an upload is to be completed with parts that the store does not have."""
    if not set(said) <= set(stored):
        raise CorruptError(f"{key}: the store does not have the parts that were said", key=key)


def md5_of(body: bytes) -> str:
    """Return the ETag of bytes that were sent in one piece."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def check_md5(key: str, body: bytes, md5: bytes) -> str:
    """Return the ETag of these bytes. Raise CorruptError where their MD5 is another than was said."""
    etag = md5_of(body)
    if etag != md5.hex():
        raise CorruptError(f"{key}: the MD5 of the bytes received is {etag}, not {md5.hex()}", key=key)
    return etag


def class_of(key: str, attributes: Attributes, default: str | None) -> str | None:
    """Return the storage class to write an object in, None where nothing is to be said.

    What is ours, and no asset, is in no archive, whatever the `default`: it is to be read again at any time.
    """
    if attributes.storage_class is not None:
        return attributes.storage_class or None
    return None if key.startswith(RESERVED) and default in ARCHIVED else default
