"""The assets that a query asks for, page by page.

Of what the query says, the rarest is gone through, slice by slice so that others get their turn at the connection, and
the rest is asked of each row. In the order of paths a page ends where it is full; in any other, all that fit are looked
at for every page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from index import queries
from index.lifecycle import State
from index.listing import BY_PATH, Key
from index.rows import clamped, legible

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from index.listing import Order, Position, Query
    from index.rows import Row

    Submit = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]

SLICE: Final = 10_000
"""So many rows are looked at before others get their turn at the connection."""

READ_AT_ONCE: Final = 1_000
"""So many texts are read in one commit, about 30 ms: whoever writes meanwhile waits for it."""

_NO_LIMIT: Final = -1
_NANO: Final = 1_000_000_000
_KEYS: Final = {
    Key.PATH: queries.PATH,
    Key.SIZE: queries.SIZE,
    Key.MTIME: queries.MTIME,
    Key.LAST_ACCESS: queries.LAST_ACCESS,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition of SQL, and the values of its parameters."""

    sql: str
    values: tuple[Any, ...] = ()


class Source(Protocol):
    """What is gone through, in order of paths or not."""

    @property
    def in_order(self) -> bool:
        """Whether every slice is beyond the one before."""

    @property
    def path(self) -> str:
        """What the path is called that it is sorted by."""

    def slice(self, connection: sqlite3.Connection, after: bytes) -> tuple[Clause, bytes | None]:
        """Return where to look beyond a path, and where the next slice begins, None at the end."""


@dataclass(frozen=True, slots=True)
class Along:
    """A list that is sorted by path."""

    table: str
    end: str
    path: str = queries.PATH
    values: tuple[str, ...] = ()
    in_order: bool = True

    def slice(self, connection: sqlite3.Connection, after: bytes) -> tuple[Clause, bytes | None]:
        """Return the next rows of the list."""
        row = connection.execute(self.end, (*self.values, after, SLICE - 1)).fetchone()
        if row is None:
            return Clause(self.table, (*self.values, after)), None
        upto = bytes(row[0])
        return Clause(f"{self.table} AND {queries.upto(self.path)}", (*self.values, after, upto)), upto


