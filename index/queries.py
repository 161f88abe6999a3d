"""Every statement that the catalog makes, and the index that serves it: tests/test_queries.py asks SQLite.

Where SQLite would rather take the index of states and sort, it is told which to take.
"""

from __future__ import annotations

from typing import Final

from index.rows import COLUMNS, KNOWN_COLUMNS
from index.schema import NEVER

# An asset as it is read: with what accesses have made of it.
_WARM: Final = "LEFT JOIN warmth USING (row)"
_ASSETS: Final = f"asset {_WARM}"

# One asset: by the unique indices of `id` and `path`.
BY_ID: Final = f"SELECT {COLUMNS} FROM {_ASSETS} WHERE id = ?"
BY_PATH: Final = f"SELECT {COLUMNS} FROM {_ASSETS} WHERE path = ?"
DROP: Final = "DELETE FROM asset WHERE id = ?"

# What a scan compares: a range of the unique index of `path`; `state` is read from the row.
BETWEEN: Final = (
    f"SELECT {KNOWN_COLUMNS} FROM {_ASSETS} WHERE path > :after AND path <= :upto AND state <> 'gone' ORDER BY path"
)
BEYOND: Final = f"SELECT {KNOWN_COLUMNS} FROM {_ASSETS} WHERE path > :after AND state <> 'gone' ORDER BY path"
BELOW: Final = (
    f"SELECT {KNOWN_COLUMNS} FROM {_ASSETS}"
    " WHERE (path = :directory OR path > :first AND path < :beyond) AND state <> 'gone' ORDER BY path"
)
FIRST_FROM: Final = "SELECT path FROM asset WHERE path >= ? AND state <> 'gone' ORDER BY path LIMIT 1"
# asset_inode
BY_INODE: Final = f"SELECT {KNOWN_COLUMNS} FROM {_ASSETS} WHERE inode = ? AND size = ? AND mtime_ns = ?"

# asset_state, which ends in the row, so that every state is a sorted list that can be entered anywhere.
ROW_OF: Final = "SELECT row FROM asset WHERE id = ?"
IN_STATE: Final = f"SELECT row, {COLUMNS} FROM {_ASSETS} WHERE state = ? AND row > ? ORDER BY row LIMIT ?"
FORGET: Final = "DELETE FROM asset WHERE state = 'gone' AND purge = 0 AND changed_at < ?"

# warmth_by_heat, warmth_by_access, asset_by_age: each ends in the row, which breaks ties and makes pages meet exactly.
_COLDEST: Final = (
    f"SELECT {{order}}, row, {COLUMNS} FROM {{tables}} WHERE {{may_leave}}"
    " AND ({order}, row) > (?, ?) ORDER BY {order}, row LIMIT ?"
)
_COLDEST_OF_WARMTH: Final = "warmth INDEXED BY warmth_by_{} CROSS JOIN asset USING (row)"
COLDEST: Final = {
    "heat": _COLDEST.format(order="heat", tables=_COLDEST_OF_WARMTH.format("heat"), may_leave="may_leave = 1"),
    "last_access": _COLDEST.format(
        order="last_access", tables=_COLDEST_OF_WARMTH.format("access"), may_leave="may_leave = 1"
    ),
    "discovered_at": _COLDEST.format(
        order="discovered_at",
        tables=f"asset INDEXED BY asset_by_age {_WARM}",
        may_leave="state = 'replicated' AND pinned = 0",
    ),
}

