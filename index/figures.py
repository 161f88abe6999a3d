"""How many assets there are of what, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from index import queries
from index.errors import CorruptIndexError
from index.lifecycle import State

if TYPE_CHECKING:
    import sqlite3

ROWS_AT_ONCE: Final = 10_000
"""So many assets are counted before others get their turn at the connection."""


class Figure(NamedTuple):
    """Assets that are alike. `media_type` is the first part of their content type; what is not known is empty.

    `stored` is the bytes of their proven remote copies.
    """

    state: State
    type: str
    campaign: str
    media_type: str
    assets: int
    bytes: int
    stored: int


def read_figures(connection: sqlite3.Connection, after: int) -> tuple[list[Figure], int | None]:
    """Return the figures of the next rows, and the last of those, None where there is none."""
    (upto,) = connection.execute(queries.END_OF_ROWS, (after, ROWS_AT_ONCE)).fetchone()
    if upto is None:
        return [], None
    try:
        return [_figure(*row) for row in connection.execute(queries.FIGURES, (after, upto))], upto
    except ValueError as error:
        raise CorruptIndexError(f"figures make no sense ({error!r})") from error


def _figure(state: str, type: bytes, campaign: bytes, media: bytes, assets: int, size: int, stored: int) -> Figure:
    kind, name, medium = (word.decode("utf-8", "replace") for word in (type, campaign, media))
    return Figure(State(state), kind, name, medium, assets, size, stored)
