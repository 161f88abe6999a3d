"""What shows a start that the index is the one that the last orderly stop has left: as long, and written then.

An index whose log was lost or broken, or an old copy that was put back, is sound and knows nothing of the newest
objects. What it does not know must not be taken for missing: the store's list is laid beside it then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiering.tree import FileError

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.tree import Tree

log = logging.getLogger(__name__)


def seal(tree: Tree, index: Path) -> None:
    """Leave a word about an index that was closed."""
    try:
        tree.write_seal(_word(index))
    except FileError as error:
        log.info("the next start looks through the whole list of the store: %s", error)


def is_sealed(tree: Tree, index: Path) -> bool:
    """Return whether the index is as it was sealed, before it is opened. It is so only once."""
    try:
        word = tree.take_seal()
    except FileError as error:
        log.info("whether the index is the newest is not known: %s", error)
        return False
    return word is not None and index.exists() and word == _word(index)


def _word(index: Path) -> str:
    # By stat alone: a person who restores a backup may keep its time, but not that of the last stop.
    found = index.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
