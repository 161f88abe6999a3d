"""Assets of which only a listing tells: an object is where theirs would be, and has not been asked who it is.

They can be listed and asked for, so that a rebuilt index is of use at once. Nothing is concluded from them: whoever
wants one has its object asked first, an object that speaks for itself takes their place, and once every object has been
asked those that are left are forgotten. No event tells of them, as they may never have been.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from index import queries
from index.asset import RelPath, new_asset_ids, path_to_bytes
from index.ledger import drop, look, save
from index.lifecycle import State
from index.rows import asset_from

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from index.asset import Asset, AssetId


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of an object, and the path that its key stands for. `modified` is in nanoseconds."""

    path: RelPath
    key: str
    etag: str
    size: int
    modified: int


def enlist(connection: sqlite3.Connection, objects: Sequence[Listed], *, now: float) -> list[Listed]:
    """Take in those at whose path nothing is known; return them."""

    def is_new(asset_id: AssetId, each: Listed) -> bool:
        row = (now, asset_id, path_to_bytes(each.path), each.key, each.etag, each.size, each.modified)
        return connection.execute(queries.ENLIST, row).rowcount == 1

    ids = new_asset_ids(len(objects))
    return [each for asset_id, each in zip(ids, objects, strict=True) if is_new(asset_id, each)]


def strike(connection: sqlite3.Connection, path: RelPath) -> bool:
    """Forget what a listing says of a path. Return whether it was pinned since."""
    there = look(connection, path)
    if there is None or not there.is_listed:
        return False
    _strike(connection, there)
    return there.pinned


def strike_some(connection: sqlite3.Connection, limit: int) -> int:
    """Forget so many of those that are left, at most; return how many."""
    rows = connection.execute(queries.LISTED, (limit,)).fetchall()
    for row in rows:
        _strike(connection, asset_from(row))
    return len(rows)


def _strike(connection: sqlite3.Connection, listed: Asset) -> None:
    if listed.state is State.NEW:
        # Its owner wrote a file there meanwhile: that is an asset, whatever the object is.
        save(connection, listed, replace(listed, proof=None))
    else:
        drop(connection, listed.id)
