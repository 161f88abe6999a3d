"""A program that lives lives: each a core on a place of its own, in a process of its own, at whose calls faults fall.

It reads one request a line and answers with one: `{"place": directory, "act": "live" or "recover", "thread": "files"
or "index", "strace": [options], "cut": whether the power fails at the end}`. Everything is imported once; a life is
a fork. All file work of a life is done by one thread and SQLite's by another, so that strace can follow one of the
two, and the k-th call of a kind is the same one in every life.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from core import Clock, Core, Rules
from power import Power
from trees import IGNORED

from daemon.opening import open_catalog
from daemon.problem import as_api_error
from index import commits
from index.asset import RelPath
from index.connection import Connection
from index.errors import CatalogError
from index.lifecycle import IN_FLIGHT, State
from tiering.file_lease import ignore_sigio
from tiering.stores.file import FileStore
from tiering.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from index.asset import Asset

LIFE_SECONDS = 20
"""After which a life that has not ended is one that hangs."""


PATIENCE_SECONDS = 0.3
"""How long something may wait for room before it counts as waiting for ever."""


class DegradedError(Exception):
    """Nothing more happens, and the index says why."""


class Inline(ThreadPoolExecutor):
    """Does work at once, in the thread that asks for it."""

    def submit(self, fn: Any, /, *args: Any, **named: Any) -> Future[Any]:
        """See Executor."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **named))
        except BaseException as error:  # noqa: BLE001 - it is the asker's to deal with
            future.set_exception(error)
        return future


