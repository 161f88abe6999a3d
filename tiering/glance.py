"""One look at one path: what is there, and whether its writer is done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tiering.file_lease import Quiet, writer_done
from tiering.tree import BusyError, FileError, MissingError, NotRegularError

if TYPE_CHECKING:
    from index.asset import Sighting
    from tiering.tree import Tree


class Kind(Enum):
    """What is at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    NOTHING = "nothing"
    """The kernel says that there is nothing."""
    UNKNOWN = "unknown"
    """Something else, or something that we may not look at."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen. `sighting` is of a file only; `quiet` is UNKNOWN where nothing could be learnt of its writer."""

    kind: Kind
    sighting: Sighting | None = None
    quiet: Quiet = Quiet.UNKNOWN


def glance(tree: Tree, path: str) -> Glance:
    """Look at a path."""
    try:
        fd = tree.open(path)
    except FileError as error:
        return _glance_closed(tree, path, error)
    try:
        # Asked first, then looked at: what is seen is then at least what the writer left.
        quiet = writer_done(fd)
        return Glance(Kind.FILE, tree.sight_fd(path, fd), quiet)
    finally:
        os.close(fd)


def is_gone(tree: Tree, path: str) -> bool:
    """Return whether the kernel says that no file is there: nothing at all, or a directory of that name."""
    try:
        tree.sight(path)
    except MissingError:
        return True
    except NotRegularError:
        return tree.is_directory(path)
    except FileError:
        return False
    return False


def _glance_closed(tree: Tree, path: str, error: FileError) -> Glance:
    if isinstance(error, MissingError):
        return Glance(Kind.NOTHING)
    if isinstance(error, NotRegularError):
        return Glance(Kind.DIRECTORY if tree.is_directory(path) else Kind.UNKNOWN)
    try:
        # It cannot be opened, for want of rights perhaps, but it is there: the uploader will say why it is stuck.
        return Glance(Kind.FILE, tree.sight(path), Quiet.BUSY if isinstance(error, BusyError) else Quiet.UNKNOWN)
    except FileError:
        return Glance(Kind.UNKNOWN)
