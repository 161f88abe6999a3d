"""How much there is of everything, known without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index import queries
from index.errors import CorruptIndexError
from index.lifecycle import HOT, UNPROTECTED, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Totals:
    """Every state is there. `bytes` are sizes of contents, `disk_bytes` what the hot ones occupy.

    `outside` are the new assets, and `outside_bytes` their bytes, that a roll-out has not come to.
    """

    assets: Mapping[State, int]
    bytes: Mapping[State, int]
    disk_bytes: int
    outside: int = 0
    outside_bytes: int = 0

    @property
    def unprotected(self) -> int:
        """How many assets wait for a remote copy, or for the person without whom there is none."""
        return sum(self.assets[state] for state in UNPROTECTED) - self.outside

    @property
    def unprotected_bytes(self) -> int:
        """Bytes of those: their only whole copy is the local one."""
        return sum(self.bytes[state] for state in UNPROTECTED) - self.outside_bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """The index after a commit. `claimable`: something became `new`, or is so anew."""

    totals: Totals
    newest_event: int
    claimable: bool


def read_totals(connection: sqlite3.Connection) -> Totals:
    """Return the totals as of now."""
    rows = {state: figures for state, *figures in connection.execute(queries.TOTALS)}
    if rows.keys() != set(State):
        raise CorruptIndexError("the index has lost its totals")
    return Totals(
        assets={state: rows[state][0] for state in State},
        bytes={state: rows[state][1] for state in State},
        disk_bytes=sum(rows[state][2] for state in HOT),
        outside=rows[State.NEW][3],
        outside_bytes=rows[State.NEW][4],
    )


def summarise(connection: sqlite3.Connection, *, since: int) -> Summary:
    """Return what the rest of the daemon must hear of a commit, given the newest event before it."""
    newest = newest_event(connection)
    (claimable,) = connection.execute(queries.BECAME_NEW, (since,)).fetchone()
    return Summary(read_totals(connection), newest, claimable == 1)


def newest_event(connection: sqlite3.Connection) -> int:
    """Return the highest cursor ever given."""
    row = connection.execute(queries.NEWEST_EVENT).fetchone()
    if row is None:
        raise CorruptIndexError("the index has lost the cursor of its events")
    return int(row[0])
