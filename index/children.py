"""What lies directly beneath the beginning of a path: one step of the index for each, however much is beneath that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index import queries

if TYPE_CHECKING:
    import sqlite3


def read_children(connection: sqlite3.Connection, prefix: bytes, limit: int) -> list[bytes]:
    """Return the first `limit` paths that begin so, in order, each as far as its next slash; tombstones have none."""
    found: list[bytes] = []
    after = prefix
    while len(found) < limit:
        row = connection.execute(queries.FIRST_FROM, (after,)).fetchone()
        if row is None or not row[0].startswith(prefix):
            break
        path: bytes = row[0]
        slash = path.find(b"/", len(prefix))
        found.append(path if slash < 0 else path[: slash + 1])
        # What follows the path itself, or all that is beneath the directory: `0` is the byte that follows `/`.
        after = path + b"\0" if slash < 0 else path[:slash] + b"0"
    return found
