"""A local file while it is uploaded: the same content from the first byte to the last, or an error.

A file is taken when its writer is done: a file lease says so where it can be had; elsewhere it must have been left
alone for the settle time. Everything here is synchronous and belongs in a worker thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from tiering import mime
from tiering.file_lease import Quiet, writer_done
from tiering.tree import settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from index.asset import Asset, Sighting
    from tiering.tree import Tree


_STEP: Final = 1 << 20
"""How much is read at once: between two steps a cancelled upload is noticed."""


class NotYetError(Exception):
    """The file's writer is not done. `after` is when to look again, in seconds; None where only polling can tell."""

    def __init__(self, message: str, *, after: float | None) -> None:
        super().__init__(message)
        self.after = after


class AlteredError(Exception):
    """The file is not the content that was claimed; `sighting` is what is there now."""

    def __init__(self, sighting: Sighting) -> None:
        super().__init__("the file changed")
        self.sighting = sighting


@dataclass(frozen=True, slots=True)
class Digests:
    """What the bytes of a file are, as sent in parts of `part_size`: a file sent in one request has one part.

    `md5` is that of the whole, in hexadecimal; None for a file in parts where nobody asked for it.
    """

    size: int
    sha256: str
    part_md5s: tuple[bytes, ...]
    part_size: int
    multipart: bool
    content_type: str
    md5: str | None = None

    @property
    def etag(self) -> str:
        """Return the ETag that S3 gives to these bytes, sent so."""
        if not self.multipart:
            return self.part_md5s[0].hex()
        joined = hashlib.md5(b"".join(self.part_md5s), usedforsecurity=False)
        return f"{joined.hexdigest()}-{len(self.part_md5s)}"


class Source:
    """A local file, held to be exactly what the index says of the asset. To be opened before anything else.

    It may be closed while a thread still reads, as happens when an upload is cancelled: nothing more is read then, and
    the last thread to give the descriptor back closes it.
    """

    sighting: Sighting
    """The file as it was when it was opened."""
    kept = 0
    """Bytes of it that the store had before this upload began ..."""
    sent = 0
    """... and those that this one has brought there."""

    def __init__(self, tree: Tree, asset: Asset, *, settle: float) -> None:
        self._tree = tree
        self.asset = asset
        self._settle = settle
        self._lock = threading.Lock()
        # All three are guarded by the lock.
        self._fd: int | None = None
        self._borrowers = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def size(self) -> int:
        """How many bytes the index says that it has."""
        return self.asset.size

    def open(self) -> None:
        """Open it and see whether it is as claimed. Raise NotYetError, AlteredError, or what Tree.open raises."""
        fd = self._tree.open(self.asset.path)
        with self._lock:
            self._fd = fd
            self._close_unused()
        with self._borrowed() as lent:
            self.sighting = self._examine(lent)

    def _examine(self, fd: int) -> Sighting:
        quiet = writer_done(fd)
        if quiet is Quiet.BUSY:
            raise NotYetError("its writer is not done", after=None)
        sighting = settled(lambda: self._tree.sight_fd(self.asset.path, fd))
        if sighting.fingerprint != self.asset.fingerprint:
            raise AlteredError(sighting)
        unsettled = self._settle - (time.time() - sighting.fingerprint.mtime_ns / 1e9)
        if quiet is Quiet.UNKNOWN and 0 < unsettled <= self._settle:
            raise NotYetError("it was written a moment ago", after=unsettled)
        return sighting

    def open_and_read(self) -> tuple[bytes, Digests]:
        """Do both. Raise as they do."""
        self.open()
        return self.read()

    def read(self) -> tuple[bytes, Digests]:
        """Return the whole content and what it is. Raise AlteredError where it is not as long as it was."""
        body = self._read_exactly(0, self.sighting.fingerprint.size)
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        sha256 = hashlib.sha256(body).hexdigest()
        kind = self._kind(body)
        return body, Digests(len(body), sha256, (md5,), len(body), multipart=False, content_type=kind, md5=md5.hex())

    def hash_parts(self, part_size: int, *, with_md5: bool = False) -> Digests:
        """Read the content once and return what it is, sent in parts of `part_size` bytes."""
        size = self.sighting.fingerprint.size
        whole = hashlib.sha256()
        whole_md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
        md5s = []
        head = self._read_exactly(0, min(mime.HEAD_BYTES, size))
        for start in range(0, size, part_size):
            md5 = hashlib.md5(usedforsecurity=False)
            for at in range(start, min(start + part_size, size), _STEP):
                chunk = self._read_exactly(at, min(_STEP, start + part_size - at, size - at))
                whole.update(chunk)
                md5.update(chunk)
                if whole_md5 is not None:
                    whole_md5.update(chunk)
            md5s.append(md5.digest())
        return Digests(
            size,
            whole.hexdigest(),
            tuple(md5s),
            part_size,
            multipart=True,
            content_type=self._kind(head),
            md5=whole_md5.hexdigest() if whole_md5 is not None else None,
        )

    def read_part(self, number: int, part_size: int) -> bytes:
        """Return part `number`, counted from 1."""
        start = (number - 1) * part_size
        return self._read_exactly(start, min(part_size, self.sighting.fingerprint.size - start))

    def confirm(self) -> None:
        """Raise AlteredError where the file was touched since it was opened, NotYetError where it is being written."""
        with self._borrowed() as fd:
            now = self._tree.sight_fd(self.asset.path, fd)
            if (now.fingerprint, now.ctime_ns) != (self.sighting.fingerprint, self.sighting.ctime_ns):
                # A new name or link changes ctime too, but only reading again could tell it from new content.
                raise AlteredError(now)
            if writer_done(fd) is Quiet.BUSY:
                raise NotYetError("somebody opened it for writing while it was uploaded", after=None)

    def finish(self) -> None:
        """Confirm, and close it: nothing more is asked of it."""
        self.confirm()
        self._close()

    def _read_exactly(self, start: int, size: int) -> bytes:
        chunks = []
        while size > 0:
            with self._borrowed() as fd:
                chunk = os.pread(fd, min(size, _STEP), start)
                if not chunk:
                    raise AlteredError(self._tree.sight_fd(self.asset.path, fd))
            chunks.append(chunk)
            start += len(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _kind(self, head: bytes) -> str:
        return mime.content_type(self.asset.path, head[: mime.HEAD_BYTES])

    @contextmanager
    def _borrowed(self) -> Iterator[int]:
        with self._lock:
            if self._closed or self._fd is None:
                raise OSError(errno.EBADF, "the upload has ended")
            self._borrowers += 1
            fd = self._fd
        try:
            yield fd
        finally:
            with self._lock:
                self._borrowers -= 1
                self._close_unused()

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and not self._borrowers and self._fd is not None:
            os.close(self._fd)
            self._fd = None
