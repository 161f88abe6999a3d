"""The cache root as a tree of regular files, and the guarantee that nothing ever leaves it.

Every path is resolved one name at a time, beneath the directory opened before, and never through a symbolic link: a
link that somebody swaps in half-way is refused, not followed. What the kernel answers becomes one of a few errors,
and only "there is no such name" becomes MissingError: everything else says nothing about what exists.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index.asset import RACY_NS, Fingerprint, RelPath, Sighting, path_to_bytes
from index.rows import clamped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PRIVATE: Final = ".tierd"
"""The directory beneath the root in which tierd keeps what is its own."""
TRASH: Final = f"{PRIVATE}/trash"
UNFINISHED: Final = f"{PRIVATE}/unfinished"

_MARKER: Final = f"{PRIVATE}/root-id"
_SEAL: Final = f"{PRIVATE}/seal"
_STORES: Final = f"{PRIVATE}/stores"
_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LEASE_PATIENCE_SECONDS: Final = 2.0
_LEASE_STEP_SECONDS: Final = 0.005
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system


class FileError(Exception):
    """The file system cannot do what was asked of `path`, which is relative to the root."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path.encode('utf-8', 'replace').decode()}: {reason}")
        self.path = path
        self.reason = reason


class BadNameError(FileError):
    """No file beneath the root can have this path."""


class MissingError(FileError):
    """The kernel says that there is no such file."""


class BusyError(FileError):
    """Somebody writes it, or has it open."""


class ChangedError(FileError):
    """It is not the file, or not the content, that was meant."""


class NotRegularError(FileError):
    """A symbolic link, FIFO, socket, device or directory is where a regular file should be."""


class UnreadableError(FileError):
    """The kernel refused, for want of rights or for a fault of the disk. Says nothing about what exists."""


class NotMovableError(FileError):
    """It can be read, but not be taken away: it has other names, or lies on another file system than the root."""


class DiskFullError(FileError):
    """The disk or the quota is full."""


class ExistsError(FileError):
    """Something is there already, and is never overwritten."""


