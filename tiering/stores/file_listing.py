"""The objects of a file store in the order of their keys, one directory in memory at a time.

In key order a directory comes where its name and a `/` come: `a-b`, then all of `a/`, then `a0`.
"""

from __future__ import annotations

import heapq
import os
import stat
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from tiering.stores.file_shelf import META
from tiering.stores.rules import PAGE, is_listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tiering.store import ObjectInfo
    from tiering.stores.file_shelf import Shelf


def list_pages(shelf: Shelf, prefix: str, after: str) -> Iterator[Sequence[ObjectInfo]]:
    """Yield pages of what is listed below `prefix` and after a key. Blocks."""
    shelf.check()
    places = heapq.merge(_walk(shelf.root, "", prefix, after), _aside(shelf), key=lambda each: each[0])
    found = (
        info
        for key, place in places
        if key > after and is_listed(key, prefix) and (info := _look(shelf, key, place)) is not None
    )
    while page := list(islice(found, PAGE)):
        yield page
    # Had the disk gone meanwhile, the rest would have looked like nothing.
    shelf.check()


def _walk(directory: Path, above: str, prefix: str, after: str) -> Iterator[tuple[str, Path]]:
    for name in _sorted_names(directory, is_root=not above):
        key = above + name
        if not name.endswith("/"):
            yield key, directory / name
        elif (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
            yield from _walk(directory / name, key, prefix, after)


def _sorted_names(directory: Path, *, is_root: bool) -> list[str]:
    """Return the names as keys have them: those of regular files and, with a `/`, of directories."""
    try:
        with os.scandir(directory) as entries:
            names = [_name_of(entry) for entry in entries if not (is_root and entry.name == META)]
    except FileNotFoundError:
        # Its last object was removed after its name was read.
        return []
    return sorted(filter(None, names))


def _name_of(entry: os.DirEntry[str]) -> str:
    """Return the name; "" for what can neither be an object nor hold one."""
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return entry.name if entry.is_file(follow_symlinks=False) and _is_utf8(entry.name) else ""


def _is_utf8(name: str) -> bool:
    """Whether a key can have this name; others put it here, and it is no object."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _aside(shelf: Shelf) -> list[tuple[str, Path]]:
    """Return what could not be stored under its own name. It is little."""
    found = []
    for place in shelf.aside.iterdir():
        try:
            key = shelf.key_aside(place, place.lstat())
        except FileNotFoundError:
            continue
        if key is not None:
            found.append((key, place))
    return sorted(found)


def _look(shelf: Shelf, key: str, place: Path) -> ObjectInfo | None:
    """Return the object as listings tell of it, None where it was removed meanwhile."""
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return replace(shelf.describe(key, place, found).info, metadata=None, content_type=None)
