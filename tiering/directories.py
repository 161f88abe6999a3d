"""The directories that a watch can be set on, and those that it cannot.

The kernel tells of a directory by the names in it, and the watcher gives up at the first that is not UTF-8, be it only
opened. So a directory that holds such a name cannot be watched, nor what lies beneath the name; all else can.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from index.asset import RelPath, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiering.tree import Tree

_MOST_NAMED: Final = 3

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A directory beneath the root, `""` the root itself. Made anew under the same name it is another one."""

    path: str
    inode: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What a walk found: `open` can be watched, `blind` cannot."""

    open: set[Place] = field(default_factory=set)
    blind: set[RelPath] = field(default_factory=set)


class BlindSpots:
    """The directories that cannot be watched. Each is told once; written by one thread, read by any."""

    def __init__(self) -> None:
        self.paths: frozenset[RelPath] = frozenset()
        self._told: set[RelPath] = set()

    def __repr__(self) -> str:
        return f"<BlindSpots {len(self.paths)}>"

    def __str__(self) -> str:
        """Say how many there are and name some, for people."""
        return _named(self.paths)

    def replace(self, paths: Iterable[RelPath]) -> None:
        """Take these, and no others, for blind."""
        self.paths = frozenset(paths)
        if fresh := self.paths - self._told:
            self._told |= fresh
            log.warning("no hints, only scans, in %s: names there are not UTF-8", _named(fresh))


def walk(tree: Tree, below: Iterable[str] = ("",)) -> Ground:
    """Look at these directories and all beneath them: no symbolic link is followed, nothing that is ignored entered."""
    ground = Ground()
    waiting = [place for path in below if (place := place_at(tree, path)) is not None]
    while waiting:
        place = waiting.pop()
        try:
            entered, is_open = _look_into(tree, place.path)
        except OSError:
            # It has gone, or may not be read: there is nothing to be watched. A scan says what is wrong with it.
            continue
        waiting += entered
        if is_open:
            ground.open.add(place)
        else:
            ground.blind.add(RelPath(place.path))
    return ground


def place_at(tree: Tree, path: str) -> Place | None:
    """Return the directory at a path, None where there is none. The root may be a symbolic link, nothing else."""
    try:
        seen = (tree.root / path).stat(follow_symlinks=not path)
    except (OSError, ValueError):
        return None
    return Place(path, seen.st_ino) if stat.S_ISDIR(seen.st_mode) else None


def _look_into(tree: Tree, path: str) -> tuple[list[Place], bool]:
    entered = []
    is_open = True
    prefix = f"{path}/" if path else ""
    with os.scandir(f"{tree.root}/{path}") as entries:
        for entry in entries:
            name = entry.name
            if not _is_utf8(name):
                is_open = False
            elif entry.is_dir(follow_symlinks=False) and not tree.ignores_name(name):
                entered.append(Place(prefix + name, entry.inode()))
    return entered, is_open


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(paths: Iterable[RelPath]) -> str:
    ordered = sorted(paths)
    names = ", ".join(printable(path) or "the cache root itself" for path in ordered[:_MOST_NAMED])
    more = len(ordered) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names
