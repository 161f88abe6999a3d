"""The stores that the conformance suite runs over: how each is made, made again, and where it is known to fall short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tiering.store import Attributes
from tiering.stores.file import FileStore
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.store import Store


class Setup(Protocol):
    """A place for objects, empty at first, and the stores that open it."""

    checks_md5: bool
    """Whether a part with a wrong MD5 is refused."""

    async def again(self) -> Store:
        """Open the same place once more, as another process would."""

    async def add_foreign_upload(self) -> None:
        """Begin a multipart upload beside ours: in the same bucket, under another prefix."""

    async def close(self) -> None:
        """Close all stores."""


class MemorySetup:
    """One process is all that a memory store has: opening it again is the same store."""

    checks_md5 = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def again(self) -> Store:
        return self._store

    async def add_foreign_upload(self) -> None:
        """Nothing is beside a memory store."""

    async def close(self) -> None:
        await self._store.close()


class FileSetup:
    """A directory."""

    checks_md5 = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def again(self) -> Store:
        store = FileStore(self._directory / "cold")
        await store.prepare()
        return store

    async def add_foreign_upload(self) -> None:
        beside = FileStore(self._directory / "cold-beside")
        await beside.prepare()
        await beside.create_upload("foreign", Attributes())

    async def close(self) -> None:
        """Nothing is open."""
