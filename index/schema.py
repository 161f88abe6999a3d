"""The tables, and how an older index becomes a newer one.

What must hold of every row, whoever writes it, are CHECK constraints, and the totals are kept by triggers, so that no
statement can forget them. Paths are BLOBs: a name is bytes, and bytes compare as a sorted walk of the tree does.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from index.errors import CatalogError, CorruptIndexError
from index.lifecycle import HOT, UNPROTECTED, State

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER: Final = "1e12"
"""When an asset is due that is not to be uploaded for the present: no clock comes to it."""
APPLICATION_ID: Final = 0x74697264
"""`tird`: says in the file's header whose it is."""


def _among(states: Iterable[State]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


def _bytes_of(state: State) -> str:
    file = "size IS NOT NULL" if state in HOT else "size IS NULL"
    proof = "proof_generation IS generation" if state in _PROVEN else "1"
    return f"WHEN '{state}' THEN {file} AND {proof}"


_PROVEN: Final = frozenset(State) - UNPROTECTED - {State.GONE}
_WHERE_BYTES_ARE: Final = " ".join(map(_bytes_of, State))

_ASSET: Final = f"""
CREATE TABLE asset (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    path BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL,
    generation INTEGER NOT NULL,
    size INTEGER, mtime_ns INTEGER, inode INTEGER,
    ctime_ns INTEGER NOT NULL DEFAULT 0,
    disk_bytes INTEGER NOT NULL DEFAULT 0,
    mode INTEGER NOT NULL DEFAULT 0,
    links INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT, content_type TEXT,
    proof_key TEXT, proof_etag TEXT, proof_size INTEGER, proof_sha256 TEXT, proof_generation INTEGER,
    proof_mtime_ns INTEGER, proof_mode INTEGER, proof_method TEXT, proof_at REAL,
    pinned INTEGER NOT NULL DEFAULT 0,
    type TEXT, fields TEXT, tags TEXT,
    discovered_at REAL NOT NULL, changed_at REAL NOT NULL, due_at REAL NOT NULL,
    last_access REAL NOT NULL,
    access_count INTEGER NOT NULL DEFAULT 0,
    promoted_at REAL NOT NULL DEFAULT 0,
    failure_code TEXT, failure_message TEXT, failure_attempts INTEGER, failure_retry_at REAL,
    overwrite INTEGER NOT NULL DEFAULT 0,
    purge INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT bytes_are_where_the_state_says CHECK (CASE state {_WHERE_BYTES_ARE} ELSE 0 END)
) STRICT
"""

_TOTAL: Final = """
CREATE TABLE total (
    state TEXT PRIMARY KEY,
    assets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_ADD: Final = """
    UPDATE total SET
        assets = assets + 1,
        bytes = bytes + coalesce(new.size, new.proof_size, 0),
        disk_bytes = disk_bytes + new.disk_bytes
    WHERE state = new.state;
"""

_SUBTRACT: Final = """
    UPDATE total SET
        assets = assets - 1,
        bytes = bytes - coalesce(old.size, old.proof_size, 0),
        disk_bytes = disk_bytes - old.disk_bytes
    WHERE state = old.state;
"""

# AUTOINCREMENT: a cursor is never used twice, even when everything before it was pruned.
_EVENT: Final = """
CREATE TABLE event (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    id TEXT NOT NULL,
    path BLOB NOT NULL,
    event TEXT NOT NULL,
    before TEXT,
    after TEXT NOT NULL,
    generation INTEGER NOT NULL,
    reason TEXT NOT NULL,
    key TEXT
) STRICT
"""

_UPLOAD: Final = """
CREATE TABLE upload (
    asset_id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    part_size INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_PART: Final = """
CREATE TABLE part (
    asset_id TEXT NOT NULL REFERENCES upload ON DELETE CASCADE,
    number INTEGER NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (asset_id, number)
) STRICT, WITHOUT ROWID
"""

_FIRST: Final = (
    _ASSET,
    "CREATE INDEX asset_state ON asset (state)",
    "CREATE INDEX asset_due ON asset (due_at) WHERE state = 'new'",
    f"CREATE INDEX asset_unprotected ON asset (changed_at) WHERE state IN {_among(UNPROTECTED)}",
    "CREATE INDEX asset_by_access ON asset (last_access) WHERE state = 'replicated' AND pinned = 0",
    "CREATE INDEX asset_by_age ON asset (discovered_at) WHERE state = 'replicated' AND pinned = 0",
    "CREATE INDEX asset_inode ON asset (inode) WHERE inode IS NOT NULL",
    "CREATE INDEX asset_key ON asset (proof_key) WHERE proof_key IS NOT NULL",
    "CREATE INDEX asset_purge ON asset (purge) WHERE purge = 1",
    _TOTAL,
    *(f"INSERT INTO total VALUES ('{state}', 0, 0, 0)" for state in State),
    f"CREATE TRIGGER asset_added AFTER INSERT ON asset BEGIN {_ADD} END",
    f"CREATE TRIGGER asset_dropped AFTER DELETE ON asset BEGIN {_SUBTRACT} END",
    f"""CREATE TRIGGER asset_changed AFTER UPDATE OF state, size, proof_size, disk_bytes ON asset
        BEGIN {_SUBTRACT} {_ADD} END""",
    _EVENT,
    _UPLOAD,
    _PART,
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

# When the store was last asked about a cold asset.
_SECOND: Final = (
    "ALTER TABLE asset ADD COLUMN checked_at REAL NOT NULL DEFAULT 0",
    "UPDATE asset SET checked_at = proof_at WHERE proof_at IS NOT NULL",
    "CREATE INDEX asset_checked ON asset (checked_at) WHERE state = 'cold'",
)

# The latest accesses, for who wants to know what another policy would have made of them.
_ACCESS: Final = """
CREATE TABLE access (
    cursor INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    asset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT
"""

# How wanted an asset is, as the policy's arithmetic has it; NULL until somebody has asked for it, or it was taken in.
_THIRD: Final = (
    "ALTER TABLE asset ADD COLUMN heat REAL",
    "CREATE INDEX asset_by_heat ON asset (heat) WHERE state = 'replicated' AND pinned = 0",
    "CREATE INDEX asset_unheated ON asset (heat) WHERE heat IS NULL AND size IS NOT NULL",
    _ACCESS,
)

# What people say about an asset, word by word as a query names it, with its path: a listing reads it in order. Triggers
# keep it true, and an asset of which nothing is said costs nothing.
_WORD: Final = """
CREATE TABLE word (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    asset_path BLOB NOT NULL,
    PRIMARY KEY (name, value, asset_path)
) STRICT, WITHOUT ROWID
"""


def _words(row: str) -> str:
    return f"""
        SELECT 'type' AS name, {row}.type AS value WHERE {row}.type IS NOT NULL
        UNION ALL SELECT 'field.' || key, value FROM json_each({row}.fields)
        UNION ALL SELECT 'tag.' || key, value FROM json_each({row}.tags)
        UNION ALL SELECT 'campaign', value FROM json_each({row}.fields) WHERE key = 'campaign'
        UNION ALL SELECT 'campaign', value FROM json_each({row}.tags) WHERE key = 'campaign'
    """


def _is_described(row: str) -> str:
    return f"({row}.type IS NOT NULL OR {row}.fields IS NOT NULL OR {row}.tags IS NOT NULL)"


_SAY: Final = f"INSERT OR IGNORE INTO word SELECT name, value, new.path FROM ({_words('new')});"
# One SELECT around them all: without it SQLite looks at every word that there is.
_UNSAY: Final = (
    f"DELETE FROM word WHERE asset_path = old.path AND (name, value) IN (SELECT name, value FROM ({_words('old')}));"
)
_REREAD: Final = "INSERT OR IGNORE INTO reread SELECT old.row FROM reading WHERE old.row <= upto;"

# Paths and words as text are read by the catalog itself, when somebody searches: SQLite lets no trigger write to a
# virtual table of a schema that is not trusted. `upto` is the last row that was read, `reread` what of those is so no
# more.
_FOURTH: Final = (
    _WORD,
    "CREATE INDEX asset_pinned ON asset (path) WHERE pinned = 1",
    f"CREATE TRIGGER asset_described AFTER INSERT ON asset WHEN {_is_described('new')} BEGIN {_SAY} END",
    f"""CREATE TRIGGER asset_redescribed AFTER UPDATE OF path, type, fields, tags ON asset
        WHEN {_is_described("old")} OR {_is_described("new")} BEGIN {_UNSAY} {_SAY} END""",
    f"CREATE TRIGGER asset_undescribed AFTER DELETE ON asset WHEN {_is_described('old')} BEGIN {_UNSAY} END",
    "CREATE VIRTUAL TABLE asset_text USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')",
    "CREATE TABLE reading (upto INTEGER NOT NULL) STRICT",
    "INSERT INTO reading VALUES (0)",
    "CREATE TABLE reread (row INTEGER PRIMARY KEY) STRICT",
    f"CREATE TRIGGER asset_reworded AFTER UPDATE OF path, fields, tags ON asset BEGIN {_REREAD} END",
    f"CREATE TRIGGER asset_unread AFTER DELETE ON asset BEGIN {_REREAD} END",
    # What was said before: the trigger hears it again.
    f"UPDATE asset SET type = type WHERE {_is_described('asset')}",
)

# Assets whose remote copy is to follow what is said of them.
_FIFTH: Final = (
    "CREATE TABLE misplaced (asset_id TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT ROWID",
)


def _is_outside(row: str) -> str:
    return f"({row}.state = 'new' AND {row}.due_at = {NEVER})"


def _moved_outside(*, subtract: str | None, add: str | None) -> str:
    parts = [(sign, row) for sign, row in (("-", subtract), ("+", add)) if row is not None]
    assets = " ".join(f"{sign} {_is_outside(row)}" for sign, row in parts)
    size = " ".join(f"{sign} {_is_outside(row)} * coalesce({row}.size, 0)" for sign, row in parts)
    return f"UPDATE total SET outside = outside {assets}, outside_bytes = outside_bytes {size} WHERE state = 'new';"


# What no roll-out has come to: counted apart, and no reason for an alarm.
_SIXTH: Final = (
    "ALTER TABLE total ADD COLUMN outside INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE total ADD COLUMN outside_bytes INTEGER NOT NULL DEFAULT 0",
    f"""CREATE TRIGGER asset_added_outside AFTER INSERT ON asset WHEN {_is_outside("new")}
        BEGIN {_moved_outside(subtract=None, add="new")} END""",
    f"""CREATE TRIGGER asset_dropped_outside AFTER DELETE ON asset WHEN {_is_outside("old")}
        BEGIN {_moved_outside(subtract="old", add=None)} END""",
    f"""CREATE TRIGGER asset_moved_outside AFTER UPDATE OF state, due_at, size ON asset
        WHEN {_is_outside("old")} OR {_is_outside("new")} BEGIN {_moved_outside(subtract="old", add="new")} END""",
    "DROP INDEX asset_unprotected",
    f"CREATE INDEX asset_unprotected ON asset (changed_at) WHERE state IN {_among(UNPROTECTED)} AND due_at < {NEVER}",
)

# What a retention rule is to remove from the store, and since when. What is wanted, pinned or anything but cold is not.
_SEVENTH: Final = (
    "CREATE TABLE expiring (asset_id TEXT PRIMARY KEY, rule TEXT NOT NULL, since REAL NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TRIGGER asset_spared AFTER UPDATE OF state, pinned, generation ON asset
        WHEN new.state <> 'cold' OR new.pinned = 1 OR new.generation <> old.generation
        BEGIN DELETE FROM expiring WHERE asset_id = new.id; END""",
    """CREATE TRIGGER asset_forgotten AFTER DELETE ON asset
        BEGIN DELETE FROM expiring WHERE asset_id = old.id; END""",
)

# Heat is measured by another arithmetic; what is on disk gets its place anew, by when it was last used.
_EIGHTH: Final = ("UPDATE asset SET heat = NULL WHERE heat IS NOT NULL", "DELETE FROM fact WHERE name = 'heat'")

# What large contents are known by: small ones are sent again as cheaply as they are looked for.
_NINTH: Final = ("CREATE INDEX asset_twin ON asset (substr(proof_sha256, 1, 16)) WHERE proof_size >= 1048576",)

# What contents measure, as words beside what people say.


def _all_words(row: str) -> str:
    return f"{_words(row)} UNION ALL SELECT 'field.' || key, value FROM json_each({row}.measured)"


def _says(row: str) -> str:
    return f"({_is_described(row)} OR {row}.measured <> '{{}}')"


_SAY_ALL: Final = f"INSERT OR IGNORE INTO word SELECT name, value, new.path FROM ({_all_words('new')});"
_UNSAY_ALL: Final = (
    "DELETE FROM word WHERE asset_path = old.path"
    f" AND (name, value) IN (SELECT name, value FROM ({_all_words('old')}));"
)

_TENTH: Final = (
    "ALTER TABLE asset ADD COLUMN measured TEXT",
    "CREATE INDEX asset_unmeasured ON asset (state) WHERE measured IS NULL AND state = 'replicated'",
    "DROP TRIGGER asset_described",
    "DROP TRIGGER asset_redescribed",
    "DROP TRIGGER asset_undescribed",
    f"CREATE TRIGGER asset_described AFTER INSERT ON asset WHEN {_says('new')} BEGIN {_SAY_ALL} END",
    f"""CREATE TRIGGER asset_redescribed AFTER UPDATE OF path, type, fields, tags, measured ON asset
        WHEN {_says("old")} OR {_says("new")} BEGIN {_UNSAY_ALL} {_SAY_ALL} END""",
    f"CREATE TRIGGER asset_undescribed AFTER DELETE ON asset WHEN {_says('old')} BEGIN {_UNSAY_ALL} END",
)

# Where an asset was before: NULL where it is what it is after.
_ELEVENTH: Final = ("ALTER TABLE event ADD COLUMN was_path BLOB", "ALTER TABLE event ADD COLUMN was_key TEXT")

# Where most assets are, in the order of paths: a listing of those that are cold does not look at all that are not.
_SETTLED: Final = (
    "CREATE INDEX asset_cold ON asset (path) WHERE state = 'cold'",
    "CREATE INDEX asset_replicated ON asset (path) WHERE state = 'replicated'",
)

# What every access changes lies apart from the wide rows, whose pages it would all have to write. The other columns are
# what it needs of the asset to be found there; triggers keep them true, and the state machine knows nothing of them.
# `bytes` is NULL for a tombstone. `handled_at` is the last use that the asset's own changes tell of.
_WARMTH: Final = """
CREATE TABLE warmth (
    row INTEGER PRIMARY KEY,
    bytes INTEGER,
    is_hot INTEGER NOT NULL,
    may_leave INTEGER NOT NULL,
    heat REAL,
    last_access REAL NOT NULL,
    access_count INTEGER NOT NULL DEFAULT 0
) STRICT
"""


def _place(row: str) -> tuple[str, str, str]:
    size = f"CASE {row}.state WHEN 'gone' THEN NULL ELSE coalesce({row}.size, {row}.proof_size, 0) END"
    return size, f"{row}.size IS NOT NULL", f"{row}.state = 'replicated' AND {row}.pinned = 0"


_OLD_PLACE, _NEW_PLACE = _place("old"), _place("new")

_APART: Final = (
    _WARMTH,
    f"""INSERT INTO warmth (row, bytes, is_hot, may_leave, heat, last_access, access_count)
        SELECT row, {", ".join(_place("asset"))}, heat, last_access, access_count FROM asset""",
    "DROP INDEX asset_by_heat",
    "DROP INDEX asset_by_access",
    "DROP INDEX asset_unheated",
    "ALTER TABLE asset DROP COLUMN heat",
    "ALTER TABLE asset DROP COLUMN access_count",
    "ALTER TABLE asset RENAME COLUMN last_access TO handled_at",
    "CREATE INDEX warmth_by_heat ON warmth (heat) WHERE may_leave = 1",
    "CREATE INDEX warmth_by_access ON warmth (last_access) WHERE may_leave = 1",
    "CREATE INDEX warmth_unheated ON warmth (heat) WHERE heat IS NULL AND is_hot = 1",
    f"""CREATE TRIGGER asset_placed AFTER INSERT ON asset BEGIN
        INSERT INTO warmth (row, bytes, is_hot, may_leave, last_access)
        VALUES (new.row, {", ".join(_NEW_PLACE)}, new.handled_at); END""",
    f"""CREATE TRIGGER asset_replaced AFTER UPDATE OF state, pinned, size, proof_size ON asset
        WHEN ({", ".join(_NEW_PLACE)}) IS NOT ({", ".join(_OLD_PLACE)}) BEGIN
        UPDATE warmth SET (bytes, is_hot, may_leave) = ({", ".join(_NEW_PLACE)}) WHERE row = new.row; END""",
    """CREATE TRIGGER asset_handled AFTER UPDATE OF handled_at ON asset BEGIN
        UPDATE warmth SET last_access = max(last_access, new.handled_at) WHERE row = new.row; END""",
    "CREATE TRIGGER asset_displaced AFTER DELETE ON asset BEGIN DELETE FROM warmth WHERE row = old.row; END",
)

# What its sidecar said when an asset was last described by it: what somebody else has said since is told from that.
_HEARSAY: Final = (
    "CREATE TABLE sidecar (asset_id TEXT PRIMARY KEY, said TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TRIGGER asset_sidecar_kept AFTER UPDATE OF id ON asset WHEN new.id <> old.id
        BEGIN UPDATE OR REPLACE sidecar SET asset_id = new.id WHERE asset_id = old.id; END""",
    """CREATE TRIGGER asset_sidecar_dropped AFTER DELETE ON asset
        BEGIN DELETE FROM sidecar WHERE asset_id = old.id; END""",
    "CREATE INDEX asset_listed ON asset (proof_method) WHERE proof_method = 'listed'",
)

MIGRATIONS: Final = (
    *(_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH, _EIGHTH, _NINTH, _TENTH, _ELEVENTH),
    _SETTLED,
    _APART,
    _HEARSAY,
)
"""What makes version n + 1 of version n. Released ones are never edited, only followed by another."""

_TABLES: Final = frozenset({"asset", "total", "event", "upload", "part", "fact"})


def migrate(connection: sqlite3.Connection, *, now: float) -> bool:
    """Bring the tables up to date, all or nothing, and return whether there were none.

    Raise CatalogError where the file is another program's or a newer tierd's, CorruptIndexError where ours lost parts.
    """
    version = _version(connection)
    if version == len(MIGRATIONS):
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version == 0:
            # Cursors begin where no earlier index of this host can have ended: who kept one is told, not misled.
            connection.execute("INSERT INTO sqlite_sequence VALUES ('event', ?)", (int(now * 1000),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return version == 0


def require_ours(connection: sqlite3.Connection) -> None:
    """Look before anything is written. Raise as migrate does."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    ours = application_id == APPLICATION_ID
    if ours and tables < _TABLES:
        raise CorruptIndexError("the index has lost tables")
    if tables and not ours and not tables >= _TABLES:
        raise CatalogError("it is the database of another program; set [index] path to another file")
    if _version(connection) > len(MIGRATIONS):
        raise CatalogError("it was written by a newer tierd; install that, or move the index away to have it rebuilt")


def require_whole(connection: sqlite3.Connection) -> None:
    """Compare every definition with what we would write. Raise CorruptIndexError where one is missing or different."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        migrate(pattern, now=0.0)
        missing = _definitions(pattern) - _definitions(connection)
    if missing:
        raise CorruptIndexError(f"{', '.join(sorted(name for name, _ in missing))} is not as it was made")


def _definitions(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
