"""The cold tier as tierd sees it: one small port, its values and its errors.

What every store promises, and tests/test_store_conformance.py checks on each of them:

- A write is seen whole or not at all; when `put`, `complete` or `copy` returns, the object is as durable as the store
  can make it.
- `NotFoundError` is raised only where the store said, for this exact key, that there is nothing. Everything that could
  be weather is `UnavailableError`; what only a person can mend is `RefusedError`.
- Cancelling any call leaves either the old object or the new one.
- Foreign exceptions never leave a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager


class StoreError(Exception):
    """A store could not do what was asked. `key` is the object concerned, `hint` what a person can do."""

    code = "store"

    def __init__(self, message: str, *, key: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.hint = hint

    @property
    def advice(self) -> str:
        """What is wrong, and what a person can do."""
        return f"{self}; {self.hint}" if self.hint else str(self)


class NotFoundError(StoreError):
    """The store says that there is no such object (or upload)."""

    code = "not-found"


class PreconditionError(StoreError):
    """The object is not what the condition said: it exists, or carries another ETag."""

    code = "precondition"


class UnavailableError(StoreError):
    """Later it may work: a time-out, a broken connection, a 5xx. Says nothing about what exists."""

    code = "unavailable"


class ThrottledError(UnavailableError):
    """The store asks for less at once."""

    code = "throttled"


class CredentialsError(UnavailableError):
    """The store does not accept who we are, or we have no credentials: nothing that an asset could help."""

    code = "credentials"


class RefusedError(StoreError):
    """It will not work until a person acts: not allowed, not a valid name, no such bucket."""

    code = "refused"


class ArchivedError(StoreError):
    """The object lies in an archive: it must be restored before anybody can read it."""

    code = "archived"


class CorruptError(StoreError):
    """Bytes are not what was said: a digest the store refused, or a body that is short or wrong."""

    code = "corrupt"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says about an object. `metadata` has lower-case ASCII names; None where a listing does not tell.

    `etag` is without quotes. `modified` is in seconds since the epoch. `storage_class` is None where it is not told: a
    listing does where there are classes.
    """

    key: str
    size: int
    etag: str
    modified: float
    metadata: Mapping[str, str] | None = None
    content_type: str | None = None
    storage_class: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """What travels with an object: `metadata` names and values are ASCII, 2 KiB in all.

    `tags` are for whoever looks at the store itself: some have no such thing, none gives them back. `storage_class` is
    None for that of the store's settings, and empty for what the store itself does without a word; most have only one.
    """

    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """Write only if there is no such object."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Write only if the object still has this ETag."""

    etag: str


Condition = Absent | Unchanged | None


@dataclass(frozen=True, slots=True)
class Part:
    """One finished part of a multipart upload; `number` counts from 1."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    started: float


class Download(Protocol):
    """An object while it is read: what it is, and its bytes in order."""

    @property
    def info(self) -> ObjectInfo:
        """The object as the answer's head describes it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body. Raise CorruptError where it ends short, UnavailableError where it breaks or stalls."""


class Objects(Protocol):
    """Single objects, written and read."""

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """Write an object in one request and return it as stored.

        Raise PreconditionError where the condition does not hold, CorruptError where the store got other bytes.
        """

    async def head(self, key: str) -> ObjectInfo:
        """Return the object, with metadata. Raise NotFoundError only where the store says so."""

    def get(
        self, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """Read an object, or `length` bytes from `start`. Raise PreconditionError where it is not of `etag`."""

    async def copy(self, source: str, key: str, attributes: Attributes, *, etag: str) -> ObjectInfo:
        """Copy within the store, with new attributes, only if the source still has this ETag.

        An object of parts whose ETag tells of their MD5s keeps it where it is copied onto itself: who reads it
        meanwhile goes by it. Return the copy as stored, with its own ETag. Raise NotFoundError or PreconditionError
        about the source, RefusedError where its ETag would not stay.
        """


class Store(Objects, Protocol):
    """A place for objects."""

    @property
    def url(self) -> str:
        """Where it is, as the configuration names it, prefix included."""

    def put_blocking(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """Do what `put` does, in the thread that calls. For small bodies.

        Raise as it does, and PreconditionError also where `put` would look twice before it says so.
        """

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """Remove an object; one that is not there is no error. Raise PreconditionError where it is not of `etag`."""

    def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Sequence[ObjectInfo]]:
        """Yield pages of the objects whose key starts with `prefix`, in key order, beginning after `after`."""

    async def create_upload(self, key: str, attributes: Attributes) -> str:
        """Begin a multipart upload and return its id."""

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """Send one part, for the store to check against the MD5 (16 bytes) that its caller knows.

        Raise CorruptError where it does not agree, NotFoundError where there is no such upload.
        """

    async def list_parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """Return the parts that the store has. Raise NotFoundError where there is no such upload."""

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], condition: Condition = None
    ) -> ObjectInfo:
        """Make one object of the parts. Safe to repeat. Raise NotFoundError where there is no such upload."""

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload; one that is not there is no error."""

    def list_uploads(self) -> AsyncIterator[Sequence[PendingUpload]]:
        """Yield pages of the multipart uploads under our prefix that are neither completed nor aborted."""

    async def close(self) -> None:
        """Release connections."""
