"""A local file while it is uploaded: the same content from the first byte to the last, or an error.

A file is taken when its writer is done: a file lease says so where it can be had; elsewhere it must have been left
alone for the settle time. Everything here is synchronous and belongs in a worker thread.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from index.asset import RACY_NS
from tiering import mime
from tiering.lease import Quiet, writer_done

if TYPE_CHECKING:
    from types import TracebackType

    from index.asset import Asset, Sighting
    from tiering.tree import Tree


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
    """What the bytes of a file are, as sent in parts of `part_size`: a file sent in one request has one part."""

    size: int
    sha256: str
    part_md5s: tuple[bytes, ...]
    part_size: int
    multipart: bool
    content_type: str

    @property
    def etag(self) -> str:
        """Return the ETag that S3 gives to these bytes, sent so."""
        if not self.multipart:
            return self.part_md5s[0].hex()
        joined = hashlib.md5(b"".join(self.part_md5s), usedforsecurity=False)
        return f"{joined.hexdigest()}-{len(self.part_md5s)}"


class Source:
    """An open local file, held to be exactly what the index says of the asset."""

    def __init__(self, tree: Tree, asset: Asset, *, settle: float) -> None:
        """Open it. Raise NotYetError, AlteredError, or what Tree.open raises."""
        self._tree = tree
        self.asset = asset
        self._fd = tree.open(asset.path)
        try:
            self.sighting = self._examine(settle)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _examine(self, settle: float) -> Sighting:
        quiet = writer_done(self._fd)
        if quiet is Quiet.BUSY:
            raise NotYetError("its writer is not done", after=None)
        sighting = self._tree.sight_fd(self.asset.path, self._fd)
        if time.time_ns() - sighting.ctime_ns < RACY_NS:
            # A second change within the same tick would leave the same time stamps: let the tick pass first.
            time.sleep(RACY_NS / 1e9)
            sighting = self._tree.sight_fd(self.asset.path, self._fd)
        if sighting.fingerprint != self.asset.fingerprint:
            raise AlteredError(sighting)
        unsettled = settle - (time.time() - sighting.fingerprint.mtime_ns / 1e9)
        if quiet is Quiet.UNKNOWN and 0 < unsettled <= settle:
            raise NotYetError("it was written a moment ago", after=unsettled)
        return sighting

    def read(self) -> tuple[bytes, Digests]:
        """Return the whole content and what it is. Raise AlteredError where it is not as long as it was."""
        body = self._read_exactly(0, self.sighting.fingerprint.size)
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        sha256 = hashlib.sha256(body).hexdigest()
        return body, Digests(len(body), sha256, (md5,), len(body), multipart=False, content_type=self._kind(body))

    def hash_parts(self, part_size: int) -> Digests:
        """Read the content once and return what it is, sent in parts of `part_size` bytes."""
        size = self.sighting.fingerprint.size
        whole = hashlib.sha256()
        md5s = []
        head = self._read_exactly(0, min(mime.HEAD_BYTES, size))
        for start in range(0, size, part_size):
            md5 = hashlib.md5(usedforsecurity=False)
            for at in range(start, min(start + part_size, size), _STEP):
                chunk = self._read_exactly(at, min(_STEP, start + part_size - at, size - at))
                whole.update(chunk)
                md5.update(chunk)
            md5s.append(md5.digest())
        return Digests(size, whole.hexdigest(), tuple(md5s), part_size, multipart=True, content_type=self._kind(head))

    def read_part(self, number: int, part_size: int) -> bytes:
        """Return part `number`, counted from 1."""
        start = (number - 1) * part_size
        return self._read_exactly(start, min(part_size, self.sighting.fingerprint.size - start))

    def confirm(self) -> None:
        """Raise AlteredError unless the file was left alone since it was opened, NotYetError if a writer is at it."""
        now = self._tree.sight_fd(self.asset.path, self._fd)
        if (now.fingerprint, now.ctime_ns) != (self.sighting.fingerprint, self.sighting.ctime_ns):
            # A new name or link changes ctime too, but only reading again could tell it from new content.
            raise AlteredError(now)
        if writer_done(self._fd) is Quiet.BUSY:
            raise NotYetError("somebody opened it for writing while it was uploaded", after=None)

    def _read_exactly(self, start: int, size: int) -> bytes:
        chunks = []
        while size > 0:
            chunk = os.pread(self._fd, size, start)
            if not chunk:
                raise AlteredError(self._tree.sight_fd(self.asset.path, self._fd))
            chunks.append(chunk)
            start += len(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _kind(self, head: bytes) -> str:
        return mime.content_type(self.asset.path, head[: mime.HEAD_BYTES])


_STEP = 1 << 20
