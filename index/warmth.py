"""Heat in and out of the table: the arithmetic is the policy's, the index only keeps what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from index import queries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from index.asset import AssetId


class Warming(Protocol):
    """What an access does to heat. It is called in the index's thread."""

    def after_access(self, heat: float | None, size: int, times: int) -> float | None:
        """Return the heat after so many accesses to an asset of `size` bytes; `heat` is None before the first."""

    def of_newcomer(self, size: int, last_access: float, times: int) -> float | None:
        """Return the heat of what has none yet, by when it was last used."""


class Unwarmed:
    """Keeps heat as it is."""

    def after_access(self, heat: float | None, size: int, times: int) -> float | None:
        """See Warming."""
        del size, times
        return heat

    def of_newcomer(self, size: int, last_access: float, times: int) -> float | None:
        """See Warming."""
        del size, last_access, times
        return None


def touch(connection: sqlite3.Connection, accesses: Mapping[AssetId, tuple[float, int]], warming: Warming) -> None:
    """Note the last access to each asset, and how many there were; unknown ones are nobody's."""
    connection.executemany(
        queries.TOUCH,
        (
            (at, count, heat_after(connection, asset_id, at, count, warming), asset_id)
            for asset_id, (at, count) in accesses.items()
        ),
    )


def heat_after(
    connection: sqlite3.Connection, asset_id: AssetId, at: float, count: int, warming: Warming
) -> float | None:
    """Return the heat of an asset after so many accesses; one that only its access time shows is one, too."""
    row = connection.execute(queries.WARMTH, (asset_id,)).fetchone()
    if row is None:
        return None
    heat, size, last_access = row
    times = count or int(at > last_access)
    return warming.after_access(heat, size, times) if times else heat


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
