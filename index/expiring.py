"""Assets that a retention rule says are to go from the store, marked so, and those whose time to object is over.

A mark is about a cold asset that nobody has pinned: triggers of the schema take it away from any other. `since` is not
a time of day but how long the rules had been watched over when it was made, in seconds: a clock that is set ahead, or
a host that was off, takes nobody's time to object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index import queries
from index.changes import Change
from index.ledger import carry_out, get
from index.lifecycle import Event
from index.rows import asset_from

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from index.asset import Asset, AssetId

    Goes = Callable[[Asset], bool]


@dataclass(frozen=True, slots=True)
class Mark:
    """By which rule, and since when."""

    rule: str
    since: float


def mark(connection: sqlite3.Connection, ids: Iterable[AssetId], made: Mark) -> int:
    """Mark those that are cold and not pinned; return how many were not so before. Another rule begins anew."""
    return sum(connection.execute(queries.MARK_EXPIRING, (made.rule, made.since, each)).rowcount for each in ids)


def unmark(connection: sqlite3.Connection, ids: Iterable[AssetId]) -> None:
    """Let these stay."""
    connection.executemany(queries.UNMARK_EXPIRING, ((each,) for each in ids))


def page(connection: sqlite3.Connection, after: str, limit: int) -> list[tuple[Asset, Mark]]:
    """Return marked assets, in the order of their ids."""
    rows = connection.execute(queries.EXPIRING, (after, limit)).fetchall()
    return [(asset_from(row[2:]), Mark(row[0], row[1])) for row in rows]


def expire(
    connection: sqlite3.Connection, asset_id: AssetId, rule: str, *, before: float, goes: Goes, now: float
) -> Asset | None:
    """Make it a tombstone whose remote copy is to go.

    None where its mark is not of this rule and that old, or `goes` says of the asset, as it is now, that it stays.
    """
    row = connection.execute(queries.MARK_OF, (asset_id,)).fetchone()
    if row is None or row[0] != rule or row[1] > before:
        return None
    asset = get(connection, asset_id)
    if not goes(asset):
        return None
    change = Change.about(asset, Event.REMOVED, purge=True, reason=f"retention: {rule}")
    return carry_out(connection, asset, (change,), now=now)
