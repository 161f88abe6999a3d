"""Assets that are not to be uploaded for the present, because a roll-out has not come to them yet.

They are `new`, and due at a time that never comes: nothing that looks for work meets them, and the totals count them
apart. Whoever lets them in makes them due.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Final

from index import queries
from index.asset import Failure, path_from_bytes
from index.changes import Change
from index.ledger import carry_out
from index.lifecycle import Event
from index.rows import asset_from

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from index.asset import Asset, RelPath

    Covers = Callable[[RelPath], bool]

CODE: Final = "outside"
"""The code of the failure that such an asset shows."""
AT_ONCE: Final = 1000
_WHY: Final = Failure(CODE, "it is out of the roll-out: [store] mode and percent leave it on this disk only", 0, None)


def everything(_path: RelPath) -> bool:
    """Cover whatever there is."""
    return True


def claim(
    connection: sqlite3.Connection, *, limit: int, look: int, covers: Covers, now: float
) -> tuple[list[Asset], bool]:
    """Take at most `limit` of the next `look` assets that are due, if they are covered, and shut out the others.

    Return what was taken, and whether anything was shut out.
    """
    taken: list[Asset] = []
    outside: list[Asset] = []
    for asset in map(asset_from, connection.execute(queries.DUE, (now, look)).fetchall()):
        (taken if covers(asset.path) else outside).append(asset)
        if len(taken) == limit:
            break
    connection.executemany(queries.SHUT_OUT, ((*astuple(_WHY), asset.id) for asset in outside))
    claimed = [carry_out(connection, asset, (Change.about(asset, Event.CLAIMED),), now=now) for asset in taken]
    return claimed, bool(outside)


def let_in(connection: sqlite3.Connection, covers: Covers, *, after: int, now: float) -> int | None:
    """Make due what is covered among the next that were shut out; return the last row of those, None at the end."""
    rows = connection.execute(queries.OUTSIDE, (after, AT_ONCE)).fetchall()
    covered = ((now, row) for row, path in rows if covers(path_from_bytes(path)))
    connection.executemany(queries.LET_IN, covered)
    return rows[-1][0] if rows else None
