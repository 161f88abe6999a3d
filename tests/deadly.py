"""The real daemon with a wound: its process kills itself, with SIGKILL, at the n-th passage of a named point.

    python tests/deadly.py kill "after put" 3 NOTE serve

Or it raises what nobody foresaw (`raise`), or whoever comes by, from the n-th on, hangs for ever (`hang`).

The product knows nothing of it: what the daemon is made of is wrapped by name, and then the same main runs as ever.
Every durable act and every side effect has a point before it and one after it, `before put` and `after put`; what
recovery does has names of its own, `before recovery trash link`. NOTE is the file in which it is written
down that the point was reached.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import pathlib
import signal
import sys
import threading
import time
from functools import wraps
from typing import TYPE_CHECKING, Any

import daemon.app
import daemon.life
import daemon.watchdog
import index.catalog
import index.commits
import index.connection
import index.ledger
import index.uploads
import tiering.accesses
import tiering.ageing
import tiering.cdn
import tiering.couriers
import tiering.demoter
import tiering.discovery
import tiering.expiry
import tiering.inbox
import tiering.inspector
import tiering.keeper
import tiering.landing
import tiering.mailbox
import tiering.manifest
import tiering.measurer
import tiering.meter
import tiering.migration
import tiering.neighbours
import tiering.orders
import tiering.prober
import tiering.promoter
import tiering.reader
import tiering.reconciler
import tiering.recovery
import tiering.registry
import tiering.rehash
import tiering.rekeyer
import tiering.scrubber
import tiering.sidecars
import tiering.sweeper
import tiering.thaw
import tiering.tiers
import tiering.trash
import tiering.tree
import tiering.uploader
from daemon.cli import run
from tiering.keys import RESERVED
from tiering.store import Unchanged
from tiering.stores.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

FOR_EVER = 1_000_000
IN_RECOVERY: contextvars.ContextVar[bool] = contextvars.ContextVar("in recovery", default=False)
LABEL: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("label", default=())

STORE = ("put", "head", "delete", "copy", "create_upload", "put_part", "complete", "abort", "list_parts")
COMMITS = (
    *("purged", "remember", "adopt_cold", "touch"),
    *("describe", "set_pinned", "forget_gone", "prune_events", "misplace", "placed"),
)
UPLOADS = {"begin": "begin_upload", "add_part": "record_part", "end": "end_upload"}
FUNCTIONS = (
    (tiering.demoter, "recheck", "recheck"),
    (tiering.demoter, "discard", "discard"),
    (tiering.registry, "move_to_trash", "remove take away"),
    (tiering.registry, "discard", "remove discard"),
    (tiering.recovery, "discard", "discard"),
    (tiering.trash, "sync_directory", "trash sync directory"),
    (tiering.landing, "sync_directory", "land sync directory"),
    (tiering.tree, "sync_directory", "tree sync directory"),
    (index.connection, "migrate", "migrate"),
)
"""Functions, where they are looked up, and what their points are called."""
TASKS = {
    "learning": (tiering.discovery.Discovery, "run"),
    "prober": (tiering.prober.Prober, "run"),
    "hints": (tiering.reconciler.Reconciler, "_follow_hints"),
    "revisits": (tiering.reconciler.Reconciler, "_look_again"),
    "scans": (tiering.reconciler.Reconciler, "_scan_repeatedly"),
    "touched files": (tiering.rehash.Rehasher, "run"),
    "keeper": (tiering.keeper.Keeper, "run"),
    "registry": (tiering.registry.Registry, "run"),
    "sweeper": (tiering.sweeper.Sweeper, "run"),
    "scrubber": (tiering.scrubber.Scrubber, "run"),
    "accesses": (tiering.accesses.Accesses, "run"),
    "inspector": (tiering.inspector.Inspector, "run"),
    "watchdog": (daemon.watchdog.Watchdog, "run"),
    "index": (index.catalog.Catalog, "watch"),
    "rekeyer": (tiering.rekeyer.Rekeyer, "run"),
    "neighbours": (tiering.neighbours.Neighbours, "run"),
    "sidecars": (tiering.sidecars.Sidecars, "run"),
    "measurer": (tiering.measurer.Measurer, "run"),
    "reader": (tiering.reader.Reader, "run"),
    "ageing": (tiering.ageing.Ageing, "run"),
    "meter": (tiering.meter.Meter, "run"),
    "expiry": (tiering.expiry.Expiry, "run"),
    "thaw": (tiering.thaw.Thaw, "run"),
    "inbox": (tiering.inbox.Inbox, "run"),
    "manifest": (tiering.manifest.Manifest, "run"),
    "mailbox": (tiering.mailbox.Mailbox, "run"),
    "invalidator": (tiering.cdn.Invalidator, "run"),
    "uploader": (tiering.uploader.Uploader, "run"),
    "upload": (tiering.couriers.Couriers, "_send"),
    "promotion": (tiering.promoter.Promoter, "_promote"),
    "order": (tiering.orders.Orders, "_work_off"),
    "demotion": (tiering.demoter.Demoter, "_demote"),
    "request": (tiering.tiers.Tiers, "open"),
}
"""Coroutines in which something may go wrong that nobody foresaw."""
CALLS: Mapping[Any, Mapping[str, str]] = {
    tiering.trash: {"rename": "trash rename", "link": "trash link", "unlink": "trash unlink"},
    tiering.landing: {
        "posix_fallocate": "land reserve",
        "pwrite": "land write",
        "fchmod": "land chmod",
        "fsync": "land sync",
        "link": "land link",
    },
    tiering.tree: {"mkdir": "tree mkdir", "rename": "tree mark"},
}
"""What modules ask of the kernel."""


class PlantedError(Exception):
    """What nobody foresaw."""


class Wound:
    """Counts the passages of one point, and acts at the n-th."""

    def __init__(self, act: str, point: str, nth: int, note: Path) -> None:
        self._act = act
        self._point = point
        self._left = nth
        self._note = note
        self._lock = threading.Lock()

    def passing(self, point: str) -> None:
        """Pass a point, or not."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            left = self._left
            if not left:
                self._note.write_text(point, encoding="utf-8")
        if self._act == "hang" and left <= 0:
            time.sleep(FOR_EVER)
        elif self._act == "raise" and not left:
            raise PlantedError(point)
        elif not left:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(FOR_EVER)


