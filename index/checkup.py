"""Reading every page of an index to see whether it is whole: of one that is open, and of one that nobody has open."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from index.connection import FOREIGN_ERRORS, translated
from index.schema import require_ours

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST: Final = 5
"""So many faults are told."""


def faults(connection: sqlite3.Connection) -> list[str]:
    """Read every page, and return what is wrong; nothing where all is well."""
    said = [str(fault) for (fault,) in connection.execute(f"PRAGMA quick_check({MOST})")]
    return [] if said == ["ok"] else said


def faults_of_closed(path: Path) -> list[str]:
    """Return what is wrong with an index that nobody has open. It is not touched, and neither are its neighbours.

    Raise CatalogError where it is no index of ours, or cannot be read.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return _faults_of(path)
    # What the last stop left in the log belongs to it: both are looked at together, as the next start will.
    with tempfile.TemporaryDirectory(prefix="tierd-") as name:
        return _faults_of(*_copied((path, log), Path(name)), immutable=False)


def _copied(files: Iterable[Path], into: Path) -> list[Path]:
    return [Path(shutil.copyfile(file, into / file.name)) for file in files][:1]


def _faults_of(path: Path, *, immutable: bool = True) -> list[str]:
    how = "mode=ro&immutable=1" if immutable else "mode=rw"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True)) as connection:
            require_ours(connection)
            return faults(connection)
    except FOREIGN_ERRORS as error:
        raise translated(error, path) from error
