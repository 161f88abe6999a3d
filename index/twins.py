"""Assets by what they hold: who else has this content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index import queries
from index.figures import ROWS_AT_ONCE
from index.rows import asset_from

if TYPE_CHECKING:
    import sqlite3

    from index.asset import Asset


def large(connection: sqlite3.Connection, sha256: str) -> list[Asset]:
    """Return the assets whose remote copy holds this content, if it has at least 1 MiB: only those have an index."""
    return [asset_from(row) for row in connection.execute(queries.LARGE_TWINS, {"sha256": sha256}).fetchall()]


def holding(connection: sqlite3.Connection, sha256: str, md5: str, after: int) -> tuple[list[Asset], int | None]:
    """Return who of the next rows holds this content, in either tier, and the last of the rows, None at the end."""
    (upto,) = connection.execute(queries.END_OF_ROWS, (after, ROWS_AT_ONCE)).fetchone()
    if upto is None:
        return [], None
    values = {"after": after, "upto": upto, "sha256": sha256, "md5": md5}
    return [asset_from(row) for row in connection.execute(queries.HOLDING, values).fetchall()], upto
