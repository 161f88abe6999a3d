"""Assets whose remote copy is to follow what is said of them: to another key, or with another label.

A mark is written with what is said, and stays until the copy is there: no stop can lose one. Each has a version: what
is said while the copy follows is not taken for done with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from index import queries
from index.rows import asset_from

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from index.asset import Asset, AssetId


def mark(connection: sqlite3.Connection, ids: Iterable[AssetId]) -> int:
    """Mark those that have a remote copy, or may have one soon; return how many. The others' upload sees to it."""
    return sum(connection.execute(queries.MISPLACE, {"id": each}).rowcount for each in ids)


def page(connection: sqlite3.Connection, after: str, limit: int) -> list[tuple[Asset, int]]:
    """Return marked assets, in the order of their ids, each with its mark's version."""
    rows = connection.execute(queries.MISPLACED, (after, limit)).fetchall()
    return [(asset_from(row[1:]), row[0]) for row in rows]
