"""The record of what happened: every change of state is one row, written in the transaction that makes the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index import queries
from index.asset import AssetId, RelPath, path_from_bytes, path_to_bytes
from index.errors import CorruptIndexError
from index.lifecycle import State
from index.rows import legible

if TYPE_CHECKING:
    import sqlite3

    from index.asset import Asset
    from index.rows import Row

DISCOVERED: Final = "discovered"
"""The event of an asset that the index had not known."""

PRUNED_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """One change of state. `before` is None, and `event` is "discovered", where there was no asset."""

    cursor: int
    at: float
    id: AssetId
    path: RelPath
    event: str
    before: State | None
    after: State
    generation: int
    reason: str
    key: str | None


def record(
    connection: sqlite3.Connection, event: str, before: State | None, asset: Asset, *, reason: str, now: float
) -> None:
    """Write down that the asset became what it is."""
    key = asset.proof.key if asset.proof else None
    row = (now, asset.id, path_to_bytes(asset.path), event, before, asset.state, asset.generation, legible(reason), key)
    connection.execute(queries.ADD_EVENT, row)


def read_records(connection: sqlite3.Connection, after: int, limit: int) -> list[Record]:
    """Return the records with a higher cursor, in order."""
    return [_record_from(row) for row in connection.execute(queries.EVENTS, (after, limit)).fetchall()]


def prune(connection: sqlite3.Connection, keep: int) -> bool:
    """Forget some of the oldest records, and return whether more than `keep` are left."""
    oldest, newest = connection.execute(queries.EVENT_SPAN).fetchone()
    if oldest is None:
        return False
    surplus = newest - oldest + 1 - keep
    if surplus <= 0:
        return False
    connection.execute(queries.PRUNE_EVENTS, (oldest + min(surplus, PRUNED_AT_ONCE),))
    return bool(surplus > PRUNED_AT_ONCE)


def _record_from(row: Row) -> Record:
    cursor, at, asset_id, path, event, before, after, generation, reason, key = row
    try:
        known = None if before is None else State(before)
        return Record(cursor, at, asset_id, path_from_bytes(path), event, known, State(after), generation, reason, key)
    except (ValueError, AttributeError) as error:
        raise CorruptIndexError(f"event {cursor} makes no sense ({error!r})") from error
