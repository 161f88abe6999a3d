"""A short life without a socket: what a command does by itself where no daemon runs, with the daemon's own parts.

It takes the locks that a daemon takes, so that there are never two. Nothing goes on in the background: no asset is
demoted, and nothing is uploaded but what was asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from daemon import bucketing, config, sources
from daemon.app import Parts
from daemon.cli_options import RefusedError
from daemon.instance import AlreadyRunningError, hold_lock
from daemon.notify import Notifier
from daemon.opening import ForeignStoreError, UnusableStoreError, mark_root, open_catalog, open_store
from daemon.seal import is_sealed, seal
from daemon.wire import TierdError
from index.errors import CatalogError
from tiering.file_lease import ignore_sigio
from tiering.recovery import recover
from tiering.tree import PRIVATE, FileError, Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from daemon.settings import Settings

T = TypeVar("T")

FILE_THREADS: Final = 12
_OPTIONS: Final = {"TIERD_CACHE__ROOT": "--cache-dir", "TIERD_STORE__URL": "--store"}


class Ground(NamedTuple):
    """What a short life stands on; `is_usual` where it is what the daemon stands on."""

    settings: Settings
    is_usual: bool


def ground(named: Path | None, *, root: Path | None = None, store: str | None = None) -> Ground:
    """Return the configuration, with another cache root or store if given. Raise ConfigError.

    An index belongs to one root and one store: any other two have one of their own, beside the configured one.
    """
    overrides: dict[str, Any] = {}
    if root is not None:
        overrides["TIERD_CACHE__ROOT"] = str(root.absolute())
    if store is not None:
        overrides["TIERD_STORE__URL"] = store
    try:
        found = config.load(named, {**os.environ, **overrides})
    except config.ConfigError as error:
        # The variables are ours: who asked knows them as options.
        told = (
            each._replace(where=_OPTIONS[each.where]) if each.where in overrides else each for each in error.problems
        )
        raise config.ConfigError(tuple(told)) from error
    is_usual = True
    if overrides:
        usual, _ = config.judge(sources.find_file(named, os.environ), os.environ)
        if (usual.cache.root, usual.store.url) != (found.cache.root, found.store.url):
            mark = hashlib.sha256(f"{found.cache.root}\0{found.store.url}".encode()).hexdigest()[:8]
            is_usual = False
            path = found.index.path.with_name(f"{found.index.path.name}.{mark}")
            found = found.model_copy(update={"index": found.index.model_copy(update={"path": path})})
    return Ground(found, is_usual)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Do the work. Raise TierdError for whatever stands in its way."""
    try:
        return bucketing.finish(work)
    except (AlreadyRunningError, ForeignStoreError, UnusableStoreError) as error:
        raise RefusedError(str(error), "nothing was done") from error
    except (CatalogError, FileError) as error:
        raise TierdError("file", str(error), "", HTTPStatus.INTERNAL_SERVER_ERROR) from error


@asynccontextmanager
async def alone(on: Ground) -> AsyncIterator[Parts]:
    """Give the parts of a daemon that does nothing by itself. Raise as `finish` expects it."""
    settings = on.settings
    ignore_sigio()
    files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files")
    asyncio.get_running_loop().set_default_executor(files)
    settings.index.path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for path in (settings.cache.root / PRIVATE / "lock", Path(f"{settings.index.path}.lock")):
            locks.enter_context(hold_lock(path))
        tree = Tree(settings.cache.root, ignored=settings.cache.ignore)
        tree.prepare()
        sealed = on.is_usual and is_sealed(tree, settings.index.path)
        async with AsyncExitStack() as stack:
            catalog = await open_catalog(settings.index.path, store_url=settings.store.url)
            stack.push_async_callback(catalog.close)
            store = await open_store(settings, catalog, tree)
            stack.push_async_callback(store.close)
            root_id, brand_new = await mark_root(catalog, tree)
            await recover(catalog, tree, clock=time.time)
            try:
                async with asyncio.TaskGroup() as group:
                    yield Parts(
                        settings,
                        catalog,
                        store,
                        tree,
                        group,
                        root_id=root_id,
                        brand_new=brand_new,
                        sealed=sealed,
                        notifier=Notifier(None),
                    )
            except BaseExceptionGroup as errors:
                raise _first(errors) from None
        if on.is_usual:
            seal(tree, settings.index.path)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
