"""Multipart uploads under way: what must survive a crash so that only the missing parts are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index import queries
from index.errors import StaleTransitionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from index.asset import AssetId
    from index.commits import Commits
    from index.connection import Connection
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


class Uploads:
    """The uploads under way, one an asset at most. What writes is durable when the call returns."""

    def __init__(self, connection: Connection, commits: Commits[Any]) -> None:
        self._connection = connection
        self._commits = commits

    async def begin(self, asset_id: AssetId, upload: Upload) -> None:
        """Write the asset's upload down before its first part is sent, in place of any other."""
        await self._commits.share(lambda raw: _begin(raw, asset_id, upload))

    async def add_part(self, asset_id: AssetId, part: UploadedPart) -> None:
        """Write a finished part down. Raise StaleTransitionError where its upload has ended."""
        await self._commits.share(lambda raw: _add_part(raw, asset_id, part))

    async def end(self, asset_id: AssetId) -> None:
        """Forget the upload of this asset, if there is one."""
        await self._commits.share(lambda raw: raw.execute(queries.END_UPLOAD, (asset_id,)).rowcount)

    async def of(self, asset_id: AssetId) -> Upload | None:
        """Return the upload of this asset, if there is one."""
        return await self._connection.submit(lambda raw: _read_one(raw, asset_id))

    async def all(self) -> Sequence[Upload]:
        """Return every upload under way."""
        return await self._connection.submit(_read_all)

    async def ids(self) -> set[str]:
        """Return the store's ids of every upload under way."""
        return {upload.upload_id for upload in await self.all()}


def _begin(connection: sqlite3.Connection, asset_id: AssetId, upload: Upload) -> None:
    connection.execute(queries.END_UPLOAD, (asset_id,))
    row = (asset_id, upload.key, upload.upload_id, upload.part_size, upload.generation)
    connection.execute(queries.BEGIN_UPLOAD, row)
    for part in upload.parts:
        _add_part(connection, asset_id, part)


def _add_part(connection: sqlite3.Connection, asset_id: AssetId, part: UploadedPart) -> None:
    added = connection.execute(queries.ADD_PART, (part.number, part.etag, part.size, asset_id)).rowcount
    if added == 0:
        raise StaleTransitionError(f"asset {asset_id} has no multipart upload any more: part {part.number} is lost")


def _read_one(connection: sqlite3.Connection, asset_id: AssetId) -> Upload | None:
    row = connection.execute(queries.UPLOAD_OF, (asset_id,)).fetchone()
    return None if row is None else _upload(connection, row)


def _read_all(connection: sqlite3.Connection) -> list[Upload]:
    return [_upload(connection, row) for row in connection.execute(queries.UPLOADS).fetchall()]


def _upload(connection: sqlite3.Connection, row: Row) -> Upload:
    parts = connection.execute(queries.PARTS, (row[0],)).fetchall()
    asset_id, key, upload_id, part_size, generation = row
    return Upload(asset_id, key, upload_id, part_size, generation, tuple(UploadedPart(*part) for part in parts))
