"""The tree as it is, in the order of the index, batch by batch.

Paths come in the byte order of the whole path, so that each batch covers a range that can be laid beside the same range
of the index. What cannot be looked at is said: nothing is known of such a path or of anything beneath it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from index.asset import RelPath, Sighting
from tiering.tree import FileError, MissingError, sighting_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiering.tree import Tree

BATCH: Final = 2_000

_TYPE: Final = 0o170000
_REGULAR: Final = 0o100000
_SYMBOLIC_LINK: Final = 0o120000


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that is neither a file nor a directory we can look into: what it hides is unknown, not missing."""

    path: RelPath
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """All there is after the batch before and up to `upto`; None stands for the end of the scan."""

    sightings: Sequence[Sighting]
    oddities: Sequence[Oddity]
    upto: RelPath | None


def scan(tree: Tree, below: str = "", *, batch_size: int = BATCH) -> Iterator[Batch]:
    """Yield what is in the tree, or beneath one directory of it, at most `batch_size` sightings at a time.

    Never raises for what it finds. Keeps one batch and the directories on the way to it in memory.
    """
    found = _walk(tree, below)
    oddities: list[Oddity] = []
    while True:
        chunk = list(islice(found, batch_size))
        oddities += [item for item in chunk if isinstance(item, Oddity)]
        sightings = [item for item in chunk if isinstance(item, Sighting)]
        if len(chunk) < batch_size:
            yield Batch(sightings, oddities, upto=None)
            return
        last = chunk[-1]
        yield Batch(sightings, oddities, upto=last.path)
        # What an oddity hides sorts after it, and so belongs to the next batch.
        oddities = [last] if isinstance(last, Oddity) else []


def _walk(tree: Tree, below: str) -> Iterator[Sighting | Oddity]:
    unfinished = [iter(_entries(tree, below))]
    while unfinished:
        for found in unfinished[-1]:
            if isinstance(found, str):
                unfinished.append(iter(_entries(tree, found)))
                break
            yield found
        else:
            unfinished.pop()


def _entries(tree: Tree, directory: str) -> list[Sighting | Oddity | str]:
    """Return what a directory holds, in byte order; a `str` is a directory in it."""
    try:
        fd = tree.open_directory(directory)
    except FileError as error:
        has_vanished = isinstance(error, MissingError) and directory
        return [] if has_vanished else [Oddity(RelPath(directory), error.reason)]
    try:
        return _read_entries(tree, fd, f"{directory}/" if directory else "")
    except OSError as error:
        return [Oddity(RelPath(directory), error.strerror or str(error))]
    finally:
        os.close(fd)


def _read_entries(tree: Tree, fd: int, prefix: str) -> list[Sighting | Oddity | str]:
    found: dict[str, Sighting | Oddity | str] = {}
    is_ignored = tree.ignores_name
    with os.scandir(fd) as entries:
        for entry in entries:
            name = entry.name
            if is_ignored(name):
                continue
            if entry.is_dir(follow_symlinks=False):
                # All paths beneath it begin with its name and a slash: this is where they sort.
                found[f"{name}/"] = prefix + name
            elif (seen := _look(entry, RelPath(prefix + name))) is not None:
                found[name] = seen
    return [found[name] for name in sorted(found, key=os.fsencode)]


def _look(entry: os.DirEntry[str], path: RelPath) -> Sighting | Oddity | None:
    try:
        seen = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Oddity(path, error.strerror or str(error))
    kind = seen.st_mode & _TYPE
    if kind != _REGULAR:
        return Oddity(path, "a symbolic link" if kind == _SYMBOLIC_LINK else "not a regular file")
    return sighting_of(path, seen)
