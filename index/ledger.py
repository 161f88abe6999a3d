"""Assets in and out of the table: reading one, and the one way in which one changes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from index import queries
from index.asset import path_to_bytes, printable
from index.changes import outcome
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import State
from index.records import record
from index.rows import asset_from, columns_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from index.asset import Asset, AssetId, RelPath
    from index.changes import Change


def get(connection: sqlite3.Connection, asset_id: AssetId) -> Asset:
    """Return the asset with this id. Raise UnknownAssetError."""
    row = connection.execute(queries.BY_ID, (asset_id,)).fetchone()
    if row is None:
        raise UnknownAssetError(f"there is no asset with the id {asset_id}")
    return asset_from(row)


def find(connection: sqlite3.Connection, path: RelPath) -> Asset:
    """Return the asset, or the tombstone, at this path. Raise UnknownAssetError."""
    asset = look(connection, path)
    if asset is None:
        raise UnknownAssetError(f"there is no asset {printable(path)}")
    return asset


def look(connection: sqlite3.Connection, path: RelPath) -> Asset | None:
    """Return the asset, or the tombstone, at this path, if there is one."""
    row = connection.execute(queries.BY_PATH, (path_to_bytes(path),)).fetchone()
    return None if row is None else asset_from(row)


def perform(connection: sqlite3.Connection, changes: Sequence[Change], *, now: float) -> Asset:
    """Make changes to one asset, one after the other, and write them down.

    Raise as `outcome` does, and UnknownAssetError.
    """
    return carry_out(connection, get(connection, changes[0].id), changes, now=now)


def perform_each(connection: sqlite3.Connection, batch: Sequence[Sequence[Change]], *, now: float) -> None:
    """Make changes to many assets. Leave out those that are about something that is not so any more."""
    for changes in batch:
        with suppress(StaleTransitionError):  # Raised before anything is written.
            perform(connection, changes, now=now)


def carry_out(connection: sqlite3.Connection, before: Asset, changes: Sequence[Change], *, now: float) -> Asset:
    """Make changes to an asset that was read in this very transaction; return what it is then."""
    asset = before
    for change in changes:
        former, asset = asset, outcome(asset, change, now=now)
        record(connection, change.event, former, asset, reason=change.reason, now=now)
    if asset.path != before.path:
        _vacate(connection, asset)
    save(connection, before, asset)
    return asset


def save(connection: sqlite3.Connection, before: Asset, after: Asset) -> None:
    """Write what is different. Raise StaleTransitionError where the row is not `before` any more."""
    old, new = columns_of(before), columns_of(after)
    different = [column for column, value in new.items() if value != old[column]]
    if not different:
        return
    values = [*(new[column] for column in different), before.id, before.state, before.generation]
    if connection.execute(queries.update(different), values).rowcount != 1:
        raise StaleTransitionError(f"{printable(before.path)}: it changed meanwhile; read it again")


def add(connection: sqlite3.Connection, asset: Asset) -> None:
    """Write a row that is not there yet."""
    columns = columns_of(asset)
    connection.execute(queries.insert([*columns]), [*columns.values()])


def drop(connection: sqlite3.Connection, asset_id: AssetId) -> None:
    """Forget a row."""
    connection.execute(queries.DROP, (asset_id,))
    unmark(connection, asset_id)


def unmark(connection: sqlite3.Connection, asset_id: AssetId) -> None:
    """Forget that the remote copy of an asset is to follow: there is none of this id any more."""
    connection.execute(queries.UNMARK, (asset_id,))


def _vacate(connection: sqlite3.Connection, asset: Asset) -> None:
    """Make room at the path that the asset moved to. A tombstone that still has to be purged is in the way."""
    other = look(connection, asset.path)
    if other is None:
        return
    if other.state is not State.GONE or other.purge:
        raise StaleTransitionError(f"{printable(asset.path)}: another asset is there, {other.state}; look again")
    drop(connection, other.id)
