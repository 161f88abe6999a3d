"""What shows that an object in the store is the one that was proven."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Proof
    from tiering.store import ObjectInfo, Store


def is_as_proven(info: ObjectInfo, proof: Proof) -> bool:
    """Whether the store says of the object what it said when it was proven."""
    return (info.etag, info.size) == (proof.etag, proof.size)


async def read_sha256(store: Store, key: str, *, etag: str) -> str:
    """Read the object back, whole, and return the hash of its bytes. Raise what Store.get and its body raise."""
    sha256 = hashlib.sha256()
    async with store.get(key, etag=etag) as download:
        async for chunk in download.chunks():
            await asyncio.to_thread(sha256.update, chunk)
    return sha256.hexdigest()
