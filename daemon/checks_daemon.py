"""Checks from outside: the configuration, who holds the locks, who answers on the socket, and who can reach it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.accounts import group_id
from daemon.client import TierdError, UnreachableError
from daemon.doctor import failed, ok, warning
from daemon.instance import holder
from daemon.sockets import exposed
from tiering.tree import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daemon.client import Client
    from daemon.doctor import Finding
    from daemon.settings import Settings
    from daemon.sources import Problem

_OTHERS: Final = 0o006


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What can be looked at whether a daemon runs or not."""

    file: Path | None
    settings: Settings
    problems: Sequence[Problem]
    client: Client

    @property
    def locks(self) -> tuple[Path, Path]:
        """The lock of the cache root, and that of the index."""
        return self.settings.cache.root / PRIVATE / "lock", Path(f"{self.settings.index.path}.lock")

    def holders(self) -> list[str | None]:
        """Return the numbers of the processes that hold them."""
        return [holder(lock) for lock in self.locks]


def problems(found: Sequence[Problem]) -> Iterator[Finding]:
    """Return what is wrong with a configuration."""
    for problem in found:
        where = f"{problem.where}: {problem.key}" if problem.key else problem.where
        yield failed(f"{where}: {problem.wrong}", problem.right)


def configuration(at: Outside) -> Iterator[Finding]:
    """Whether a daemon would start with it."""
    yield from problems(at.problems)
    if not at.problems:
        yield ok(str(at.file.absolute()) if at.file else "no file: the built-in defaults")


def daemon(at: Outside) -> Iterator[Finding]:
    """Whether one runs, is the right one, is the only one, and is well."""
    of_root, of_index = at.holders()
    try:
        health = at.client.health()
    except UnreachableError as error:
        yield from _silent(at, of_root or of_index, error)
        return
    except TierdError as error:
        yield failed(error.message, error.hint)
        return
    if of_root != of_index:
        said = f"process {of_root} holds the cache root, process {of_index} the index"
        yield failed(said, "give each daemon its own root and index")
    yield from _well(at, health, of_root)


def _silent(at: Outside, holds: str | None, error: TierdError) -> Iterator[Finding]:
    if holds is None:
        yield ok("none runs")
    else:
        said = f"process {holds} holds the cache root or the index, and {error.message}"
        yield failed(said, f"is it another tierd, with another socket than {at.settings.api.socket}? Or does it hang?")


def _well(at: Outside, health: dict[str, Any], process: str | None) -> Iterator[Finding]:
    if health["root"] != str(at.settings.cache.root):
        said = f"the daemon on this socket looks after {health['root']}, not {at.settings.cache.root}"
        yield failed(said, "name the right configuration with --config, or restart the daemon")
    elif health["status"] == "ok":
        yield ok(f"process {process} runs version {health['version']}")
    make = failed if health["status"] == "failing" else warning
    for reason in health["reasons"]:
        yield make(reason, "see tierd status")


def socket(at: Outside) -> Iterator[Finding]:
    """Whether those who should can open it, and no others."""
    api = at.settings.api
    path = api.socket
    if api.mode & _OTHERS and api.read is None and api.write is None:
        said = f"[api] mode {api.mode:04o} lets everybody on this host read and write all media"
        yield warning(said, "set [api] mode to 0660 and group, or read and write")
    if not path.parent.exists():
        yield _missing(path.parent, at.settings)
        return
    if api.group is not None:
        yield from _closed_ways(path, group_id(api.group), api.group)
    if not path.exists():
        yield ok(f"{path} will be made, with mode {api.mode:04o}")
        return
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode):
        yield failed(f"{path} is in the way and is no socket", "remove it, or set [api] socket")
    elif stat.S_IMODE(found.st_mode) != api.mode:
        said = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, {api.mode:04o} is configured"
        yield warning(said, "restart the daemon")
    elif why := exposed(path):
        yield warning(f"others can take the place of the socket: {why}", "set [api] socket to a directory of tierd's")
    else:
        yield ok(f"{path} has mode {api.mode:04o}")


def _missing(directory: Path, settings: Settings) -> Finding:
    """Tell of the socket's directory: with that of the index it is made, and no other is."""
    if directory in settings.index.path.parents:
        return ok(f"{directory} will be made")
    return failed(f"there is no directory {directory} for the socket", "make it, for the daemon's user to write in")


def _closed_ways(path: Path, gid: int, group: str) -> Iterator[Finding]:
    for directory in path.parents:
        found = directory.stat()
        may = found.st_mode & (stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH)
        if not may:
            yield warning(f"the group {group} may not enter {directory}, where the socket is", f"chmod o+x {directory}")
