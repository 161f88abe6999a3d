"""Whether the bucket serves: an object of ours is written, read and removed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from tiering.keys import RESERVED
from tiering.store import Attributes, CorruptError, StoreError

if TYPE_CHECKING:
    from tiering.store import Store

_BODY: Final = b"tierd was here, and removes this at once.\n"


async def write_read_delete(store: Store) -> None:
    """Raise StoreError with the first of the three that fails; what was written is removed as far as that works."""
    key = f"{RESERVED}trial-{uuid.uuid4().hex}"
    await store.put(key, _BODY, Attributes("text/plain"))
    try:
        async with store.get(key) as download:
            if b"".join([chunk async for chunk in download.chunks()]) != _BODY:
                raise CorruptError(f"{key}: what is read is not what was written", key=key)
    finally:
        await store.delete(key)


async def failure(store: Store) -> str:
    """Return what is wrong, for people; nothing where all is well."""
    try:
        await write_read_delete(store)
    except StoreError as error:
        return error.advice
    return ""
