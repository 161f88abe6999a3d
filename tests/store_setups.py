"""The stores that the conformance suite runs over: how each is made, and where it is known to fall short."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from tiering.observer import SilentObserver
from tiering.store import Attributes
from tiering.stores.azure import AzureStore
from tiering.stores.azure_dialect import AzureSettings
from tiering.stores.faulty import FaultyStore
from tiering.stores.file import FileStore
from tiering.stores.gcs import GcsStore
from tiering.stores.gcs_dialect import GcsSettings
from tiering.stores.memory import MemoryStore
from tiering.stores.observed import ObservedStore
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings, connected
from tiering.stores.s3_requests import Requests

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.store import Store


class Setup(Protocol):
    """A place for objects, empty at first, and the stores that open it."""

    checks_md5: bool
    """Whether a part with a wrong MD5 is refused. moto takes it."""
    lists_in_key_order: bool
    """Whether a listing is in the order of the keys' bytes. SeaweedFS's goes by directory: `a/b` before `a-b`;
    Azurite's by UTF-16."""

    knows_uploads: bool
    """Whether it dates uploads, and tells one that is not there from a fault of its own. moto does neither."""

    tells_parts: bool
    """Whether the ETag of an object that was made of parts tells of their MD5s. Only S3 has such."""

    copies_parts: bool
    """Whether a copy of a part has the MD5 of its bytes. SeaweedFS tells that of what it makes of them inside."""

    async def again(self) -> Store:
        """Open the same place once more, as another process would."""

    async def add_foreign_upload(self) -> None:
        """Begin a multipart upload beside ours: in the same bucket, under another prefix."""

    async def close(self) -> None:
        """Close all stores."""


class MemorySetup:
    """One process is all that a memory store has: opening it again is the same store."""

    checks_md5 = True
    lists_in_key_order = True
    knows_uploads = True
    tells_parts = True
    copies_parts = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def again(self) -> Store:
        """Return the only one."""
        return self._store

    async def add_foreign_upload(self) -> None:
        """Nothing is beside a memory store."""

    async def close(self) -> None:
        """Close it."""
        await self._store.close()


class CoatedSetup(MemorySetup):
    """A memory store that wears both coats."""

    def __init__(self) -> None:
        super().__init__()
        self.coated = ObservedStore(FaultyStore(self._store), SilentObserver())

    async def again(self) -> Store:
        """Return the only one, coated."""
        return self.coated


class FileSetup:
    """A directory."""

    checks_md5 = True
    lists_in_key_order = True
    knows_uploads = True
    tells_parts = True
    copies_parts = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def again(self) -> Store:
        """Open the directory."""
        store = FileStore(self._directory / "cold")
        await store.prepare()
        return store

    async def add_foreign_upload(self) -> None:
        """Begin one in another directory."""
        beside = FileStore(self._directory / "cold-beside")
        await beside.prepare()
        await beside.create_upload("foreign", Attributes())

    async def close(self) -> None:
        """Nothing is open."""


BUCKET = "conformance"


class S3Setup:
    """A prefix of its own in a bucket that all tests share: SeaweedFS takes a second to make one."""

    def __init__(self, endpoint: str, *, is_moto: bool) -> None:
        self.checks_md5 = not is_moto
        self.lists_in_key_order = is_moto
        self.knows_uploads = not is_moto
        self.tells_parts = True
        self.copies_parts = is_moto
        self.settings = S3Settings(
            bucket=BUCKET, prefix=f"deep/{uuid.uuid4().hex[:12]}", endpoint=endpoint, region="us-east-1"
        )
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def again(self) -> Store:
        """Connect."""
        if self._client is None:
            connection = await self._stack.enter_async_context(connected(self.settings))
            self._client = connection.client
            with suppress(self._client.exceptions.BucketAlreadyOwnedByYou, self._client.exceptions.BucketAlreadyExists):
                await self._client.create_bucket(Bucket=BUCKET)
            return S3Store(Requests(connection), AsyncExitStack())
        store = await S3Store.connect(self.settings)
        self._stack.push_async_callback(store.close)
        return store

    async def add_foreign_upload(self) -> None:
        """Begin one under a prefix that only starts like ours."""
        await self._client.create_multipart_upload(Bucket=BUCKET, Key=f"{self.settings.prefix}-beside/foreign")

    async def close(self) -> None:
        """Disconnect."""
        await self._stack.aclose()


class GcsSetup:
    """A prefix of its own in a bucket of an emulator."""

    checks_md5 = True
    lists_in_key_order = True
    knows_uploads = True
    tells_parts = False
    copies_parts = True

    def __init__(self, endpoint: str) -> None:
        self.settings = GcsSettings(bucket=BUCKET, prefix=f"deep/{uuid.uuid4().hex[:12]}", endpoint=endpoint)
        self._opened: list[Store] = []

    async def again(self) -> Store:
        """Connect."""
        return self._open(self.settings)

    async def add_foreign_upload(self) -> None:
        """Begin one under a prefix that only starts like ours."""
        beside = self._open(replace(self.settings, prefix=f"{self.settings.prefix}-beside"))
        await beside.create_upload("foreign", Attributes())

    async def close(self) -> None:
        """Disconnect."""
        for store in self._opened:
            await store.close()

    def _open(self, settings: GcsSettings) -> Store:
        store = GcsStore(settings)
        self._opened.append(store)
        return store


class AzureSetup:
    """A prefix of its own in a container of an emulator."""

    checks_md5 = True
    lists_in_key_order = False
    knows_uploads = True
    tells_parts = False
    copies_parts = True

    def __init__(self, endpoint: str) -> None:
        self.settings = AzureSettings(container=BUCKET, prefix=f"deep/{uuid.uuid4().hex[:12]}", endpoint=endpoint)
        self._opened: list[Store] = []

    async def again(self) -> Store:
        """Connect."""
        return self._open(self.settings)

    async def add_foreign_upload(self) -> None:
        """Begin one under a prefix that only starts like ours."""
        beside = self._open(replace(self.settings, prefix=f"{self.settings.prefix}-beside"))
        await beside.create_upload("foreign", Attributes())

    async def close(self) -> None:
        """Disconnect."""
        for store in self._opened:
            await store.close()

    def _open(self, settings: AzureSettings) -> Store:
        store = AzureStore(settings)
        self._opened.append(store)
        return store