# asset_due
DUE: Final = (
    f"SELECT {COLUMNS} FROM asset INDEXED BY asset_due {_WARM} WHERE state = 'new' AND due_at <= ?"
    " ORDER BY due_at, row LIMIT ?"
)
MAKE_DUE: Final = (
    f"UPDATE asset INDEXED BY asset_due SET due_at = :now WHERE state = 'new' AND due_at > :now AND due_at < {NEVER}"
)
SHUT_OUT: Final = (
    f"UPDATE asset SET due_at = {NEVER}, failure_code = ?, failure_message = ?, failure_attempts = ?,"
    " failure_retry_at = ? WHERE id = ? AND state = 'new'"
)
OUTSIDE: Final = (
    "SELECT row, path FROM asset INDEXED BY asset_due"
    f" WHERE state = 'new' AND due_at = {NEVER} AND row > ? ORDER BY row LIMIT ?"
)
LET_IN: Final = (
    "UPDATE asset SET due_at = ?, failure_code = NULL, failure_message = NULL, failure_attempts = NULL,"
    " failure_retry_at = NULL WHERE row = ?"
)
KNOWN_KEYS: Final = (
    "SELECT proof_key, proof_etag FROM asset, json_each(?)"
    " WHERE proof_key = json_each.value AND proof_method <> 'listed'"
)
ENLIST: Final = (
    "INSERT INTO asset (discovered_at, changed_at, due_at, handled_at, checked_at, proof_at, state, generation,"
    " proof_generation, proof_sha256, proof_method, id, path, proof_key, proof_etag, proof_size, proof_mtime_ns,"
    " proof_mode) VALUES (?1, ?1, ?1, ?1, ?1, ?1, 'cold', 1, 1, '', 'listed', ?2, ?3, ?4, ?5, ?6, ?7, 420)"
    " ON CONFLICT (path) DO NOTHING"
)
# asset_listed
LISTED: Final = f"SELECT {COLUMNS} FROM asset INDEXED BY asset_listed {_WARM} WHERE proof_method = 'listed' LIMIT ?"
NEXT_DUE: Final = (
    f"SELECT due_at FROM asset INDEXED BY asset_due WHERE state = 'new' AND due_at < {NEVER} ORDER BY due_at LIMIT 1"
)
HAVING_KEY: Final = f"SELECT {COLUMNS} FROM {_ASSETS} WHERE proof_key = ?"
# asset_unprotected: the condition is that of the index, word for word.
OLDEST_UNPROTECTED: Final = (
    "SELECT changed_at FROM asset INDEXED BY asset_unprotected"
    f" WHERE state IN ('new', 'stuck', 'uploading', 'verifying') AND due_at < {NEVER} ORDER BY changed_at LIMIT 1"
)
# asset_checked
LEAST_CHECKED: Final = (
    f"SELECT {COLUMNS} FROM asset INDEXED BY asset_checked {_WARM} WHERE state = 'cold' AND checked_at < ?"
    " ORDER BY checked_at, row LIMIT ?"
)
OLDEST_CHECK: Final = (
    "SELECT checked_at FROM asset INDEXED BY asset_checked WHERE state = 'cold' ORDER BY checked_at LIMIT 1"
)
CHECKED: Final = "UPDATE asset SET checked_at = ? WHERE id = ? AND state = 'cold'"
# asset_purge
TO_PURGE: Final = f"SELECT {COLUMNS} FROM {_ASSETS} WHERE purge = 1 AND state = 'gone' LIMIT ?"
PURGED: Final = (
    "UPDATE asset SET purge = 0, proof_key = NULL, proof_etag = NULL, proof_size = NULL, proof_sha256 = NULL,"
    " proof_generation = NULL, proof_mtime_ns = NULL, proof_mode = NULL, proof_method = NULL, proof_at = NULL"
    " WHERE id = ? AND state = 'gone'"
)