@dataclass
class Report:
    """What a life said of itself: the state of each asset at its end, what went wrong, and what nobody foresaw."""

    states: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def attempt(self, what: str, core: Core, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what the work returns, None where it failed as it may. Raise DegradedError where it waits for room."""
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait({task}, timeout=PATIENCE_SECONDS))[0]:
            if core.catalog.is_full:
                # What it does to end well may wait for room, too: a stop waits for that no longer than for this.
                while not task.done():
                    task.cancel()
                    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
                raise DegradedError(f"{what} waits for room for the index")
        try:
            return await task
        except Exception as error:  # noqa: BLE001 - to tell them apart is what this is for
            self.note(what, error)

    def note(self, what: str, error: BaseException) -> None:
        """Remember a failure."""
        foreseen = isinstance(error, CatalogError) or (isinstance(error, Exception) and as_api_error(error) is not None)
        (self.failures if foreseen else self.unforeseen).append(f"{what}: {error!r}")


class Life:
    """Start, take in, upload, demote, read; then start over with what failed, and end."""

    def __init__(self, place: Path, report: Report) -> None:
        self._place = place
        self._report = report
        self._files = json.loads((place / "files.json").read_text())

    async def live(self) -> None:
        """Go through everything, whatever fails."""
        async for core in self._core():
            for _ in range(2):
                await self._report.attempt("scan", core, core.scan())
                await self._report.attempt("upload", core, core.upload_all())
            for asset in await self._assets(core):
                if asset.state is State.REPLICATED:
                    await self._report.attempt("demote", core, core.demoter.demote(asset, reason="request"))
            await self._read_all(core)
            await self._tell(core)

    async def recover(self) -> None:
        """Start once more, without faults: everything must come to rest, and be right."""
        async for core in self._core():
            for _ in range(2):
                await core.scan()
                await core.upload_all()
            await self._read_all(core)
            await core.scan()
            await core.upload_all()
            await self._tell(core)
            for asset in await core.assets():
                if asset.state in IN_FLIGHT or (asset.path in self._files and asset.state is not State.REPLICATED):
                    self._report.wrong.append(f"{asset.path} is {asset.state} ({asset.failure})")
            if core.in_trash():
                self._report.wrong.append("the trash is not empty")

    async def _core(self) -> AsyncIterator[Core]:
        """Start as the daemon does, with all that it may die of."""
        ignore_sigio()
        catalog = await open_catalog(self._place / "index.db", store_url="file:cold")
        try:
            store = FileStore(self._place / "cold", url="file:cold")
            if await catalog.recall("store") is None:
                (self._place / "cold").mkdir(exist_ok=True)
                await store.prepare()
                await _begun(catalog.remember("store", "file:cold"))
            tree = Tree(self._place / "media", ignored=IGNORED)
            tree.prepare()
            if tree.read_marker() is None:
                tree.write_marker("root")
            async with asyncio.TaskGroup() as group:
                core = Core(tree, catalog, store, group, clock=Clock(), rules=Rules())
                if await self._report.attempt("recover", core, core.recover()) is not None:
                    yield core
                    await self._report.attempt("end", core, _landed(core))
        finally:
            await catalog.close()

    async def _assets(self, core: Core) -> list[Asset]:
        return await self._report.attempt("look", core, core.assets()) or []

    async def _read_all(self, core: Core) -> None:
        for path, digit in self._files.items():
            content = await self._report.attempt("read", core, core.read(RelPath(path)))
            if content is not None and content != content_of(digit):
                self._report.wrong.append(f"{path} was read, and is wrong")

    async def _tell(self, core: Core) -> None:
        for asset in await self._assets(core):
            self._report.states[asset.path] = asset.state
            if asset.failure is not None and asset.failure.code == "bug":
                self._report.unforeseen.append(f"{asset.path}: {asset.failure}")


async def _begun(work: Coroutine[Any, Any, None]) -> None:
    """Do what a start does. Raise DegradedError where it waits for room."""
    try:
        async with asyncio.timeout(LIFE_SECONDS / 4):
            await work
    except TimeoutError:
        raise DegradedError("the start waits for room for the index") from None


async def _landed(core: Core) -> None:
    for arrival in list(core.promoter._arrivals.values()):
        await asyncio.wait([arrival._done])


def content_of(size: int) -> bytes:
    """Return a content of this size that no other size begins with."""
    return (b"%06d" % size * (size // 6 + 1))[:size]


class Mark:
    """Where faults begin: the thread waits here until it is watched."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def reach(self) -> None:
        """Say which thread this is, and wait."""
        self._line.sendall(b"%d\n" % threading.get_native_id())
        self._line.recv(1)


def _live(request: dict[str, Any], line: socket.socket) -> None:
    """Live one life in this process, tell what came of it, and end."""
    place, report = Path(request["place"]), Report()
    logging.disable()
    mock.patch.object(commits, "ROOM_SECONDS", PATIENCE_SECONDS / 5).start()
    power = Power(place)
    mark = Mark(line)
    life = Life(place, report)
    work = life.recover if request["act"] == "recover" else life.live
    if request["cut"]:
        power.on()
    try:
        with asyncio.Runner() as runner:
            runner.get_loop().set_default_executor(Inline())
            if request.get("thread") == "index":
                connect = Connection._connect_here

                def watched(self: Connection) -> Any:
                    mark.reach()
                    return connect(self)

                mock.patch.object(Connection, "_connect_here", watched).start()
            elif request.get("thread") == "files":
                mark.reach()
            runner.run(work())
    except BaseException as error:  # noqa: BLE001 - the process ends, and says why
        report.failures.append(f"ended: {error!r}")
        if request["act"] == "recover":
            report.wrong.append(f"ended: {error!r}")
    if request["cut"]:
        power.cut()
    line.sendall(json.dumps(vars(report)).encode() + b"\n")
    os._exit(0)


def _watch(line: Any, request: dict[str, Any], pid: int) -> subprocess.Popen[str]:
    """Let strace follow the thread that has reached its mark."""
    thread = line.readline().strip()
    log = Path(request["place"]) / "strace"
    command = ["strace", "-y", "-o", str(log), *request["strace"], "-p", thread]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if "attached" not in said:
        os.kill(pid, signal.SIGKILL)
        raise SystemExit(f"strace cannot follow a process here: {said}")
    return strace


def serve_one(request: dict[str, Any]) -> dict[str, Any]:
    """Let one life be lived, and return what came of it."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        signal.alarm(LIFE_SECONDS)
        _live(request, theirs)
    theirs.close()
    with ours, ours.makefile() as line:
        strace = _watch(line, request, pid) if "strace" in request else None
        if strace is not None:
            ours.sendall(b"\n")  # Nobody else waits at a mark: he may have ended by now.
        said = line.readline()
    _, status = os.waitpid(pid, 0)
    if strace is not None:
        strace.communicate()
    return {**(json.loads(said) if said else {}), "code": os.waitstatus_to_exitcode(status)}


def main() -> None:
    """Serve until nobody asks any more."""
    for text in sys.stdin:
        sys.stdout.write(json.dumps(serve_one(json.loads(text))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
