"""What we believe about one asset: frozen values, and the questions that can be answered from them alone.

A path is relative to the cache root, with `/` between its parts. It is a `str` in which bytes that are not UTF-8
stand as surrogate escapes (PEP 383), so that every name a Linux file can have survives the way through.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from index.lifecycle import State

AssetId = NewType("AssetId", str)
RelPath = NewType("RelPath", str)

RACY_NS = 20_000_000
"""A stat this close after a change may miss a second change: time stamps tick, contents do not wait for them."""


def new_asset_ids(count: int) -> list[AssetId]:
    """Return fresh ids, unique among all hosts that share a bucket.

    They differ from any other call's in 96 random bits, and from one another in their ends: an index takes such
    neighbours side by side, which in a big one is several times as fast as all over it.
    """
    stem = secrets.token_hex(12)
    return [AssetId(f"{stem}{number:08x}") for number in range(count)]


def path_to_bytes(path: str) -> bytes:
    """Return the exact bytes of the name."""
    return path.encode("utf-8", "surrogateescape")


def path_from_bytes(raw: bytes) -> RelPath:
    """Return the path whose name is exactly `raw`."""
    return RelPath(raw.decode("utf-8", "surrogateescape"))


def is_asset_path(path: str) -> bool:
    """Whether a file beneath the root can have this path: no part is empty, `.` or `..`, and there is no NUL."""
    return "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


def printable(path: str) -> str:
    """Return the path as people and JSON may see it: bytes that are not UTF-8 become U+FFFD."""
    return path_to_bytes(path).decode("utf-8", "replace")


class Fingerprint(NamedTuple):
    """What tells one content of a file from the next without reading it. Never the device: it changes on reboot.

    Scans make these and sightings by the hundred thousand: a tuple costs 40 % of a frozen dataclass.
    """

    size: int
    mtime_ns: int
    inode: int


class Sighting(NamedTuple):
    """One regular file as a scan saw it. `disk_bytes` is what it occupies, holes not counted."""

    path: RelPath
    fingerprint: Fingerprint
    ctime_ns: int
    disk_bytes: int
    mode: int
    links: int
    atime_ns: int


class ProofMethod(StrEnum):
    """How we know that the remote copy is right."""

    ETAG_MD5 = "etag-md5"
    """The ETag that the store answered is the MD5 of the bytes that we sent."""
    PART_MD5 = "part-md5"
    """The store checked the MD5 of every part, and the whole has the right size."""
    READ_BACK = "read-back"
    """The whole object was read again and its SHA-256 agreed."""
    CLAIMED = "claimed"
    """The object's own metadata says so: enough to promote by, since the bytes are hashed then; never to demote by."""
    LISTED = "listed"
    """No proof at all: a listing has an object at the key that this path would have. It is asked who it is before
    anything is made of it, and forgotten where it is not this asset's."""
    COPIED = "copied"
    """The store copied a proven object and answered the same ETag and size."""


_UNPROVEN: Final = frozenset({ProofMethod.CLAIMED, ProofMethod.LISTED})


@dataclass(frozen=True, slots=True)
class Proof:
    """The remote copy, and what shows that it is right. Cold reads go by this and by nothing else."""

    key: str
    etag: str
    size: int
    sha256: str
    generation: int
    mtime_ns: int
    mode: int
    method: ProofMethod
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed. `retry_at` is None where only a person can help."""

    code: str
    message: str
    attempts: int
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class Asset:
    """One row of the index. Times are seconds since the epoch unless the name says otherwise.

    `fingerprint`, `sha256`, `disk_bytes` and `mode` describe the local file as last seen and are None or 0 where there
    is none; `sha256` is None until that content was hashed. `proof` describes the newest proven remote copy, which is
    of an older generation while an overwritten file waits for its upload. `overwrite` says that a person allowed this
    generation to replace a foreign object at its key; `purge`, of a tombstone, that the remote copy must still go.
    `checked_at` is when the store was last asked about the remote copy of a cold one. `heat` is the policy's: the more
    wanted, the greater; None where nobody has asked yet. `measured` is what the content itself tells (width, height,
    duration), None where nobody has looked yet.
    """

    id: AssetId
    path: RelPath
    state: State
    generation: int
    fingerprint: Fingerprint | None
    ctime_ns: int
    disk_bytes: int
    mode: int
    links: int
    sha256: str | None
    content_type: str | None
    proof: Proof | None
    pinned: bool
    type: str | None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    discovered_at: float = 0.0
    changed_at: float = 0.0
    due_at: float = 0.0
    last_access: float = 0.0
    access_count: int = 0
    promoted_at: float = 0.0
    failure: Failure | None = None
    overwrite: bool = False
    purge: bool = False
    checked_at: float = 0.0
    heat: float | None = None
    measured: Mapping[str, str] | None = None

    @property
    def size(self) -> int:
        """Bytes of the content, wherever it is."""
        if self.fingerprint is not None:
            return self.fingerprint.size
        return self.proof.size if self.proof is not None else 0

    @property
    def all_fields(self) -> Mapping[str, str]:
        """What the content tells, and what people say, which comes first."""
        return {**(self.measured or {}), **self.fields}

    @property
    def is_described(self) -> bool:
        """Whether anything was said of it."""
        return bool(self.type is not None or self.fields or self.tags)

    @property
    def is_proven(self) -> bool:
        """Whether the remote copy is proven to hold the present content; what only its metadata claim is not."""
        proof = self.proof
        return proof is not None and proof.generation == self.generation and proof.method not in _UNPROVEN

    @property
    def is_listed(self) -> bool:
        """Whether nothing but a listing tells of its remote copy."""
        return self.proof is not None and self.proof.method is ProofMethod.LISTED
