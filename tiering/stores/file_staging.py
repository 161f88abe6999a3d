"""A file that nobody can see until it is whole and on the disk."""

from __future__ import annotations

import errno
import os
import uuid
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_NO_TMPFILE: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}
_NO_REFLINK: Final = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
_MODE: Final = 0o640


def sync_directory(path: Path) -> None:
    """Return once the names in a directory are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, body: bytes) -> None:
    """Write all bytes: the kernel takes fewer at once where the disk is about to be full."""
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]


class Staged:
    """A file in the making, without a name where the file system can do that (NFS cannot), else with a private one.

    Everything blocks. `directory` must be on the file system that the file is to be published on. What was not
    published is gone after the `with`, and after a crash in the first case; in the second it stays behind.
    """

    def __init__(self, directory: Path) -> None:
        self._name = directory / uuid.uuid4().hex
        self._is_named = False
        try:
            self.fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _MODE)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            self.fd = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _MODE)
            self._is_named = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and of its private name."""
        os.close(self.fd)
        if self._is_named:
            self._name.unlink(missing_ok=True)

    def write(self, body: bytes) -> None:
        """Append bytes."""
        write_all(self.fd, body)

    def append(self, source: int) -> None:
        """Append what another file holds, sharing its blocks where the file system can."""
        os.lseek(source, 0, os.SEEK_SET)
        left = os.fstat(source).st_size
        copy = _copy_range
        while left:
            try:
                copied = copy(source, self.fd, left)
            except OSError as error:
                if copy is _send or error.errno not in _NO_REFLINK:
                    raise
                copy = _send
                continue
            if copied == 0:
                raise OSError(errno.EIO, "the file ended while it was copied")
            left -= copied

    def sync(self) -> None:
        """Return once the bytes are on the disk."""
        os.fsync(self.fd)

    def publish(self, path: Path) -> None:
        """Give the file its name. Raise FileExistsError where something has that name."""
        if self._is_named:
            os.link(self._name, path)
            return
        # Without a directory descriptor Python calls link(), which would link the symbolic link itself.
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{self.fd}", path.name, dst_dir_fd=fd)
        finally:
            os.close(fd)

    def publish_over(self, path: Path) -> None:
        """Give the file its name, in the place of whatever file has it."""
        if not self._is_named:
            self.publish(self._name)
            self._is_named = True
        self._name.replace(path)


def _copy_range(source: int, target: int, count: int) -> int:
    return os.copy_file_range(source, target, count)


def _send(source: int, target: int, count: int) -> int:
    return os.sendfile(target, source, None, count)
