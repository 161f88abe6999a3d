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
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    from index.asset import Asset, AssetId
    from index.commits import Commits
    from index.connection import Connection

    Goes = Callable[[Asset], bool]


@dataclass(frozen=True, slots=True)
class Mark:
    """By which rule, and since when."""

    rule: str
    since: float


class Marks:
    """The marks that there are. What writes is durable when the call returns."""

    def __init__(self, connection: Connection, commits: Commits[Any], *, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._commits = commits
        self._clock = clock

    async def make(self, ids: Collection[AssetId], mark: Mark) -> int:
        """Mark those that are cold and not pinned; return how many were not so before. Another rule begins anew.

        Raise IndexFullError.
        """
        return await self._commits.share(lambda raw: _mark(raw, ids, mark), patient=False) if ids else 0

    async def remove(self, ids: Collection[AssetId]) -> None:
        """Let these stay."""
        rows = [(each,) for each in ids]
        if rows:
            await self._commits.share(lambda raw: raw.executemany(queries.UNMARK_EXPIRING, rows).rowcount)

    async def page(self, *, after: AssetId | str, limit: int) -> Sequence[tuple[Asset, Mark]]:
        """Return a page of what is marked, in the order of ids."""
        return await self._connection.submit(lambda raw: _page(raw, after, limit))

    async def of(self, ids: Collection[AssetId]) -> Mapping[AssetId, Mark]:
        """Return the marks of those that have one."""

        def work(raw: sqlite3.Connection) -> dict[AssetId, Mark]:
            rows = ((each, raw.execute(queries.MARK_OF, (each,)).fetchone()) for each in ids)
            return {each: Mark(*row) for each, row in rows if row is not None}

        return await self._connection.submit(work)

    async def expire(self, asset_id: AssetId, rule: str, *, before: float, goes: Goes) -> Asset | None:
        """Make a tombstone, with its purge to come, of what was marked by this rule before then; else return None.

        `goes` has the last word on the asset as it is at that moment. Raise IndexFullError.
        """
        now = self._clock()
        return await self._commits.share(
            lambda raw: _expire(raw, asset_id, rule, before=before, goes=goes, now=now), patient=False
        )


def _mark(connection: sqlite3.Connection, ids: Iterable[AssetId], made: Mark) -> int:
    return sum(connection.execute(queries.MARK_EXPIRING, (made.rule, made.since, each)).rowcount for each in ids)


def _page(connection: sqlite3.Connection, after: str, limit: int) -> list[tuple[Asset, Mark]]:
    rows = connection.execute(queries.EXPIRING, (after, limit)).fetchall()
    return [(asset_from(row[2:]), Mark(row[0], row[1])) for row in rows]


def _expire(
    connection: sqlite3.Connection, asset_id: AssetId, rule: str, *, before: float, goes: Goes, now: float
) -> Asset | None:
    row = connection.execute(queries.MARK_OF, (asset_id,)).fetchone()
    if row is None or row[0] != rule or row[1] > before:
        return None
    asset = get(connection, asset_id)
    if not goes(asset):
        return None
    change = Change.about(asset, Event.REMOVED, purge=True, reason=f"retention: {rule}")
    return carry_out(connection, asset, (change,), now=now)