# Many rows to a statement: with one each, a hundred thousand take three times as long, most of it between two threads.
DISCOVERED_AT_ONCE: Final = 500
_DISCOVER: Final = (
    "INSERT INTO asset (discovered_at, changed_at, state, generation, id, path, size, mtime_ns, inode, ctime_ns,"
    " disk_bytes, mode, links, due_at, handled_at) VALUES {rows} ON CONFLICT (path) DO NOTHING"
)
_DISCOVERED: Final = "(?1, ?1, 'new', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DISCOVER_MANY: Final = _DISCOVER.format(rows=", ".join([_DISCOVERED] * DISCOVERED_AT_ONCE))
DISCOVER: Final = _DISCOVER.format(rows=_DISCOVERED)
LAST_ROW: Final = "SELECT coalesce(max(row), 0) FROM asset"
# asset_twin: the conditions are those of the index, word for word.
LARGE_TWINS: Final = (
    f"SELECT {COLUMNS} FROM asset INDEXED BY asset_twin {_WARM} WHERE proof_size >= 1048576"
    " AND substr(proof_sha256, 1, 16) = substr(:sha256, 1, 16) AND proof_sha256 = :sha256"
)
# The primary key of `asset`.
HOLDING: Final = (
    f"SELECT {COLUMNS} FROM {_ASSETS} WHERE row > :after AND row <= :upto AND state <> 'gone'"
    " AND (sha256 = :sha256 OR proof_sha256 = :sha256 OR proof_etag = :md5 OR json_extract(fields, '$.md5') = :md5)"
)
BURIED: Final = "SELECT id, max(generation) FROM event WHERE event = 'removed' GROUP BY id"
RECORD_DISCOVERED: Final = (
    "INSERT INTO event (at, id, path, event, after, generation, reason)"
    " SELECT discovered_at, id, path, ?, state, generation, '' FROM asset WHERE row > ? ORDER BY row"
)
REFRESH: Final = (
    "UPDATE asset SET ctime_ns = :ctime_ns, disk_bytes = :disk_bytes, mode = :mode, links = :links"
    " WHERE id = :id AND size = :size AND mtime_ns = :mtime_ns AND inode = :inode"
)
# What an access reads and writes: the unique index of `id`, which has the row, and the narrow table by row.
WARMTH: Final = (
    "SELECT asset.id, row, heat, bytes, last_access FROM json_each(?) CROSS JOIN asset ON asset.id = json_each.value"
    " CROSS JOIN warmth USING (row) WHERE bytes IS NOT NULL"
)
TOUCH: Final = (
    "UPDATE warmth SET last_access = max(last_access, ?), access_count = access_count + ?, heat = ? WHERE row = ?"
)
# warmth_unheated
UNHEATED: Final = (
    "SELECT row, bytes, last_access, access_count FROM warmth INDEXED BY warmth_unheated"
    " WHERE heat IS NULL AND is_hot = 1 ORDER BY row LIMIT ?"
)
# The primary key of `warmth`.
HEATED: Final = (
    "SELECT row, coalesce(bytes, 0), heat FROM warmth WHERE row > ? AND heat IS NOT NULL ORDER BY row LIMIT ?"
)
SET_HEAT: Final = "UPDATE warmth SET heat = ? WHERE row = ?"
PIN: Final = "UPDATE asset SET pinned = ?1 WHERE id = ?2 AND pinned <> ?1 AND state <> 'gone'"
DESCRIBE: Final = "UPDATE asset SET type = :type, fields = :fields, tags = :tags WHERE id = :id"
# The primary key of `sidecar`.
SIDECAR_SAID: Final = "SELECT said FROM sidecar WHERE asset_id = ?"
SAY_BY_SIDECAR: Final = (
    "INSERT INTO sidecar (asset_id, said) SELECT id, ? FROM asset WHERE id = ?"
    " ON CONFLICT DO UPDATE SET said = excluded.said"
)

# asset_unmeasured
UNMEASURED: Final = (
    f"SELECT row, {COLUMNS} FROM asset INDEXED BY asset_unmeasured {_WARM}"
    " WHERE measured IS NULL AND state = 'replicated' AND row > ? ORDER BY row LIMIT ?"
)
MEASURE: Final = "UPDATE asset SET measured = ? WHERE id = ? AND generation = ? AND measured IS NULL"

# The primary key of `misplaced`.
MISPLACE: Final = (
    "INSERT INTO misplaced (asset_id) SELECT id FROM asset WHERE id = :id AND (state NOT IN ('new', 'stuck', 'gone')"
    " OR EXISTS (SELECT 1 FROM upload WHERE asset_id = :id)) ON CONFLICT DO UPDATE SET version = version + 1"
)
MISPLACED: Final = (
    f"SELECT version, {COLUMNS} FROM misplaced CROSS JOIN asset ON id = asset_id {_WARM}"
    " WHERE asset_id > ? ORDER BY asset_id LIMIT ?"
)
IS_MISPLACED: Final = "SELECT 1 FROM misplaced WHERE asset_id = ?"
PLACED: Final = "DELETE FROM misplaced WHERE asset_id = ? AND version = ?"
UNMARK: Final = "DELETE FROM misplaced WHERE asset_id = ?"
MISPLACED_COUNT: Final = "SELECT count(*) FROM misplaced"

# The primary key of `expiring`. A mark of the same rule stays as it is.
MARK_EXPIRING: Final = (
    "INSERT INTO expiring (asset_id, rule, since) SELECT id, ?, ? FROM asset WHERE id = ? AND state = 'cold'"
    " AND pinned = 0 ON CONFLICT DO UPDATE SET rule = excluded.rule, since = excluded.since"
    " WHERE expiring.rule <> excluded.rule"
)
UNMARK_EXPIRING: Final = "DELETE FROM expiring WHERE asset_id = ?"
EXPIRING: Final = (
    f"SELECT rule, since, {COLUMNS} FROM expiring CROSS JOIN asset ON id = asset_id {_WARM}"
    " WHERE asset_id > ? ORDER BY asset_id LIMIT ?"
)
MARK_OF: Final = "SELECT rule, since FROM expiring WHERE asset_id = ?"

TOTALS: Final = "SELECT state, assets, bytes, disk_bytes, outside, outside_bytes FROM total"