class Kernel:
    """The module `os`, with points around some of its functions."""

    def __init__(self, calls: Mapping[str, Callable[..., Any]]) -> None:
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def named(name: str) -> str:
    """Return what a point is called where we are."""
    return f"recovery {name}" if IN_RECOVERY.get() else name


def around(wound: Wound, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function its two points."""

    @wraps(call)
    def walk(*args: Any, **given: Any) -> Any:
        wound.passing(f"before {named(name)}")
        result = call(*args, **given)
        wound.passing(f"after {named(name)}")
        return result

    return walk


def arm(wound: Wound) -> None:
    """Put every point in its place."""
    for module, attribute, name in FUNCTIONS:
        setattr(module, attribute, around(wound, name, getattr(module, attribute)))
    for module, names in CALLS.items():
        calls = {call: around(wound, name, getattr(os, call)) for call, name in names.items()}
        module.os = Kernel(calls)
    tiering.landing.Landing._create = around(wound, "land create", tiering.landing.Landing._create)
    for name, (owner, method) in TASKS.items():
        setattr(owner, method, _task(wound, name, getattr(owner, method)))
    _arm_set_aside(wound)
    _arm_recovery()
    _arm_store(wound)
    _arm_commits(wound)


def _arm_set_aside(wound: Wound) -> None:
    rename = pathlib.Path.rename

    def walk(self: Path, target: Path) -> Path:
        return around(wound, "set aside", rename)(self, target) if ".broken-" in str(target) else rename(self, target)

    pathlib.Path.rename = walk


def _task(wound: Wound, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    async def walk(*args: Any, **given: Any) -> Any:
        wound.passing(f"before {name}")
        return await call(*args, **given)

    return walk


def _arm_recovery() -> None:
    recover = daemon.life.recover

    async def walk(*args: Any, **given: Any) -> int:
        token = IN_RECOVERY.set(True)
        try:
            return await recover(*args, **given)
        finally:
            IN_RECOVERY.reset(token)

    daemon.life.recover = walk


def _arm_store(wound: Wound) -> None:
    S3Store.put_blocking = _blocking_request(wound, S3Store.put_blocking)
    for name in STORE:
        setattr(S3Store, name, _request(wound, name, getattr(S3Store, name)))
    get = S3Store.get

    @contextlib.asynccontextmanager
    async def walk(self: S3Store, key: str, **given: Any) -> AsyncIterator[Any]:
        wound.passing(f"before {_addressed('get', key)}")
        async with get(self, key, **given) as download:
            yield download
        wound.passing(f"after {_addressed('get', key)}")

    S3Store.get = walk


def _blocking_request(wound: Wound, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def walk(self: S3Store, key: str, *args: Any) -> Any:
        return around(wound, _addressed("put", key), call)(self, key, *args)

    return walk


def _request(wound: Wound, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    async def walk(self: S3Store, key: str, *args: Any, **given: Any) -> Any:
        replaces = name == "put" and any(isinstance(each, Unchanged) for each in (*args, *given.values()))
        point = _addressed("replace" if replaces else name, key)
        wound.passing(f"before {point}")
        result = await call(self, key, *args, **given)
        wound.passing(f"after {point}")
        return result

    return walk


def _addressed(name: str, key: str) -> str:
    return f"probe {name}" if RESERVED in key else name


def _arm_commits(wound: Wound) -> None:
    """Name each commit after the events that it holds, or after the call that wants it."""
    catalog: Any = index.catalog.Catalog
    commits: Any = index.commits.Commits
    for name in COMMITS:
        _label(catalog, name, lambda *_, name=name, **__: (name,))
    for name, point in UPLOADS.items():
        _label(index.uploads.Uploads, name, lambda *_, point=point: (point,))
    _label(catalog, "apply", lambda *changes, **_: tuple(change.event for change in changes))
    _label(catalog, "apply_each", lambda batch: tuple(change.event for changes in batch for change in changes))
    _label(catalog, "claim", lambda *_, **__: ("claimed",))
    _label(catalog, "observe", _observed)
    share, commit, summarise = commits.share, commits._commit, catalog._summarise
    held = threading.local()

    async def share_labelled(self: Any, work: Callable[..., Any], **how: Any) -> Any:
        labels = [named(label) for label in LABEL.get()]

        def labelled(raw: Any) -> Any:
            result = work(raw)
            # A claim that found nothing is none.
            held.labels += [label for label in labels if result or label != "claimed"]
            return result

        return await share(self, labelled, **how)

    def commit_passing(self: Any, works: Any, connection: Any) -> Any:
        held.labels = []
        result = commit(self, works, connection)
        for label in held.labels:
            wound.passing(f"after commit {label}")
        return result

    def summarise_passing(self: Any, raw: Any) -> Any:
        # The last thing before COMMIT.
        result = summarise(self, raw)
        for label in held.labels:
            wound.passing(f"before commit {label}")
        return result

    commits.share, commits._commit, catalog._summarise = share_labelled, commit_passing, summarise_passing


def _label(catalog: Any, name: str, labels: Callable[..., tuple[str, ...]]) -> None:
    call = getattr(catalog, name)

    @wraps(call)
    async def walk(self: Any, *args: Any, **given: Any) -> Any:
        token = LABEL.set(labels(*args, **given))
        try:
            return await call(self, *args, **given)
        finally:
            LABEL.reset(token)

    setattr(catalog, name, walk)


def _observed(batch: Any, **_: Any) -> tuple[str, ...]:
    kinds = (batch.discovered and "discovered", batch.changes and "changed", batch.refreshed and "refreshed")
    return tuple(kind for kind in kinds if kind)


def serve(
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    wound: tuple[str, str, int, Path] | None,
    is_a_day_later: bool,  # noqa: FBT001 - handed over from process to process
) -> None:
    """Be the daemon, in a process that was forked for it; with a wound, if one is given."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    _forgo_leases()
    if is_a_day_later:
        tiering.sweeper.ORPHAN_SECONDS = 0.0
    if wound is not None:
        arm(Wound(*wound))
    sys.exit(run(["serve"]))


def _forgo_leases() -> None:
    """Nobody held a lease before this start: else nothing could be demoted for a minute. What waits looks soon."""
    daemon.app.LEASE_SECONDS = 0.0
    tiering.rekeyer.BUSY_SECONDS = 0.1
    tiering.migration.LOOK_SECONDS = 0.05


def main() -> int:
    """Arm the point, and be the daemon."""
    act, point, nth, note, *words = sys.argv[1:]
    _forgo_leases()
    arm(Wound(act, point, int(nth), pathlib.Path(note)))
    return run(words)


if __name__ == "__main__":
    sys.exit(main())
