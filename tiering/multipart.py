"""Large files, sent in parts that a kill does not lose.

The upload's id is durable before the first part, each part is durable once the store has it, and after a start only
the missing parts are sent: those whose MD5 is not among what the store lists.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from index.uploads import Upload, UploadedPart
from tiering.store import NotFoundError, Part
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.pacing import Bandwidth, ByteBudget
    from tiering.source import Digests, Source
    from tiering.store import Attributes, Condition, ObjectInfo, Store

PARTS_AT_ONCE: Final = 3
PARTS_MOST: Final = 10_000


def fitting_part_size(size: int, part_size: int) -> int:
    """Return the part size for a file of `size` bytes: the configured one, or what keeps S3's 10,000 parts."""
    while -(-size // part_size) > PARTS_MOST:
        part_size *= 2
    return part_size


class Multipart:
    """Sends one file in parts, resuming what an earlier run began."""

    def __init__(self, catalog: Catalog, store: Store, *, budget: ByteBudget, bandwidth: Bandwidth) -> None:
        self._catalog = catalog
        self._store = store
        self._budget = budget
        self._bandwidth = bandwidth

    async def send(
        self, source: Source, key: str, digests: Digests, attributes: Attributes, condition: Condition
    ) -> tuple[ObjectInfo, int]:
        """Send what the store lacks and make it one object; return it and the bytes that were sent.

        Raise what the store raises. After a PreconditionError the parts are kept: sent again, it only completes.
        """
        asset = source.asset
        resumed = await self._resume(asset, key, digests)
        upload_id, have = resumed or (await self._begin(asset, key, digests, attributes), [])
        source.kept = sum(part.size for part in have)
        missing = sorted(set(range(1, len(digests.part_md5s) + 1)) - {part.number for part in have})
        sent = await self._send_parts(source, key, upload_id, digests, missing)
        parts = sorted([*have, *sent], key=lambda part: part.number)
        info = await self._store.complete(key, upload_id, parts, condition)
        await self._catalog.uploads.end(asset.id)
        return info, sum(part.size for part in sent)

    async def abandon(self, asset: Asset) -> None:
        """Drop what an earlier run began for this asset, in the store and in the index."""
        upload = await self._catalog.uploads.of(asset.id)
        if upload is not None:
            await self._store.abort(upload.key, upload.upload_id)
            await self._catalog.uploads.end(asset.id)

    async def _begin(self, asset: Asset, key: str, digests: Digests, attributes: Attributes) -> str:
        upload_id = await self._store.create_upload(key, attributes)
        upload = Upload(asset.id, key, upload_id, digests.part_size, asset.generation, ())
        await self._catalog.uploads.begin(asset.id, upload)
        return upload_id

    async def _resume(self, asset: Asset, key: str, digests: Digests) -> tuple[str, list[Part]] | None:
        upload = await self._catalog.uploads.of(asset.id)
        if upload is None:
            return None
        fits = (upload.key, upload.part_size, upload.generation) == (key, digests.part_size, asset.generation)
        if not fits:
            await self.abandon(asset)
            return None
        try:
            listed = await self._store.list_parts(key, upload.upload_id)
        except NotFoundError:
            await self._catalog.uploads.end(asset.id)
            return None
        return upload.upload_id, _right(listed, upload, digests)

    async def _send_parts(
        self, source: Source, key: str, upload_id: str, digests: Digests, missing: Sequence[int]
    ) -> list[Part]:
        sent: list[Part] = []

        async def send(number: int) -> None:
            sent.append(await self._send_part(source, key, upload_id, digests, number))

        # Where one part fails, what the others had finished is durable, and is not sent again.
        await for_each(missing, send, at_once=PARTS_AT_ONCE, name=f"parts of {key}")
        return sent

    async def _send_part(self, source: Source, key: str, upload_id: str, digests: Digests, number: int) -> Part:
        async with self._budget.take(min(digests.part_size, digests.size)):
            # In a call of its own, so that the bytes are gone when the budget is given back.
            part = await self._read_and_put(source, key, upload_id, digests, number)
        await self._catalog.uploads.add_part(source.asset.id, UploadedPart(part.number, part.etag, part.size))
        source.sent += part.size
        return part

    async def _read_and_put(self, source: Source, key: str, upload_id: str, digests: Digests, number: int) -> Part:
        body = await asyncio.to_thread(source.read_part, number, digests.part_size)
        await self._bandwidth.take(len(body))
        return await self._store.put_part(key, upload_id, number, body, md5=digests.part_md5s[number - 1])


def _right(listed: Sequence[Part], upload: Upload, digests: Digests) -> list[Part]:
    """Keep the parts that we recorded, that the store still has so, and that hold what the file holds now."""
    ours = {part.number: part.etag for part in upload.parts}
    return [
        part
        for part in listed
        if ours.get(part.number) == part.etag
        and part.number <= len(digests.part_md5s)
        and part.etag == digests.part_md5s[part.number - 1].hex()
    ]
