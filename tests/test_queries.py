"""Each statement is served by the index that it was written for: SQLite itself is asked."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from index import queries, schema
from index.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVED_BY = {
    "BY_ID": "sqlite_autoindex_asset_1",
    "BY_PATH": "sqlite_autoindex_asset_2",
    "DROP": "sqlite_autoindex_asset_1",
    "BETWEEN": "sqlite_autoindex_asset_2",
    "BEYOND": "sqlite_autoindex_asset_2",
    "BELOW": "sqlite_autoindex_asset_2",
    "FIRST_FROM": "sqlite_autoindex_asset_2",
    "BY_INODE": "asset_inode",
    "LARGE_TWINS": "asset_twin",
    "HOLDING": "INTEGER PRIMARY KEY",
    "MISPLACED": "sqlite_autoindex_asset_1",
    "PLACED": "PRIMARY KEY",
    "UNMARK": "PRIMARY KEY",
    "MARK_EXPIRING": "sqlite_autoindex_asset_1",
    "UNMARK_EXPIRING": "PRIMARY KEY",
    "EXPIRING": "sqlite_autoindex_asset_1",
    "MARK_OF": "PRIMARY KEY",
    "IS_MISPLACED": "PRIMARY KEY",
    "ROW_OF": "sqlite_autoindex_asset_1",
    "IN_STATE": "asset_state",
    "FORGET": "asset_state",
    "DUE": "asset_due",
    "NEXT_DUE": "asset_due",
    "MAKE_DUE": "asset_due",
    "SHUT_OUT": "sqlite_autoindex_asset_1",
    "OUTSIDE": "asset_due",
    "LET_IN": "INTEGER PRIMARY KEY",
    "KNOWN_KEYS": "asset_key",
    "HAVING_KEY": "asset_key",
    "LISTED": "asset_listed",
    "OLDEST_UNPROTECTED": "asset_unprotected",
    "LEAST_CHECKED": "asset_checked",
    "OLDEST_CHECK": "asset_checked",
    "CHECKED": "sqlite_autoindex_asset_1",
    "TO_PURGE": "asset_purge",
    "PURGED": "sqlite_autoindex_asset_1",
    "REFRESH": "sqlite_autoindex_asset_1",
    "WARMTH": "sqlite_autoindex_asset_1",
    "TOUCH": "INTEGER PRIMARY KEY",
    "UNHEATED": "warmth_unheated",
    "HEATED": "INTEGER PRIMARY KEY",
    "SET_HEAT": "INTEGER PRIMARY KEY",
    "UNMEASURED": "asset_unmeasured",
    "MEASURE": "sqlite_autoindex_asset_1",
    "PIN": "sqlite_autoindex_asset_1",
    "DESCRIBE": "sqlite_autoindex_asset_1",
    "SIDECAR_SAID": "PRIMARY KEY",
    "SAY_BY_SIDECAR": "sqlite_autoindex_asset_1",
    "RECORD_DISCOVERED": "INTEGER PRIMARY KEY",
    "EVENTS": "INTEGER PRIMARY KEY",
    "ACCESSES": "INTEGER PRIMARY KEY",
    "PRUNE_ACCESSES": "INTEGER PRIMARY KEY",
    "BECAME_NEW": "INTEGER PRIMARY KEY",
    "PRUNE_EVENTS": "INTEGER PRIMARY KEY",
    "END_UPLOAD": "PRIMARY KEY",
    "UPLOAD_OF": "PRIMARY KEY",
    "ADD_PART": "PRIMARY KEY",
    "PARTS": "PRIMARY KEY",
    "RECALL": "PRIMARY KEY",
    "END_OF_SLICE": "sqlite_autoindex_asset_2",
    "END_OF_WORDS": "PRIMARY KEY",
    "END_OF_PINNED": "asset_pinned",
    "END_OF_COLD": "asset_cold",
    "END_OF_REPLICATED": "asset_replicated",
    "COUNT_WORD": "PRIMARY KEY",
    "COUNT_PINNED": "asset_pinned",
    "END_OF_ROWS": "INTEGER PRIMARY KEY",
    "FIGURES": "INTEGER PRIMARY KEY",
    "READ_TEXT": "INTEGER PRIMARY KEY",
    "READ_AGAIN": "INTEGER PRIMARY KEY",
    "REREAD": "INTEGER PRIMARY KEY",
    "FOUND_TEXT": "asset_text VIRTUAL TABLE INDEX 0:M",
    "DROP_TEXT": "asset_text VIRTUAL TABLE INDEX 0:=",
}
WITHOUT_A_SEARCH = {
    "TOTALS": "ten rows",
    "NEWEST_EVENT": "one row",
    "EVENT_SPAN": "both ends of the primary key",
    "BURIED": "every event, when a person prunes",
    "LAST_ROW": "the end of the primary key",
    "UPLOADS": "everything, which is little",
    "READ_UPTO": "one row",
    "SET_READ": "one row",
    "TO_REREAD": "the beginning of the primary key",
    "DISCOVER": "an insertion",
    "ENLIST": "an insertion",
    "DISCOVER_MANY": "an insertion",
    "ADD_EVENT": "an insertion",
    "ADD_ACCESS": "an insertion",
    "NEWEST_ACCESS": "the end of the primary key",
    "BEGIN_UPLOAD": "an insertion",
    "REMEMBER": "an insertion",
    "MISPLACE": "an insertion",
    "MISPLACED_COUNT": "everything, which is little",
}
PARTS_OF_STATEMENTS = {
    *("COLUMNS", "KNOWN_COLUMNS", "OF_PIN", "WITH_TEXT", "WITH_WORD", "PATH", "WORD_PATH", "SIZE", "MTIME"),
    *("WITH_TEXT_BETWEEN", "ALONG_COLD", "ALONG_REPLICATED", "LAST_ACCESS"),
    *("NEVER", "ALONG_WORD", "ALONG_PINNED", "ALONG_PATHS", "ALONG_STATES", "ALONG_ROWS"),
}


@pytest.fixture(scope="module")
def raw() -> Iterator[sqlite3.Connection]:
    """Give an empty index in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, now=0.0)
    yield connection
    connection.close()


