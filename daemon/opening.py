"""Opening what a daemon stands on: the index, begun anew where it is broken, the store, and the marked root."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from index.catalog import Catalog
from index.errors import CorruptIndexError
from index.lifecycle import State
from tiering.store import StoreError
from tiering.stores.azure import AzureStore
from tiering.stores.azure_dialect import AzureSettings
from tiering.stores.file import FileStore
from tiering.stores.gcs import GcsStore
from tiering.stores.gcs_dialect import GcsSettings
from tiering.stores.memory import MemoryStore
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings, addressed
from tiering.tree import FileError

if TYPE_CHECKING:
    from daemon.settings import Settings
    from tiering.store import Store
    from tiering.tree import Tree

log = logging.getLogger(__name__)

ROOT: Final = "root"
STORE: Final = "store"
"""The names under which an index remembers its root's id and its store's URL."""

_ELSEWHERE: Final = (State.COLD, State.PROMOTING, State.DAMAGED, State.DEMOTING)
"""The states of assets that may not be on disk."""


class UnusableStoreError(Exception):
    """No store can be made of what is configured."""


class ForeignStoreError(Exception):
    """The index knows of assets in another store than the one that is configured."""


async def open_catalog(path: Path, *, store_url: str) -> Catalog:
    """Open the index. Raise ForeignStoreError where it knows of assets that are in another store only.

    An index belongs to its store: what it believes to be proven was proven there, and nowhere else. One that is about
    another store, or that SQLite does not recognise, is set aside, never deleted; a new one learns from both tiers.
    """
    catalog = await _open_sound(path)
    known = await catalog.recall(STORE)
    if known is None or (known == store_url and not store_url.startswith("memory:")):
        return catalog
    elsewhere = sum(catalog.totals.assets[state] for state in _ELSEWHERE)
    await catalog.close()
    if elsewhere:
        raise ForeignStoreError(
            f"the index {path} knows of {elsewhere} assets that are only in the store {known}, as it was at an earlier "
            f"start; promote them there first, or give {store_url} an index of its own ([index] path)"
        )
    aside = set_aside(path, "other-store")
    log.warning(
        "the index was about the store %s; it is %s now, and a new one is begun for %s", known, aside, store_url
    )
    return await _open_sound(path)


async def _open_sound(path: Path) -> Catalog:
    try:
        return await Catalog.open(path)
    except CorruptIndexError as error:
        log.error("the index is broken, and is rebuilt now; it is kept as %s (%s)", set_aside(path, "broken"), error)  # noqa: TRY400 - a traceback would say nothing more
        return await Catalog.open(path)


def set_aside(path: Path, why: str) -> Path:
    """Rename a closed database with its log and shared memory: one without the others is worth nothing."""
    aside = path.with_name(f"{path.name}.{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


async def mark_root(catalog: Catalog, tree: Tree) -> tuple[str, bool]:
    """Return the id that the root must carry, and whether both root and index are brand new.

    An index that knows assets never marks another root: an unmounted disk must not look new. One that knows none was
    begun before its root was configured.
    """
    known = await catalog.recall(ROOT)
    if known is not None and any(catalog.totals.assets.values()):
        return known, False
    marker = tree.read_marker()
    root_id = marker or uuid.uuid4().hex
    if marker is None:
        tree.write_marker(root_id)
    await catalog.remember(ROOT, root_id)
    return root_id, marker is None


async def open_store(settings: Settings, catalog: Catalog, tree: Tree) -> Store:
    """Open the cold tier that the configuration names; it need not be reachable yet. Raise UnusableStoreError."""
    known = await catalog.recall(STORE)
    is_noted = settings.store.url in tree.stores()
    try:
        store = await connect(settings, is_new=known is None and not is_noted)
    except StoreError as error:
        raise UnusableStoreError(f"the store {settings.store.url} cannot be used: {error.advice}") from error
    # Written only where it is new: a start needs no room for the index.
    if known != settings.store.url:
        await catalog.remember(STORE, settings.store.url)
    if not is_noted and settings.store.directory is not None:
        await asyncio.to_thread(_note_store, tree, settings.store.url)
    return store


def _note_store(tree: Tree, url: str) -> None:
    try:
        tree.note_store(url)
    except FileError as error:
        log.warning("if the index is lost, a store whose disk is not mounted will be taken for a new one: %s", error)


async def connect(settings: Settings, *, is_new: bool) -> Store:
    """Open the store. A directory is made one only where it `is_new`."""
    match settings.store.scheme:
        case "memory":
            log.warning("the store is memory: everything in it is gone when the daemon stops")
            return MemoryStore(settings.store.url)
        case "s3":
            return await connect_bucket(settings)
        case "gs":
            return GcsStore(_gcs(settings))
        case "az":
            return AzureStore(_azure(settings))
        case _:
            return await _open_directory(Path(settings.store.directory or ""), settings.store.url, is_new=is_new)


async def connect_bucket(settings: Settings) -> S3Store:
    """Open the bucket that an s3:// URL names. Nothing is sent yet, but to find out how a custom one is addressed."""
    wanted = _bucket(settings)
    if settings.store.provider == "custom" and wanted.addressing_style is None:
        wanted = await addressed(wanted)
    return await S3Store.connect(wanted)


async def _open_directory(directory: Path, url: str, *, is_new: bool) -> Store:
    """Make a directory a store when this root first hears of it, and never again: a disk may not be mounted."""
    shelf = FileStore(directory, url=url)
    if is_new:
        try:
            await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableStoreError(
                f"the store's directory {directory} cannot be made ({error.strerror}); mount its disk, "
                "give the daemon's user the right to write there, or set [store] url to another place"
            ) from error
        await shelf.prepare()
    return shelf


def _bucket(settings: Settings) -> S3Settings:
    store = settings.store
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    return S3Settings(
        bucket=bucket,
        prefix=prefix,
        endpoint=store.endpoint,
        region=store.region,
        profile=store.profile,
        addressing_style=store.addressing_style,
        storage_class=store.storage_class,
        encryption=store.encryption,
        concurrency=settings.upload.concurrency,
    )


def _gcs(settings: Settings) -> GcsSettings:
    store = settings.store
    bucket, _, prefix = store.url.removeprefix("gs://").partition("/")
    return GcsSettings(
        bucket=bucket,
        prefix=prefix,
        endpoint=store.endpoint,
        storage_class=store.storage_class,
        concurrency=settings.upload.concurrency,
    )


def _azure(settings: Settings) -> AzureSettings:
    store = settings.store
    container, _, prefix = store.url.removeprefix("az://").partition("/")
    return AzureSettings(
        container=container,
        prefix=prefix,
        endpoint=store.endpoint,
        storage_class=store.storage_class,
        concurrency=settings.upload.concurrency,
    )


def shares_file_system(settings: Settings) -> bool:
    """Whether the cold tier lies on the cache root's own file system."""
    directory = settings.store.directory
    if directory is None or not directory.exists():
        return False
    return directory.stat().st_dev == settings.cache.root.stat().st_dev
