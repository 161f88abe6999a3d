"""Heat in and out of its table: the arithmetic is the policy's, the index only keeps what comes of it.

`warmth` is a narrow table beside that of the assets: an access writes some bytes in it and nothing in the wide rows.
Its rows are made and dropped by triggers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from index import queries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from index.asset import AssetId


KEPT: Final = 1_000_000
"""How many of the latest accesses are kept, of those that were recorded."""


class Use(NamedTuple):
    """`times` accesses to an asset, the last of them then, of which `misses` did not find it on disk.

    Without any it is an access that only the file's access time shows.
    """

    at: float
    times: int
    misses: int = 0


class Access(NamedTuple):
    """`times` accesses to the asset with this number, which had so many bytes, the last of them then."""

    at: float
    asset: int
    size: int
    times: int


class _Noted(NamedTuple):
    at: float
    row: int
    size: int
    times: int
    heat: float | None


class Warming(Protocol):
    """What an access does to heat. It is called in the index's thread."""

    def after_access(self, heat: float | None, size: int, times: int, misses: int) -> float | None:
        """Return the heat after so many accesses to an asset of `size` bytes; `heat` is None before the first.

        `misses` of them did not find it on disk.
        """

    def of_newcomer(self, size: int, last_access: float, times: int) -> float | None:
        """Return the heat of what has none yet, by when it was last used."""


class Unwarmed:
    """Keeps heat as it is."""

    def after_access(self, heat: float | None, size: int, times: int, misses: int) -> float | None:
        """See Warming."""
        del size, times, misses
        return heat

    def of_newcomer(self, size: int, last_access: float, times: int) -> float | None:
        """See Warming."""
        del size, last_access, times
        return None


def touch(connection: sqlite3.Connection, accesses: Mapping[AssetId, Use], warming: Warming) -> None:
    """Note the last access to each asset, and how many there were; unknown ones are nobody's."""
    noted = _after(connection, accesses, warming)
    connection.executemany(queries.TOUCH, [(each.at, each.times, each.heat, each.row) for each in noted])
    seen = sorted(each[:4] for each in noted if each.times)
    if seen:
        connection.executemany(queries.ADD_ACCESS, seen)
        (newest,) = connection.execute(queries.NEWEST_ACCESS).fetchone()
        connection.execute(queries.PRUNE_ACCESSES, (newest - KEPT,))


def _after(connection: sqlite3.Connection, accesses: Mapping[AssetId, Use], warming: Warming) -> list[_Noted]:
    """Return what the rows become that change; an access that only its time shows is one, too, but is not counted."""
    noted = []
    # In the order of ids, which is nearly that of rows: neighbours share pages.
    for asset_id, row, heat, size, last_access in connection.execute(queries.WARMTH, (json.dumps(sorted(accesses)),)):
        use = accesses[asset_id]
        times = use.times or int(use.at > last_access)
        if times:
            after = warming.after_access(heat, size, times, use.misses)
            noted.append(_Noted(use.at, row, size, use.times, after))
    return noted


def accesses_after(connection: sqlite3.Connection, cursor: int, *, limit: int) -> tuple[list[Access], int]:
    """Return the accesses with a higher cursor, in order, and the last cursor."""
    rows = connection.execute(queries.ACCESSES, (cursor, limit)).fetchall()
    return [Access(*row[1:]) for row in rows], rows[-1][0] if rows else cursor


def receive(connection: sqlite3.Connection, warming: Warming, *, limit: int) -> int:
    """Give heat to those on disk that have none, and return how many those were."""
    rows = connection.execute(queries.UNHEATED, (limit,)).fetchall()
    connection.executemany(
        queries.SET_HEAT, [(warming.of_newcomer(size, used, times), row) for row, size, used, times in rows]
    )
    return len(rows)


def convert(
    connection: sqlite3.Connection, change: Callable[[float, int], float], *, after: int, limit: int
) -> int | None:
    """Change the heat of so many assets beyond a row, from their heat and size; return the last, None at the end."""
    rows = connection.execute(queries.HEATED, (after, limit)).fetchall()
    connection.executemany(queries.SET_HEAT, [(change(heat, size), row) for row, size, heat in rows])
    return rows[-1][0] if rows else None
