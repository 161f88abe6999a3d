"""A daemon's life: locked, opened, set going in one task group, and brought to an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon import journal
from daemon.app import COURIERS, Parts
from daemon.instance import AlreadyRunningError, hold_lock
from daemon.memory import return_freed_memory, spare_the_collector
from daemon.notify import Notifier
from daemon.opening import ForeignStoreError, UnusableStoreError, mark_root, open_catalog, open_store, set_aside
from daemon.owners import foreign_owners
from daemon.patience import patience
from daemon.reloading import Reloading
from daemon.seal import is_sealed, seal
from daemon.sockets import SocketError, exposed, take_passed
from daemon.stopping import CUT_SECONDS, Stopping, end_without
from index.errors import CorruptIndexError, IndexFaultError
from tiering.file_lease import ignore_sigio
from tiering.recovery import recover
from tiering.tree import PRIVATE, Tree

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from daemon.settings import Settings

log = logging.getLogger(__name__)

FAILED: Final = 1
REFUSED: Final = 5
FILE_THREADS: Final = 12
"""Worker threads for files and hashes: some may wait for the disk without keeping others from it."""


def serve(settings: Settings, *, reload: Callable[[], Settings]) -> int:
    """Run the daemon until it is told to stop; `reload` reads the settings anew. Return the exit code."""
    journal.configure(settings.log.level, settings.log.format)
    obstacles = foreign_owners()
    if sys.getfilesystemencoding() != "utf-8":
        obstacles.append("file names are not decoded as UTF-8 here; set PYTHONUTF8=1")
    if obstacles:
        log.error("not started: %s", "; ".join(obstacles))
        return REFUSED
    ignore_sigio()
    return_freed_memory()
    code = 0
    try:
        settings.index.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locks:
            for path in (settings.cache.root / PRIVATE / "lock", Path(f"{settings.index.path}.lock")):
                locks.enter_context(hold_lock(path))
            passed = take_passed(os.environ)
            while not _live_once(settings, reload, passed):
                pass
    except* IndexFaultError as errors:
        log.error("ended, since the index cannot be used; the next start recovers: %s", _first(errors))  # noqa: TRY400 - the message says it all
        code = FAILED
    except* (AlreadyRunningError, ForeignStoreError, SocketError, UnusableStoreError) as errors:
        log.error("not started: %s", _first(errors))  # noqa: TRY400 - the message says it all
        code = REFUSED
    end_without(COURIERS, code)
    return code


def _live_once(settings: Settings, reload: Callable[[], Settings], passed: socket.socket | None) -> bool:
    """Live until the end, or until the index turns out to be broken: then it is set aside, and life begins anew."""
    try:
        asyncio.run(_live(settings, reload, passed))
    except* CorruptIndexError as errors:
        aside = set_aside(settings.index.path, "broken")
        log.error("the index is broken, and is rebuilt now; it is kept as %s (%s)", aside, _first(errors))  # noqa: TRY400 - a traceback would say nothing more
        ended = False
    else:
        ended = True
    return ended


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group of groups: the others followed from it, or say the same."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _live(settings: Settings, reload: Callable[[], Settings], passed: socket.socket | None) -> None:
    """Open what the daemon stands on, live, and close it, in this order whatever happens."""
    files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files")
    asyncio.get_running_loop().set_default_executor(files)
    tree = Tree(settings.cache.root, ignored=settings.cache.ignore)
    tree.prepare()
    sealed = is_sealed(tree, settings.index.path)
    notifier = Notifier.from_environment(os.environ)
    async with AsyncExitStack() as stack:
        async with patience(notifier):
            catalog = await open_catalog(settings.index.path, store_url=settings.store.url)
            stack.push_async_callback(catalog.close)
            store = await open_store(settings, catalog, tree)
            stack.push_async_callback(store.close)
            root_id, brand_new = await mark_root(catalog, tree)
            recovered = await recover(catalog, tree, clock=time.time)
        if recovered:
            log.info("recovered assets that the last stop interrupted", extra={"count": recovered})
        stopping = Stopping()
        try:
            async with asyncio.TaskGroup() as group:
                parts = Parts(
                    settings,
                    catalog,
                    store,
                    tree,
                    group,
                    root_id=root_id,
                    brand_new=brand_new,
                    sealed=sealed,
                    notifier=notifier,
                )
                stack.enter_context(parts.trouble.listening())
                stack.callback(parts.couriers.close)
                stack.push_async_callback(parts.server.stop)
                stack.push_async_callback(parts.accesses.flush)
                reloading = Reloading(settings, reload, apply=parts.adjust, notifier=notifier)
                stopping.install(reload=reloading.reload)
                await _begin(parts, stopping, notifier, passed)
        except asyncio.CancelledError:
            if not stopping.requested.is_set():
                raise
            stopping.hear_no_more()
            log.info("stopped")
    seal(tree, settings.index.path)


async def _begin(parts: Parts, stopping: Stopping, notifier: Notifier, passed: socket.socket | None) -> None:
    """Open the sockets and set everything going."""
    api, metrics = parts.settings.api, parts.settings.metrics
    if passed is None:
        await parts.server.open_unix(api.socket, mode=api.mode, group=api.group)
        if why := exposed(api.socket):
            log.warning("others can take the place of the socket: %s; set [api] socket to a directory of ours", why)
    else:
        _compare(passed, api.socket)
        await parts.server.take_over(passed.dup())  # A life closes its own; the next one needs it, too.
    if metrics.listen is not None:
        await parts.server.open_tcp(metrics.listen.host, metrics.listen.port)
    if parts.settings.ui.listen is not None:
        await parts.server.open_page(parts.settings.ui.listen.host, parts.settings.ui.listen.port)
    for name, work in parts.work().items():
        parts.group.create_task(work, name=name)
    uploads = parts.group.create_task(parts.uploader.run(), name="uploader")
    parts.group.create_task(_end(parts, stopping, notifier, uploads, asyncio.current_task()), name="end")
    spare_the_collector()
    _announce(parts)
    notifier.ready()


def _compare(passed: socket.socket, configured: Path) -> None:
    """Warn where the command line would look for the socket in another place."""
    if passed.getsockname() != str(configured):
        log.warning(
            "listening on %s, as the service manager says, but [api] socket is %s: make them the same",
            passed.getsockname(),
            configured,
        )


async def _end(
    parts: Parts,
    stopping: Stopping,
    notifier: Notifier,
    uploads: asyncio.Task[None],
    life: asyncio.Task[object] | None,
) -> None:
    """Once told to stop, finish what is being uploaded, answer who waits, and cancel the rest with its task group."""
    await stopping.requested.wait()
    notifier.stopping(within=CUT_SECONDS)
    parts.uploader.stop()
    cut = asyncio.ensure_future(stopping.cut.wait())
    await asyncio.wait([uploads, cut], return_when=asyncio.FIRST_COMPLETED)
    cut.cancel()
    await parts.server.stop()
    if life is not None:
        life.cancel()


def _announce(parts: Parts) -> None:
    """Say in a few lines where everything is and what to try next."""
    settings = parts.settings
    log.info("ready")
    log.info("media in      %s: drop files here", settings.cache.root)
    log.info("store         %s", settings.store.url)
    log.info("index         %s", settings.index.path)
    log.info("socket        %s: try `tierd status`", settings.api.socket)
    if settings.metrics.listen is not None:
        log.info("metrics       http://%s/metrics", settings.metrics.listen)
    if settings.ui.listen is not None:
        log.info("page          http://%s/", settings.ui.listen)
