"""Multipart uploads under way: what must survive a crash so that only the missing parts are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index import queries
from index.errors import StaleTransitionError

if TYPE_CHECKING:
    import sqlite3

    from index.asset import AssetId
    from index.rows import Row


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """One finished part; `number` counts from 1, `size` is in bytes."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """One multipart upload of one generation of an asset, with the parts that the store has acknowledged, in order."""

    asset_id: AssetId
    key: str
    upload_id: str
    part_size: int
    generation: int
    parts: tuple[UploadedPart, ...] = ()


def begin(connection: sqlite3.Connection, asset_id: AssetId, upload: Upload) -> None:
    """Write the upload down, in place of any other of this asset."""
    connection.execute(queries.END_UPLOAD, (asset_id,))
    row = (asset_id, upload.key, upload.upload_id, upload.part_size, upload.generation)
    connection.execute(queries.BEGIN_UPLOAD, row)
    for part in upload.parts:
        add_part(connection, asset_id, part)


def add_part(connection: sqlite3.Connection, asset_id: AssetId, part: UploadedPart) -> None:
    """Write a finished part down. Raise StaleTransitionError where the upload it belongs to has ended."""
    added = connection.execute(queries.ADD_PART, (part.number, part.etag, part.size, asset_id)).rowcount
    if added == 0:
        raise StaleTransitionError(f"asset {asset_id} has no multipart upload any more: part {part.number} is lost")


def read_upload(connection: sqlite3.Connection, asset_id: AssetId) -> Upload | None:
    """Return the upload of this asset, if there is one."""
    row = connection.execute(queries.UPLOAD_OF, (asset_id,)).fetchone()
    return None if row is None else _upload(connection, row)


def read_uploads(connection: sqlite3.Connection) -> list[Upload]:
    """Return every upload under way."""
    return [_upload(connection, row) for row in connection.execute(queries.UPLOADS).fetchall()]


def _upload(connection: sqlite3.Connection, row: Row) -> Upload:
    parts = connection.execute(queries.PARTS, (row[0],)).fetchall()
    asset_id, key, upload_id, part_size, generation = row
    return Upload(asset_id, key, upload_id, part_size, generation, tuple(UploadedPart(*part) for part in parts))