@dataclass(frozen=True, slots=True)
class Few:
    """The rows in rare states: all at once."""

    in_order: bool = False
    path: str = queries.PATH

    def slice(self, _connection: sqlite3.Connection, _after: bytes) -> tuple[Clause, bytes | None]:
        """Return all."""
        return Clause(queries.ALONG_STATES), None


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that were found by their text. The bytes between slices are the number of those that were looked at."""

    rows: Sequence[int]
    in_order: bool = False
    path: str = queries.PATH

    def slice(self, _connection: sqlite3.Connection, after: bytes) -> tuple[Clause, bytes | None]:
        """Return the next of them."""
        begin = int(after or b"0")
        end = begin + SLICE
        chosen = json.dumps(self.rows[begin:end])
        return Clause(queries.ALONG_ROWS, (chosen,)), b"%d" % end if end < len(self.rows) else None


@dataclass(frozen=True, slots=True)
class Worded:
    """The assets with a text that very many have, in the order of paths: a page is soon full.

    Neighbours by path are neighbours by row where a scan found them, so little of the text is looked through.
    """

    match: str
    in_order: bool = True
    path: str = queries.PATH

    def slice(self, connection: sqlite3.Connection, after: bytes) -> tuple[Clause, bytes | None]:
        """Return those of the next rows that have the text."""
        along, end = _ALL.slice(connection, after)
        rows = connection.execute(queries.first_and_last(along.sql), along.values).fetchone()
        return Clause(f"{along.sql} AND {queries.WITH_TEXT_BETWEEN}", (*along.values, self.match, *rows)), end


_ALL: Final = Along(queries.ALONG_PATHS, queries.END_OF_SLICE)
_PINNED: Final = Along(queries.ALONG_PINNED, queries.END_OF_PINNED)
_SETTLED: Final = {
    State.COLD: Along(queries.ALONG_COLD, queries.END_OF_COLD),
    State.REPLICATED: Along(queries.ALONG_REPLICATED, queries.END_OF_REPLICATED),
}


async def find(
    submit: Submit, query: Query, order: Order, after: Position | None, *, limit: int, counts: Mapping[State, int]
) -> list[Row]:
    """Return the first `limit` rows beyond a position; `counts` is how many assets there are in each state."""
    source: Source = await submit(partial(_choose, query=query, order=order, counts=counts))
    conditions = _conditions(query, source)
    streams = source.in_order and order == BY_PATH
    begin: bytes | None = after.path if streams and after is not None else b""
    if after is not None and not streams:
        conditions.append(_beyond(after, order))
    best: list[Row] = []
    while begin is not None and not (streams and len(best) >= limit):
        read = partial(_read, source=source, begin=begin, conditions=conditions, order=order, limit=limit)
        rows, begin = await submit(read)
        best = _merged(best, rows, order)[:limit]
    return [row[1:] for row in best]


def _merged(best: list[Row], rows: list[Row], order: Order) -> list[Row]:
    # A row is what it is sorted by, its id, its path, and so on.
    return sorted(best + rows, key=lambda row: (row[0], row[2]), reverse=order.descending)


def _read(
    connection: sqlite3.Connection, *, source: Source, begin: bytes, conditions: list[Clause], order: Order, limit: int
) -> tuple[list[Row], bytes | None]:
    along, end = source.slice(connection, begin)
    key = source.path if order.key is Key.PATH else _KEYS[order.key]
    sql = queries.page(along.sql, [clause.sql for clause in conditions], key=key, descending=order.descending)
    values = [*along.values, *(value for clause in conditions for value in clause.values), limit]
    return connection.execute(sql, values).fetchall(), end


def _choose(connection: sqlite3.Connection, *, query: Query, order: Order, counts: Mapping[State, int]) -> Source:
    """Return the rarest of what the query says, as what is to be gone through."""
    if query.states and sum(counts[state] for state in set(query.states)) <= SLICE:
        return Few()
    count, rarest = min(_lists(connection, query, counts), key=lambda each: each[0], default=(SLICE, _ALL))
    if query.text and count >= SLICE:
        match, most = _match(query.text), SLICE if order == BY_PATH else _NO_LIMIT
        found = connection.execute(queries.FOUND_TEXT, (match, most)).fetchall()
        return Worded(match) if len(found) == most else Found([row for (row,) in found])
    return rarest


def _lists(connection: sqlite3.Connection, query: Query, counts: Mapping[State, int]) -> list[tuple[int, Along]]:
    """Return the lists that hold all that fit, and how long each is, what is said counted up to a slice."""
    lists = [(counts[state], along) for state, along in _SETTLED.items() if {state} == set(query.states)]
    for words in _words(query):
        (count,) = connection.execute(queries.COUNT_WORD, (*words, SLICE)).fetchone()
        lists.append((count, Along(queries.ALONG_WORD, queries.END_OF_WORDS, queries.WORD_PATH, words)))
    if query.pinned:
        (count,) = connection.execute(queries.COUNT_PINNED, (SLICE,)).fetchone()
        lists.append((count, _PINNED))
    return lists


def _words(query: Query) -> list[tuple[str, str]]:
    words = {"type": query.type, "campaign": query.campaign}
    words |= {f"field.{name}": value for name, value in query.fields.items()}
    words |= {f"tag.{name}": value for name, value in query.tags.items()}
    return [(legible(name) or "", legible(value) or "") for name, value in words.items() if value is not None]


def _match(text: str) -> str:
    """Return words as FTS5 takes them: each a phrase whose last word may go on. Where there is none, nothing fits."""
    words = (legible(text) or "").replace('"', " ").replace("\0", " ").split()
    return " ".join(f'"{word}"*' for word in words) or '""'


def _conditions(query: Query, source: Source) -> list[Clause]:
    states = tuple(state.value for state in (query.states or set(State) - {State.GONE}))
    conditions = [Clause(queries.of_states(len(states)), states)]
    conditions += [Clause(queries.WITH_WORD, words) for words in _words(query)]
    if query.pinned is not None:
        conditions.append(Clause(queries.OF_PIN, (int(query.pinned),)))
    if query.text and not isinstance(source, Found | Worded):
        conditions.append(Clause(queries.WITH_TEXT, (_match(query.text),)))
    return conditions + _bounds(query)


def _bounds(query: Query) -> list[Clause]:
    bounds = (
        (queries.SIZE, query.min_size, query.max_size, 1),
        (queries.MTIME, query.modified_after, query.modified_before, _NANO),
        (queries.LAST_ACCESS, query.accessed_after, query.accessed_before, 1),
    )
    return [
        Clause(queries.between(key, above=above), (_bound(value, unit),))
        for key, least, most, unit in bounds
        for value, above in ((least, True), (most, False))
        if value is not None
    ]


def _bound(value: float, unit: int) -> float:
    scaled = value * unit
    return clamped(int(scaled)) if unit != 1 or isinstance(value, int) else scaled


def _beyond(after: Position, order: Order) -> Clause:
    value = after.path if order.key is Key.PATH else after.value
    return Clause(queries.beyond(_KEYS[order.key], descending=order.descending), (value, after.path))


# Text


def is_unread(connection: sqlite3.Connection) -> bool:
    """Whether there is text that was never read, or is to be read again."""
    (upto,) = connection.execute(queries.READ_UPTO).fetchone()
    (last,) = connection.execute(queries.LAST_ROW).fetchone()
    return last > upto or connection.execute(queries.TO_REREAD, (1,)).fetchone() is not None


def read_up(connection: sqlite3.Connection) -> bool:
    """Read some of the text that was not read, and return whether there is more."""
    again = connection.execute(queries.TO_REREAD, (READ_AT_ONCE,)).fetchall()
    for statement in (queries.DROP_TEXT, queries.READ_AGAIN, queries.REREAD):
        connection.executemany(statement, again)
    (upto,) = connection.execute(queries.READ_UPTO).fetchone()
    (last,) = connection.execute(queries.END_OF_ROWS, (upto, READ_AT_ONCE)).fetchone()
    if last is not None:
        connection.execute(queries.READ_TEXT, (upto, last))
        connection.execute(queries.SET_READ, (last,))
    return last is not None or len(again) == READ_AT_ONCE
