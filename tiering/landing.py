"""How bytes come back to the disk: whole, proven and durable before anybody can see their name.

The file has no name while it is written, so that a crash leaves nothing behind, and gets it by a link, which never
overwrites what its owner wrote meanwhile. The space is reserved before the first byte.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tiering.file_lease import no_writer
from tiering.tree import UNFINISHED, FileError, MissingError, sync_directory, translated

if TYPE_CHECKING:
    from index.asset import Sighting
    from tiering.tree import Tree

_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS: Final = 0o777
"""Set-user-id is not restored: the file would run as us, not as whom its owner meant."""


class ContentError(FileError):
    """What arrived is not what was proven."""


class Landing:
    """A file of `size` bytes on its way to `path`. One thread writes, others may read what is already there.

    Raise DiskFullError, before a byte has flowed, where the disk has no room for all of it.
    """

    def __init__(self, tree: Tree, path: str, size: int) -> None:
        self.path = path
        self.size = size
        self.written = 0
        self._tree = tree
        self._sha256 = hashlib.sha256()
        self._temporary: str | None = None
        self._fd = self._create()
        # Guards the descriptor: a cancelled caller closes it while the thread that he started still writes.
        self._lock = threading.Lock()
        try:
            self._reserve()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Landing {self.path!a} {self.written} of {self.size} bytes>"

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raise ContentError where they are more than was said, DiskFullError where the disk is full."""
        if self.written + len(chunk) > self.size:
            raise ContentError(self.path, f"more than the {self.size} bytes that it should have")
        self._sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            with self._lock, translated(self.path):
                count = os.pwrite(self._open_fd(), rest, self.written)
            rest = rest[count:]
            self.written += count

    def open_reader(self) -> int:
        """Return a descriptor of its own, for reading only, that outlives the landing; its caller closes it."""
        with self._lock, translated(self.path):
            return os.open(f"/proc/self/fd/{self._open_fd()}", os.O_RDONLY | os.O_CLOEXEC)

    def land(self, *, mode: int, mtime_ns: int, sha256: str) -> Sighting:
        """Give the file its name, durably, and return it as seen.

        Raise ContentError where the bytes are not those of `sha256`, ExistsError where something has the name. What is
        already there can be read until `close`.
        """
        if self.written != self.size or self._sha256.hexdigest() != sha256:
            raise ContentError(self.path, f"the {self.written} bytes that arrived are not the {self.size} of its proof")
        with self._lock, translated(self.path):
            fd = self._open_fd()
            os.fchmod(fd, mode & _PERMISSIONS)
            os.utime(fd, ns=(time.time_ns(), mtime_ns))
            os.fsync(fd)
            self._end_writing(fd)
            with self._tree.beneath(self.path, make=True) as (directory, name):
                seen = self._give_name(fd, directory, name)
                sync_directory(directory)
            return seen

    def _give_name(self, fd: int, directory: int, name: bytes) -> Sighting:
        """Link it, and return it as it is with what was hashed in it.

        From then on its owner may write it. Where the kernel cannot keep him off for a moment, it is returned with the
        times of before: it is read again before anything is made of them.
        """
        before = self._tree.sight_fd(self.path, fd)
        with no_writer(fd) as is_unwritten:
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory)
            self._drop_temporary()
            seen = self._tree.sight_fd(self.path, fd)
            if is_unwritten():
                return seen
        return seen._replace(fingerprint=before.fingerprint, ctime_ns=before.ctime_ns)

    def close(self) -> None:
        """Let go. What has not landed is gone."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
                self._drop_temporary()

    def _create(self) -> int:
        directory = _nearest_directory(self._tree, self.path)
        try:
            with translated(self.path):
                return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
        except FileError as refused:
            cause = refused.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _NO_TMPFILE:
                raise
        finally:
            os.close(directory)
        return self._create_named()

    def _create_named(self) -> int:
        self._temporary = f"{UNFINISHED}/{uuid.uuid4().hex}"
        with self._tree.beneath(self._temporary) as (directory, name), translated(self.path):
            return os.open(name, _CREATE, 0o600, dir_fd=directory)

    def _reserve(self) -> None:
        with translated(self.path):
            try:
                os.posix_fallocate(self._fd, 0, self.size)
            except OSError as refused:
                # There is nothing to reserve, or no way to: then a full disk shows while the bytes flow.
                if refused.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                    raise

    def _end_writing(self, fd: int) -> None:
        """Reopen it for reading only: whoever sees the name may have a file lease, though others still read here."""
        reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(reading, fd, inheritable=False)
        os.close(reading)

    def _drop_temporary(self) -> None:
        if self._temporary is not None:
            self._tree.remove(self._temporary)
            self._temporary = None

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise ValueError(f"the landing of {self.path!a} is closed")
        return self._fd


def _nearest_directory(tree: Tree, path: str) -> int:
    """Open the deepest directory on the way to `path` that exists: others are made when it lands, not before."""
    above = path
    while "/" in above:
        above = above.rpartition("/")[0]
        with suppress(MissingError):
            return tree.open_directory(above)
    return tree.open_directory("")
