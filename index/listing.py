"""Pages of assets in the order of their paths, for people and programs that look around."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from index import queries
from index.lifecycle import State
from index.rows import legible

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    from index.rows import Row

SLICE: Final = 10_000
"""So many rows are looked at before others get their turn at the connection."""

_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]+")
_CHECK_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which assets: those that fulfil everything that is given. Tombstones only where their state is asked for.

    `text` is a part of the path; upper and lower case of A to Z are the same.
    """

    states: Collection[State] = ()
    type: str | None = None
    text: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    pinned: bool | None = None


def cursor_of(path: bytes) -> str:
    """Return where a page ended, as clients may see it."""
    return base64.urlsafe_b64encode(_check(path) + path).rstrip(b"=").decode()


def path_of(cursor: str) -> bytes:
    """Return the path at which a page ended. Raise ValueError for what is no cursor of ours."""
    if _CURSOR.fullmatch(cursor):
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except binascii.Error:
            raw = b""
        check, path = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(path):
            return path
    raise ValueError(f"{cursor!r} is no cursor; begin again without one")


def _check(path: bytes) -> bytes:
    return zlib.crc32(b"cursor" + path).to_bytes(_CHECK_BYTES, "big")


def read_slice(
    connection: sqlite3.Connection, query: Query, after: bytes, limit: int, *, rare: bool
) -> tuple[Sequence[Row], bytes | None]:
    """Return at most `limit` rows beyond `after`, and the path up to which was looked, None for the end.

    `rare`: the states asked for are so few rows that all of them can be looked at.
    """
    conditions, values = _conditions(query)
    upto = None if rare else _end_of_slice(connection, after)
    if upto is not None:
        conditions.append(queries.UPTO)
        values.append(upto)
    rows = connection.execute(queries.page(conditions, rare=rare), (after, *values, limit)).fetchall()
    return rows, upto


def _end_of_slice(connection: sqlite3.Connection, after: bytes) -> bytes | None:
    row = connection.execute(queries.END_OF_SLICE, (after, SLICE - 1)).fetchone()
    return None if row is None else bytes(row[0])


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    states = [state.value for state in (query.states or set(State) - {State.GONE})]
    conditions = [queries.of_states(len(states))]
    values: list[Any] = states
    if query.type is not None:
        conditions.append(queries.OF_TYPE)
        values.append(legible(query.type))
    if query.pinned is not None:
        conditions.append(queries.OF_PIN)
        values.append(int(query.pinned))
    if query.text:
        conditions.append(queries.WITH_TEXT)
        values.append(legible(query.text))
    for condition, words in ((queries.WITH_FIELD, query.fields), (queries.WITH_TAG, query.tags)):
        for name, value in words.items():
            conditions.append(condition)
            values += [legible(name), legible(value)]
    return conditions, values