# The primary key of `event`.
ADD_EVENT: Final = (
    "INSERT INTO event (at, id, path, event, before, after, generation, reason, key, was_path, was_key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
EVENTS: Final = (
    "SELECT cursor, at, id, path, event, before, after, generation, reason, key, was_path, was_key FROM event"
    " WHERE cursor > ? ORDER BY cursor LIMIT ?"
)
EVENT_SPAN: Final = "SELECT (SELECT min(cursor) FROM event), (SELECT max(cursor) FROM event)"
NEWEST_EVENT: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
BECAME_NEW: Final = "SELECT EXISTS (SELECT 1 FROM event WHERE cursor > ? AND after = 'new')"
PRUNE_EVENTS: Final = "DELETE FROM event WHERE cursor < ?"

# The primary key of `access`.
ADD_ACCESS: Final = "INSERT INTO access (at, asset, size, times) VALUES (?, ?, ?, ?)"
ACCESSES: Final = "SELECT cursor, at, asset, size, times FROM access WHERE cursor > ? ORDER BY cursor LIMIT ?"
NEWEST_ACCESS: Final = "SELECT max(cursor) FROM access"
PRUNE_ACCESSES: Final = "DELETE FROM access WHERE cursor <= ?"

# The primary keys of `upload`, `part` and `fact`.
BEGIN_UPLOAD: Final = "INSERT INTO upload (asset_id, key, upload_id, part_size, generation) VALUES (?, ?, ?, ?, ?)"
END_UPLOAD: Final = "DELETE FROM upload WHERE asset_id = ?"
UPLOADS: Final = "SELECT asset_id, key, upload_id, part_size, generation FROM upload ORDER BY asset_id"
UPLOAD_OF: Final = "SELECT asset_id, key, upload_id, part_size, generation FROM upload WHERE asset_id = ?"
ADD_PART: Final = (
    "INSERT INTO part (asset_id, number, etag, size) SELECT asset_id, ?, ?, ? FROM upload WHERE asset_id = ?"
    " ON CONFLICT DO UPDATE SET etag = excluded.etag, size = excluded.size"
)
PARTS: Final = "SELECT number, etag, size FROM part WHERE asset_id = ? ORDER BY number"
REMEMBER: Final = "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
RECALL: Final = "SELECT value FROM fact WHERE name = ?"


# A listing goes through one of these, slice by slice in the order of paths. The primary key of `word`; asset_pinned;
# asset_cold; asset_replicated; the unique index of `path`.
ALONG_WORD: Final = (
    f"word CROSS JOIN asset ON asset.path = asset_path {_WARM}"
    " WHERE word.name = ? AND word.value = ? AND asset_path > ?"
)
END_OF_WORDS: Final = (
    "SELECT asset_path FROM word WHERE name = ? AND value = ? AND asset_path > ? ORDER BY asset_path LIMIT 1 OFFSET ?"
)
ALONG_PINNED: Final = f"asset INDEXED BY asset_pinned {_WARM} WHERE pinned = 1 AND path > ?"
END_OF_PINNED: Final = (
    "SELECT path FROM asset INDEXED BY asset_pinned WHERE pinned = 1 AND path > ? ORDER BY path LIMIT 1 OFFSET ?"
)
ALONG_COLD: Final = f"asset INDEXED BY asset_cold {_WARM} WHERE state = 'cold' AND path > ?"
END_OF_COLD: Final = (
    "SELECT path FROM asset INDEXED BY asset_cold WHERE state = 'cold' AND path > ? ORDER BY path LIMIT 1 OFFSET ?"
)
ALONG_REPLICATED: Final = f"asset INDEXED BY asset_replicated {_WARM} WHERE state = 'replicated' AND path > ?"
END_OF_REPLICATED: Final = (
    "SELECT path FROM asset INDEXED BY asset_replicated WHERE state = 'replicated' AND path > ?"
    " ORDER BY path LIMIT 1 OFFSET ?"
)
ALONG_PATHS: Final = f"asset INDEXED BY sqlite_autoindex_asset_2 {_WARM} WHERE path > ?"
END_OF_SLICE: Final = "SELECT path FROM asset WHERE path > ? ORDER BY path LIMIT 1 OFFSET ?"
# Or all that are in rare states, by asset_state; or those whose rows were found by their text.
ALONG_STATES: Final = f"asset INDEXED BY asset_state {_WARM} WHERE TRUE"
ALONG_ROWS: Final = f"asset NOT INDEXED {_WARM} WHERE row IN (SELECT value FROM json_each(?))"

COUNT_WORD: Final = "SELECT count(*) FROM (SELECT 1 FROM word WHERE name = ? AND value = ? LIMIT ?)"
COUNT_PINNED: Final = "SELECT count(*) FROM (SELECT 1 FROM asset INDEXED BY asset_pinned WHERE pinned = 1 LIMIT ?)"

PATH: Final = "path"
WORD_PATH: Final = "asset_path"
OF_PIN: Final = "pinned = ?"
WITH_TEXT: Final = "row IN (SELECT rowid FROM asset_text WHERE asset_text MATCH ?)"
WITH_TEXT_BETWEEN: Final = "row IN (SELECT rowid FROM asset_text WHERE asset_text MATCH ? AND rowid BETWEEN ? AND ?)"
WITH_WORD: Final = "EXISTS (SELECT 1 FROM word WHERE word.name = ? AND word.value = ? AND asset_path = path)"
SIZE: Final = "coalesce(size, proof_size, 0)"
MTIME: Final = "coalesce(mtime_ns, proof_mtime_ns, 0)"
LAST_ACCESS: Final = "last_access"

# The text of assets: what was never read, and what is to be read again. The primary key of `asset` and of `reread`.
FOUND_TEXT: Final = "SELECT rowid FROM asset_text WHERE asset_text MATCH ? LIMIT ?"
READ_UPTO: Final = "SELECT upto FROM reading"
END_OF_ROWS: Final = "SELECT max(row) FROM (SELECT row FROM asset WHERE row > ? ORDER BY row LIMIT ?)"
SET_READ: Final = "UPDATE reading SET upto = ?"
_TEXT: Final = (
    "SELECT row, CAST(path AS TEXT)"
    " || coalesce(' ' || (SELECT group_concat(value, ' ') FROM json_each(fields)), '')"
    " || coalesce(' ' || (SELECT group_concat(value, ' ') FROM json_each(tags)), '') FROM asset"
)
READ_TEXT: Final = f"INSERT INTO asset_text (rowid, text) {_TEXT} WHERE row > ? AND row <= ?"
TO_REREAD: Final = "SELECT row FROM reread ORDER BY row LIMIT ?"
DROP_TEXT: Final = "DELETE FROM asset_text WHERE rowid = ?"
READ_AGAIN: Final = f"INSERT INTO asset_text (rowid, text) {_TEXT} WHERE row = ?"
REREAD: Final = "DELETE FROM reread WHERE row = ?"


# What there is of what; as bytes, which nothing can be wrong with.
FIGURES: Final = (
    "SELECT state, CAST(coalesce(type, '') AS BLOB),"
    " CAST(coalesce(json_extract(fields, '$.campaign'), json_extract(tags, '$.campaign'), '') AS BLOB),"
    " CAST(coalesce(substr(content_type, 1, instr(content_type, '/') - 1), '') AS BLOB),"
    f" count(*), sum({SIZE}), sum(coalesce(proof_size, 0))"
    " FROM asset WHERE row > ? AND row <= ? AND state <> 'gone' GROUP BY 1, 2, 3, 4"
)


def upto(path: str) -> str:
    """Return the condition that a path is not beyond the end of a slice."""
    return f"{path} <= ?"


def of_states(count: int) -> str:
    """Return the condition that a state is among so many."""
    return f"state IN ({', '.join('?' * count)})"


def first_and_last(along: str) -> str:
    """Return the lowest and the highest of some rows."""
    return f"SELECT min(row), max(row) FROM {along}"


def page(along: str, conditions: list[str], *, key: str, descending: bool) -> str:
    """Return the rows that fulfil all conditions, each with what it is sorted by; paths break ties."""
    where = " AND ".join([along, *conditions])
    direction = " DESC" if descending else ""
    # Where rows come in the order of paths, sorting by the path alone lets them through as they come.
    order = f"{key}{direction}" if key in {PATH, WORD_PATH} else f"{key}{direction}, path{direction}"
    return f"SELECT {key}, {COLUMNS} FROM {where} ORDER BY {order} LIMIT ?"


def beyond(key: str, *, descending: bool) -> str:
    """Return the condition that a row comes after a position."""
    return f"({key}, path) {'<' if descending else '>'} (?, ?)"


def between(key: str, *, above: bool) -> str:
    """Return the condition that something is at least, or at most, so much."""
    return f"{key} {'>=' if above else '<='} ?"


def update(columns: list[str]) -> str:
    """Return the compare-and-set of these columns: by id, state and generation. Indices of others are left alone."""
    assignments = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE asset SET {assignments} WHERE id = ? AND state = ? AND generation = ?"


def insert(columns: list[str]) -> str:
    """Return the insertion of a whole row."""
    return f"INSERT INTO asset ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
