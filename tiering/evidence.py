"""What shows that an object in the store is the one that was proven."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from index.asset import ProofMethod
from tiering.store import CorruptError, NotFoundError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.asset import Proof
    from tiering.store import ObjectInfo, Objects, Store


def is_as_proven(info: ObjectInfo, proof: Proof) -> bool:
    """Whether the store says of the object what it said when it was proven."""
    return (info.etag, info.size) == (proof.etag, proof.size)


def copied(proof: Proof) -> ProofMethod:
    """Return what proves a copy that has the ETag and size of a proof. An MD5 stays one: keys may be made of it."""
    return proof.method if proof.method is ProofMethod.ETAG_MD5 else ProofMethod.COPIED


async def read_sha256(
    store: Objects, key: str, *, etag: str, pace: Callable[[int], Awaitable[None]] | None = None
) -> str:
    """Read the object back, whole, and return the hash of its bytes. Raise what Store.get and its body raise.

    `pace` is awaited with the size of each piece.
    """
    sha256 = hashlib.sha256()
    async with store.get(key, etag=etag) as download:
        async for chunk in download.chunks():
            await asyncio.to_thread(sha256.update, chunk)
            if pace is not None:
                await pace(len(chunk))
    return sha256.hexdigest()


async def examine(
    store: Store, proof: Proof, *, deep: bool, pace: Callable[[int], Awaitable[None]] | None = None
) -> str:
    """Return what a remote copy is: `right`, `missing`, `mismatched`, or, of its bytes, `corrupt`.

    Raise StoreError where that cannot be found out.
    """
    try:
        if not is_as_proven(await store.head(proof.key), proof):
            return "mismatched"
        # What is only listed has no digest yet.
        is_read = deep and proof.method is not ProofMethod.LISTED
        if is_read and await read_sha256(store, proof.key, etag=proof.etag, pace=pace) != proof.sha256:
            return "corrupt"
    except NotFoundError:
        return "missing"
    except PreconditionError:
        return "mismatched"
    except CorruptError:
        return "corrupt"
    return "right"