def plan_of(raw: sqlite3.Connection, sql: str) -> list[str]:
    """Return how SQLite would do it, line by line."""
    names = {"sha256", "md5", "after", "upto", "directory", "first", "beyond", "now", "id", "type", "fields", "tags"}
    names |= {"ctime_ns", "disk_bytes", "mode", "links", "size", "mtime_ns", "inode"}
    values = dict.fromkeys(names, 0) if ":" in sql else [0] * sql.count("?")
    if "?2" in sql:
        values = [0, 0]
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize(("name", "served_by"), SERVED_BY.items())
def test_a_statement_has_its_index(raw: sqlite3.Connection, name: str, served_by: str) -> None:
    """No statement looks at all assets, or sorts what an index could have given in order."""
    plan = plan_of(raw, getattr(queries, name))
    assert any(served_by in line for line in plan), plan
    assert not any(line.startswith("SCAN asset ") and "USING" not in line for line in plan), plan
    assert name in {"BELOW", "FIGURES"} or not any("TEMP B-TREE" in line for line in plan), plan


@pytest.mark.parametrize(
    ("order", "served_by"),
    [("heat", "warmth_by_heat"), ("last_access", "warmth_by_access"), ("discovered_at", "asset_by_age")],
)
def test_candidates_are_read_in_order(raw: sqlite3.Connection, order: str, served_by: str) -> None:
    """A page of candidates is a stretch of its index, entered where the page before ended."""
    first, second = plan_of(raw, queries.COLDEST[order])
    assert first.startswith(f"SEARCH {served_by.partition('_')[0]} USING INDEX {served_by}")
    assert "USING INTEGER PRIMARY KEY (rowid=?)" in second


@pytest.mark.parametrize(
    ("along", "path", "served_by"),
    [
        (queries.ALONG_PATHS, queries.PATH, "asset USING INDEX sqlite_autoindex_asset_2 (path>? AND path<?)"),
        (queries.ALONG_COLD, queries.PATH, "asset USING INDEX asset_cold (path>? AND path<?)"),
        (queries.ALONG_REPLICATED, queries.PATH, "asset USING INDEX asset_replicated (path>? AND path<?)"),
        (queries.ALONG_PINNED, queries.PATH, "asset USING INDEX asset_pinned (path>? AND path<?)"),
        (
            queries.ALONG_WORD,
            queries.WORD_PATH,
            "word USING PRIMARY KEY (name=? AND value=? AND asset_path>? AND asset_path<?)",
        ),
    ],
)
def test_a_listing_goes_along_the_paths(raw: sqlite3.Connection, along: str, path: str, served_by: str) -> None:
    """A slice is a stretch of a list that is sorted by path: nothing else is read, and nothing sorted."""
    conditions = [queries.of_states(1), queries.WITH_WORD, queries.WITH_TEXT]
    plan = plan_of(raw, queries.page(f"{along} AND {queries.upto(path)}", conditions, key=path, descending=False))
    assert plan[0] == f"SEARCH {served_by}"
    assert not any("TEMP B-TREE" in line for line in plan)


def test_a_text_is_looked_for_among_neighbours(raw: sqlite3.Connection) -> None:
    """Of a text that very many have, only the rows of a slice are read."""
    along = f"{queries.ALONG_PATHS} AND {queries.upto(queries.PATH)}"
    assert "USING COVERING INDEX" in plan_of(raw, queries.first_and_last(along))[0]
    plan = plan_of(raw, queries.page(f"{along} AND {queries.WITH_TEXT_BETWEEN}", [], key="path", descending=False))
    assert "SCAN asset_text VIRTUAL TABLE INDEX 0:M1><" in plan
    assert not any("TEMP B-TREE" in line for line in plan)


@pytest.mark.parametrize(
    ("along", "served_by"),
    [(queries.ALONG_STATES, "asset_state (state=?)"), (queries.ALONG_ROWS, "INTEGER PRIMARY KEY (rowid=?)")],
)
def test_what_is_rare_is_read_whole(raw: sqlite3.Connection, along: str, served_by: str) -> None:
    """Where all of the states is little, or the rows are known, nothing else is looked at."""
    conditions = [queries.of_states(1), queries.WITH_WORD]
    assert served_by in plan_of(raw, queries.page(along, conditions, key=queries.SIZE, descending=True))[0]


def test_what_is_said_no_more_is_found_by_its_key(raw: sqlite3.Connection) -> None:
    """Of the words of an asset each is looked up: there may be millions of the same."""
    statement = schema._UNSAY.replace("old.path", "x'61'").replace("old.type", "'t'")
    for name in ("fields", "tags"):
        statement = statement.replace(f"old.{name}", "'{}'")
    assert plan_of(raw, statement)[0] == "SEARCH word USING PRIMARY KEY (name=? AND value=? AND asset_path=?)"


def test_every_statement_was_thought_of() -> None:
    """A statement that is new says here which index serves it."""
    names = {name for name, value in vars(queries).items() if name.isupper() and isinstance(value, str)}
    assert {name for name in names if not name.startswith("_")} == (
        SERVED_BY.keys() | WITHOUT_A_SEARCH.keys() | PARTS_OF_STATEMENTS
    )
