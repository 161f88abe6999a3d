"""Checks of the host: file leases, inotify, our package names, SQLite, and the index."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon.circumstances import HeldError
from daemon.doctor import failed, ok, warning
from daemon.owners import foreign_owners
from index.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon.circumstances import Circumstances
    from daemon.doctor import Finding

INOTIFY: Final = Path("/proc/sys/fs/inotify")
_CAP_LEASE: Final = 28
_POSTS: Final = 32
"""What the watch needs of instances, and a few more."""
_OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with STRICT tables."""
_FIXED: Final = (3, 51, 3)
"""Before it, two connections can spoil a WAL; tierd has one, and keeps all others out."""


def packages(_: Circumstances) -> Iterator[Finding]:
    """Whether the modules that run are ours."""
    owners = foreign_owners()
    yield from (failed(said, "make an environment for tierd alone") for said in owners)
    if not owners:
        yield ok("daemon, index and tiering belong to tierd alone")


def file_leases(at: Circumstances) -> Iterator[Finding]:
    """Whether the kernel tells when a writer is done, and when nobody has a file open."""
    if (refusal := _refusal(at.root)) is not None:
        said = f"the file system grants no file leases ({refusal}): files wait for settle, the trash for ten minutes"
        yield warning(said, "put the cache root on a local disk")
        return
    walk = at.walk
    seen = f"{walk.foreign:,} of {walk.files:,} files{'' if walk.whole else ' looked at'} belong to others"
    if walk.foreign and not _has_cap_lease():
        said = f"{seen}, of which no file lease is granted: they wait for settle, and ten minutes in the trash"
        yield warning(said, "give the daemon CAP_LEASE (systemd: AmbientCapabilities=CAP_LEASE), or let it own them")
    else:
        yield ok(f"file leases are granted; {seen}")


def _refusal(root: Path) -> str | None:
    """Try it on a file that nobody else can open, so that no signal comes of it."""
    try:
        fd = os.open(root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        return error.strerror
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.strerror
    finally:
        os.close(fd)
    return None


def _has_cap_lease() -> bool:
    lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(effective >> _CAP_LEASE & 1)


def inotify(at: Circumstances) -> Iterator[Finding]:
    """Whether every directory can be watched."""
    try:
        watches, instances = (int((INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances"))
    except FileNotFoundError:
        yield ok("the limits of inotify are hidden from this process (ProcSubset=pid): see sysctl fs.inotify")
        return
    count = at.walk.directories
    said = f"{count:,} directories{'' if at.walk.whole else ' at least'}, {watches:,} watches"
    if count > watches * 0.8:
        remedy = f"sysctl fs.inotify.max_user_watches={2 * count}; until then the scan finds new files"
        yield warning(said, remedy)
    else:
        yield ok(said)
    if instances < _POSTS:
        yield warning(f"{instances} instances of inotify", f"sysctl fs.inotify.max_user_instances={4 * _POSTS}")


def sqlite(_: Circumstances) -> Iterator[Finding]:
    """Whether SQLite is new enough."""
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        yield failed(f"SQLite {version} is too old", "use a Python with SQLite 3.37 or newer")
    elif sqlite3.sqlite_version_info < _FIXED:
        yield ok(f"{version}: two connections could spoil an index; tierd has one, and keeps all others out")
    else:
        yield ok(version)


async def index(at: Circumstances) -> list[Finding]:
    """Whether every page of the index can be read and makes sense."""
    path = at.settings.index.path
    if not at.has_index:
        return [ok(f"{path} is not there yet: the first start makes it, of what is on disk and in the store")]
    remedy = "restart the daemon: it sets the index aside and rebuilds it of both tiers; then look at the disk"
    try:
        faults = await at.faults()
    except HeldError as error:
        return [warning(str(error), "ask the daemon: as root, as its own user, or as one of [api] admin")]
    except CatalogError as error:
        return [failed(str(error), remedy)]
    return [failed(f"{path}: {fault}", remedy) for fault in faults] or [ok(f"{path}: every page was read")]
