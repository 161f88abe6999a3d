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
    """One change of state. `before` is None, and `event` is "discovered", where there was no asset.

    `was_path` and `was_key` are path and key before it.
    """

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
    was_path: RelPath
    was_key: str | None


def record(
    connection: sqlite3.Connection, event: str, before: Asset | None, asset: Asset, *, reason: str, now: float
) -> None:
    """Write down that the asset became what it is."""
    path, key = path_to_bytes(asset.path), _key_of(asset)
    was_path, was_key = (path, key) if before is None else (path_to_bytes(before.path), _key_of(before))
    state = None if before is None else before.state
    # Most changes move nothing: NULL says so, and takes no room.
    moved = None if was_path == path else was_path, None if was_key == key else was_key or ""
    row = (now, asset.id, path, event, state, asset.state, asset.generation, legible(reason), key, *moved)
    connection.execute(queries.ADD_EVENT, row)


def _key_of(asset: Asset) -> str | None:
    return asset.proof.key if asset.proof else None


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
    cursor, at, asset_id, path, event, before, after, generation, reason, key, was_path, was_key = row
    try:
        return Record(
            cursor,
            at,
            asset_id,
            path_from_bytes(path),
            event,
            None if before is None else State(before),
            State(after),
            generation,
            reason,
            key,
            path_from_bytes(path if was_path is None else was_path),
            key if was_key is None else was_key or None,
        )
    except (ValueError, AttributeError) as error:
        raise CorruptIndexError(f"event {cursor} makes no sense ({error!r})") from error
