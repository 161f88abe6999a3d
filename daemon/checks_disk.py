"""Checks of the disk: directories, room, how it is mounted, and what lies on what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from daemon.doctor import failed, ok, warning
from daemon.mounts import MOUNTINFO, mount_of, mounts_below, parse
from daemon.units import human_size
from tiering.tree import FileError, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daemon.circumstances import Circumstances
    from daemon.doctor import Finding
    from daemon.mounts import Mount

GIB: Final = 1024**3
_INDEX_LEAST: Final = 100 * 1024**2
_LEAST_INODES: Final = 0.01


def directories(at: Circumstances) -> Iterator[Finding]:
    """Whether all that must be there is there, and may be written."""
    yield _writable("cache root", at.root)
    yield _marker(at)
    index = at.settings.index.path.parent
    yield _writable("index", index) if index.exists() else ok(f"index: {index} will be made")
    store = at.settings.store.directory
    if store is not None and store.exists():
        yield _writable("store", store)


def _writable(what: str, directory: Path) -> Finding:
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in _NO_UNNAMED_FILES and os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            return ok(f"{what}: {directory} can be written (its file system has no files without a name)")
        remedy = "mount the disk, or let the daemon's user read and write it"
        return failed(f"{what}: {directory}: {error.strerror}", remedy)
    return ok(f"{what}: {directory} can be written")


_NO_UNNAMED_FILES: Final = frozenset([95, 21, 22])
"""EOPNOTSUPP, EISDIR, EINVAL: what file systems and old kernels answer who do not know O_TMPFILE."""


def _marker(at: Circumstances) -> Finding:
    try:
        marker = Tree(at.root, ignored=()).read_marker()
    except FileError as error:
        return failed(f"the marker of the cache root cannot be read: {error.reason}", "run it as the daemon's user")
    if marker is not None:
        return ok(f"the cache root carries its marker {marker}")
    if not at.has_index:
        return ok("the cache root carries no marker yet: the first start writes it")
    return failed(
        "the cache root has lost its marker", "mount its disk; only if it is this one: tierd resume --confirm"
    )


def free_space(at: Circumstances) -> Iterator[Finding]:
    """Whether there is room to work in."""
    yield _room("cache root", at.root, warn_below=GIB, fail_below=0)
    yield _room("index", _existing(at.settings.index.path), warn_below=GIB, fail_below=_INDEX_LEAST)
    store = at.settings.store.directory
    if store is not None:
        yield _room("store", _existing(store), warn_below=GIB, fail_below=0)


def _room(what: str, place: Path, *, warn_below: int, fail_below: int) -> Finding:
    found = os.statvfs(place)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    said = f"{what}: {human_size(free)} of {human_size(total)} are free"
    if free <= fail_below:
        return failed(said, "free some: nothing can be written")
    if found.f_files and found.f_favail < found.f_files * _LEAST_INODES:
        return warning(
            f"{what}: {found.f_favail:,} inodes are left", "remove small files, or make a larger file system"
        )
    # On a small file system a GiB may be all there is.
    return warning(said, "free some, or add disk") if free < min(warn_below, total // 20) else ok(said)


def mount_options(at: Circumstances) -> Iterator[Finding]:
    """Whether access times are kept, files can be written, and others' writes would be heard of."""
    mounts = parse(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
    yield _judge_root(mount_of(at.root, mounts))
    yield _judge_index(mount_of(at.settings.index.path, mounts))


def _judge_root(mount: Mount) -> Finding:
    if "ro" in mount.options:
        return failed(f"cache root: {mount} is mounted read-only", "mount it with rw; is the disk failing?")
    if mount.is_remote:
        said = f"cache root: {mount} is not a local disk: writes of others are found by the scan only, no file leases"
        return warning(said, "put the cache root on a local disk")
    if mount.kind == "tmpfs":
        return warning(f"cache root: {mount} is memory: it is empty after a reboot", "put the cache root on a disk")
    if "noatime" in mount.options:
        said = f"cache root: {mount} has noatime: who reads a file by its path is not seen, and it seems cold"
        return warning(said, "mount it with relatime, or open files through tierd")
    kept = "to about a day (relatime)" if "relatime" in mount.options else "exactly"
    return ok(f"cache root: {mount} is writable, access times are kept {kept}")


def _judge_index(mount: Mount) -> Finding:
    if "ro" in mount.options:
        return failed(f"index: {mount} is mounted read-only", "mount it with rw, or set [index] path")
    if mount.is_remote:
        return failed(
            f"index: {mount} is not a local disk: SQLite can lose it there", "set [index] path to a local disk"
        )
    if mount.kind == "tmpfs":
        return warning(f"index: {mount} is memory: it is rebuilt after a reboot", "set [index] path to a disk")
    return ok(f"index: {mount}")


def file_systems(at: Circumstances) -> Iterator[Finding]:
    """Whether what must not share a file system does not, and what must does."""
    mounts = parse(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
    root, index = mount_of(at.root, mounts), mount_of(at.settings.index.path, mounts)
    if root.point == index.point:
        said = f"the index shares {root} with the media: when they fill it nothing can be written down"
        yield warning(said, "set [index] path to another file system, or [cache] size_limit below the disk's size")
    else:
        yield ok(f"the index ({index.point}) and the media ({root.point}) are on file systems of their own")
    store = at.settings.store.directory
    if store is not None and mount_of(store, mounts).point == root.point:
        said = f"the store shares {root} with the media: it protects from mistakes, not from the loss of the disk"
        yield warning(said, "set [store] url to another disk, or to a bucket")
    for mount in mounts_below(at.root, mounts):
        yield warning(f"{mount} is mounted inside the cache root: its files are never demoted", "mount it elsewhere")


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())
