"""Each statement is served by the index that it was written for: SQLite itself is asked."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from index import queries
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
    "BY_INODE": "asset_inode",
    "ROW_OF": "sqlite_autoindex_asset_1",
    "IN_STATE": "asset_state",
    "FORGET": "asset_state",
    "DUE": "asset_due",
    "NEXT_DUE": "asset_due",
    "MAKE_DUE": "asset_due",
    "KNOWN_KEYS": "asset_key",
    "OLDEST_UNPROTECTED": "asset_unprotected",
    "LEAST_CHECKED": "asset_checked",
    "OLDEST_CHECK": "asset_checked",
    "CHECKED": "sqlite_autoindex_asset_1",
    "TO_PURGE": "asset_purge",
    "PURGED": "sqlite_autoindex_asset_1",
    "REFRESH": "sqlite_autoindex_asset_1",
    "WARMTH": "sqlite_autoindex_asset_1",
    "TOUCH": "INTEGER PRIMARY KEY",
    "UNHEATED": "asset_unheated",
    "HEATED": "INTEGER PRIMARY KEY",
    "SET_HEAT": "INTEGER PRIMARY KEY",
    "PIN": "sqlite_autoindex_asset_1",
    "DESCRIBE": "sqlite_autoindex_asset_1",
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
}
WITHOUT_A_SEARCH = {
    "TOTALS": "ten rows",
    "NEWEST_EVENT": "one row",
    "EVENT_SPAN": "both ends of the primary key",
    "LAST_ROW": "the end of the primary key",
    "UPLOADS": "everything, which is little",
    "DISCOVER": "an insertion",
    "DISCOVER_MANY": "an insertion",
    "ADD_EVENT": "an insertion",
    "ADD_ACCESS": "an insertion",
    "NEWEST_ACCESS": "the end of the primary key",
    "BEGIN_UPLOAD": "an insertion",
    "REMEMBER": "an insertion",
}
PARTS_OF_STATEMENTS = {"COLUMNS", "KNOWN_COLUMNS", "OF_TYPE", "OF_PIN", "WITH_TEXT", "WITH_FIELD", "WITH_TAG", "UPTO"}


@pytest.fixture(scope="module")
def raw() -> Iterator[sqlite3.Connection]:
    """Give an empty index in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, now=0.0)
    yield connection
    connection.close()


def plan_of(raw: sqlite3.Connection, sql: str) -> list[str]:
    """Return how SQLite would do it, line by line."""
    names = {"after", "upto", "directory", "first", "beyond", "now", "id", "type", "fields", "tags"}
    names |= {"ctime_ns", "disk_bytes", "mode", "links", "accessed", "heat", "size", "mtime_ns", "inode"}
    values = dict.fromkeys(names, 0) if ":" in sql else [0] * sql.count("?")
    if "?2" in sql:
        values = [0, 0]
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize(("name", "served_by"), SERVED_BY.items())
def test_a_statement_has_its_index(raw: sqlite3.Connection, name: str, served_by: str) -> None:
    """No statement looks at all assets, or sorts what an index could have given in order."""
    plan = plan_of(raw, getattr(queries, name))
    assert any(served_by in line for line in plan), plan
    assert not any(line.startswith("SCAN asset") and "USING" not in line for line in plan), plan
    assert name == "BELOW" or not any("TEMP B-TREE" in line for line in plan), plan


@pytest.mark.parametrize(
    ("order", "served_by"),
    [("heat", "asset_by_heat"), ("last_access", "asset_by_access"), ("discovered_at", "asset_by_age")],
)
def test_candidates_are_read_in_order(raw: sqlite3.Connection, order: str, served_by: str) -> None:
    """A page of candidates is a stretch of its index, entered where the page before ended."""
    (line,) = plan_of(raw, queries.COLDEST[order])
    assert line.startswith(f"SEARCH asset USING INDEX {served_by}")


def test_a_listing_goes_along_the_paths(raw: sqlite3.Connection) -> None:
    """A slice is a stretch of the paths; where all of the states is little, that is looked at instead."""
    conditions = [queries.of_states(1), queries.WITH_TEXT, queries.WITH_TAG, queries.UPTO]
    assert plan_of(raw, queries.page(conditions, rare=False))[0].startswith(
        "SEARCH asset USING INDEX sqlite_autoindex_asset_2 (path>? AND path<?)"
    )
    assert plan_of(raw, queries.page(conditions, rare=True))[0].startswith(
        "SEARCH asset USING INDEX asset_state (state=?)"
    )


def test_every_statement_was_thought_of() -> None:
    """A statement that is new says here which index serves it."""
    names = {name for name, value in vars(queries).items() if name.isupper() and isinstance(value, str)}
    assert {name for name in names if not name.startswith("_")} == (
        SERVED_BY.keys() | WITHOUT_A_SEARCH.keys() | PARTS_OF_STATEMENTS
    )
