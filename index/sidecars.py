"""What the sidecars of assets said when it was last believed.

An asset that is still just that was described by nobody else since: what its sidecar says now is believed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from index import queries

if TYPE_CHECKING:
    import sqlite3

    from index.asset import AssetId

Said = tuple[str | None, Mapping[str, str], Mapping[str, str]]
"""Type, fields and tags."""


def say(connection: sqlite3.Connection, asset_id: AssetId, words: Said) -> None:
    """Write down what the sidecar of an asset says."""
    type, fields, tags = words
    connection.execute(queries.SAY_BY_SIDECAR, (json.dumps([type, dict(fields), dict(tags)]), asset_id))


def said(connection: sqlite3.Connection, asset_id: AssetId) -> Said | None:
    """Return what it said; None where nothing that it said is known."""
    row = connection.execute(queries.SIDECAR_SAID, (asset_id,)).fetchone()
    if row is None:
        return None
    type, fields, tags = json.loads(row[0])
    return type, fields, tags