_KINDS: Final[dict[int, type[FileError]]] = {
    errno.ENOENT: MissingError,
    errno.ENOTDIR: MissingError,
    errno.ELOOP: NotRegularError,
    errno.ENXIO: NotRegularError,
    errno.EISDIR: NotRegularError,
    errno.ENAMETOOLONG: BadNameError,
    errno.EAGAIN: BusyError,
    errno.ETXTBSY: BusyError,
    errno.EXDEV: NotMovableError,
    errno.ENOSPC: DiskFullError,
    errno.EDQUOT: DiskFullError,
    errno.EEXIST: ExistsError,
}


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise the FileError that an OSError about `path` means."""
    try:
        yield
    except OSError as error:
        kind = _KINDS.get(error.errno or 0, UnreadableError)
        raise kind(path, error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """A file system in bytes; `available` is what is left of `free` for those who are not root."""

    total: int
    free: int
    available: int


class Tree:
    """The files beneath `root`, an absolute path. `ignored` are shell patterns, matched with every name of a path."""

    def __init__(self, root: Path, *, ignored: Sequence[str]) -> None:
        self.root = root
        patterns = [fnmatch.translate(pattern) for pattern in (PRIVATE, *ignored)]
        self.ignores_name = re.compile("|".join(patterns)).match

    def __repr__(self) -> str:
        return f"Tree({str(self.root)!r})"

    def is_ignored(self, path: str) -> bool:
        """Return whether the path, or a directory above it, has a name that is not to be looked at."""
        return any(self.ignores_name(name) for name in path.split("/"))

    def prepare(self) -> None:
        """Make tierd's own directories, and empty the one for unfinished files. The root itself is never made."""
        for directory in (PRIVATE, TRASH, UNFINISHED):
            with translated(directory), self.beneath(directory) as (parent, name):
                _make_directory(name, parent, mode=0o700)
        for unfinished in self.names(UNFINISHED):
            self.remove(f"{UNFINISHED}/{unfinished}")

    def read_marker(self) -> str | None:
        """Return the id that marks this root as ours, None where there is none."""
        return self._read_line(_MARKER)

    def write_marker(self, root_id: str) -> None:
        """Mark this root, durably."""
        self._write_line(_MARKER, root_id)

    def stores(self) -> set[str]:
        """Return the URLs of the directories that were ever made stores for this root."""
        return set((self._read_line(_STORES) or "").split("\n")) - {""}

    def note_store(self, url: str) -> None:
        """Note that a directory was made a store for this root, durably."""
        self._write_line(_STORES, "\n".join(sorted({*self.stores(), url})))

    def write_seal(self, word: str) -> None:
        """Leave a word for the next start, durably."""
        self._write_line(_SEAL, word)

    def take_seal(self) -> str | None:
        """Return the word that the last stop left, None where there is none; durably, nobody gets it twice."""
        word = self._read_line(_SEAL)
        if word is not None:
            with self.beneath(_SEAL) as (directory, name), translated(_SEAL):
                os.unlink(name, dir_fd=directory)
                sync_directory(directory)
        return word

    def space(self) -> DiskSpace:
        """Return how full the root's file system is."""
        with translated(""):
            found = os.statvfs(self.root)
        unit = found.f_frsize
        return DiskSpace(found.f_blocks * unit, found.f_bfree * unit, found.f_bavail * unit)

    @contextmanager
    def beneath(self, path: str, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the directory that holds `path`; yield it, and the name in it. With `make`, durably make what lacks."""
        *above, name = _names(path)
        directory = self._descend(path, above, make=make)
        try:
            yield directory, name
        finally:
            os.close(directory)

    def open_directory(self, path: str) -> int:
        """Open a directory for listing; `""` is the root."""
        held = self._descend(path, _names(path) if path else [], make=False)
        try:
            with translated(path):
                return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
        finally:
            os.close(held)

    def open(self, path: str) -> int:
        """Open a regular file for reading, without blocking and, where permitted, without touching its access time.

        While one of our own file leases is on it, wait for that; raise BusyError if it takes too long.
        """
        with self.beneath(path) as (directory, name), translated(path):
            # Looked at before it is opened: to open a FIFO or a device is an act that others can feel.
            _require_regular(path, os.stat(name, dir_fd=directory, follow_symlinks=False))
            fd = _open_patiently(name, directory)
        try:
            _require_regular(path, os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def sight(self, path: str) -> Sighting:
        """Look at a regular file without opening it."""
        with self.beneath(path) as (directory, name), translated(path):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        _require_regular(path, found)
        return sighting_of(path, found)

    def sight_settled(self, path: str) -> Sighting:
        """Look at a regular file so that any later change shows."""
        return settled(lambda: self.sight(path))

    @staticmethod
    def sight_fd(path: str, fd: int) -> Sighting:
        """Look at an open file."""
        with translated(path):
            return sighting_of(path, os.fstat(fd))

    def sha256(self, path: str) -> str:
        """Return the hash of a file's content, in hexadecimal."""
        with os.fdopen(self.open(path), "rb") as file, translated(path):
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_directory(self, path: str) -> bool:
        """Return whether a directory, and no link to one, is known to be there."""
        try:
            with self.beneath(path) as (directory, name), translated(path):
                return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
        except FileError:
            return False

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory of ours."""
        fd = self.open_directory(directory)
        try:
            with translated(directory), os.scandir(fd) as entries:
                return [entry.name for entry in entries]
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        """Unlink a file of ours; one that is not there is no error."""
        with self.beneath(path) as (directory, name), translated(path), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)

    def _read_line(self, place: str) -> str | None:
        try:
            fd = self.open(place)
        except MissingError:
            return None
        with os.fdopen(fd, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()

    def _write_line(self, place: str, line: str) -> None:
        with self.beneath(place) as (directory, name), translated(place):
            fresh = name + b".new"
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
            with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(fd)
            os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
            sync_directory(directory)

    def _descend(self, path: str, names: Sequence[bytes], *, make: bool) -> int:
        with translated(path):
            # The root may be a link: its owner configured it. It is opened anew each time, so that it can be mounted.
            held = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in names:
            try:
                below = _step(held, name, path, make=make)
            finally:
                os.close(held)
            held = below
        return held


def sighting_of(path: str, found: os.stat_result) -> Sighting:
    """Return what a stat says about a regular file.

    A time that the index cannot store is cut to one that it can, or the file would look changed at every scan.
    """
    return Sighting(
        RelPath(path),
        Fingerprint(found.st_size, clamped(found.st_mtime_ns), found.st_ino),
        clamped(found.st_ctime_ns),
        found.st_blocks * _BLOCK_BYTES,
        stat.S_IMODE(found.st_mode),
        found.st_nlink,
        clamped(found.st_atime_ns),
    )


def settled(look: Callable[[], Sighting]) -> Sighting:
    """Look at a file, and once more where its last change is so young that the next could have the same ctime."""
    seen = look()
    if time.time_ns() - seen.ctime_ns >= RACY_NS:
        return seen
    time.sleep(RACY_NS / 1e9)
    return look()


def sync_directory(directory: int) -> None:
    """Make the names in an open directory durable."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _names(path: str) -> list[bytes]:
    try:
        names = path_to_bytes(path).split(b"/")
    except UnicodeEncodeError:
        raise BadNameError(path, "not the name of any file") from None
    if any(name in {b"", b".", b".."} or b"\0" in name for name in names):
        raise BadNameError(path, "not a path relative to the cache root")
    return names


def _step(held: int, name: bytes, path: str, *, make: bool) -> int:
    with translated(path):
        if make:
            _make_directory(name, held)
        try:
            return os.open(name, _STEP, dir_fd=held)
        except NotADirectoryError:
            # The kernel answers the same for a file, which rules out that anything is below it, and for a link, which
            # says nothing about what exists.
            if stat.S_ISLNK(os.stat(name, dir_fd=held, follow_symlinks=False).st_mode):
                raise NotRegularError(path, "is behind a symbolic link, which is not followed") from None
            if make:
                raise NotRegularError(path, "a file is where its directory must be made") from None
            raise


def _make_directory(name: bytes, parent: int, *, mode: int = 0o777) -> None:
    """Make a directory, durably, unless something has its name."""
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        return
    try:
        sync_directory(parent)
    except BaseException:
        # Left there, it would be taken for durable by whoever comes next.
        os.rmdir(name, dir_fd=parent)
        raise


def _open_patiently(name: bytes, directory: int) -> int:
    deadline = time.monotonic() + _LEASE_PATIENCE_SECONDS
    while True:
        try:
            return _open_unnoticed(name, directory)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LEASE_STEP_SECONDS)


def _open_unnoticed(name: bytes, directory: int) -> int:
    try:
        return os.open(name, _READ | os.O_NOATIME, dir_fd=directory)
    except PermissionError:  # O_NOATIME is for the owner of the file and for root
        return os.open(name, _READ, dir_fd=directory)


def _require_regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotRegularError(path, "not a regular file")
