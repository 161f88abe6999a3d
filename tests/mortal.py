"""A daemon's core in a simulated world, that can die at any effect, and whose disk, index and store outlive it.

The product's own code runs, from the API's questions down to its system calls; what is simulated lies below: the disk
(simulated_disk), time and threads (simulated_time), the file of the index, and the store's network. SQLite itself runs,
in memory: a commit under synchronous=FULL is durable when it returns, and one under less may vanish in a loss of power,
with all that followed it. What SQLite's own files survive is for tests of a real disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import sqlite3
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite.core
from core import Core, Rules
from simulated_disk import CHANGES, Calls, Disk, Locks
from simulated_time import Loop, StalledError
from uploads import ABLE

import index.asset
import index.connection
import tiering.arrival
import tiering.file_lease
import tiering.glance
import tiering.landing
import tiering.scan
import tiering.source
import tiering.stores.memory
import tiering.tiers
import tiering.trash
import tiering.tree
from index.catalog import Catalog
from index.commits import Commits
from index.connection import Connection
from index.schema import migrate
from tiering.answers import HotContent
from tiering.clearance import Clearance
from tiering.leases import LEASE_SECONDS
from tiering.store import (
    CorruptError,
    CredentialsError,
    NotFoundError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores.memory import MemoryStore
from tiering.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from simulated_disk import Node

    from index.asset import RelPath
    from tiering.probe import Capabilities

PLACE = "/media"
USERS_OF_OS = (
    tiering.arrival,
    tiering.glance,
    tiering.landing,
    tiering.scan,
    tiering.source,
    tiering.tiers,
    tiering.trash,
    tiering.tree,
)
USERS_OF_TIME = (tiering.landing, tiering.source, tiering.tree)
REMOVING = frozenset({"unlink", "rename", "put", "complete", "copy", "delete"})
"""Effects after which something may be nowhere any more."""


class DeathError(BaseException):
    """The process ended here. Not an Exception: nothing in the product may survive it."""


@dataclass
class Deed:
    """What somebody else does right before something that the daemon does, or once a request of its was answered.

    `occasion` is the name of a system call or request, `commit`, `answer`, or "" for any of them; `count` says which of
    those it is, from the beginning of the step or from the deed before. `do` returns whether he could: else he tries
    again at once.
    """

    occasion: str
    count: int
    do: Callable[[], bool]

    def is_due(self, occasion: str) -> bool:
        """Count one more occasion, and return whether this is the one."""
        if self.occasion in {"", occasion}:
            self.count -= 1
        return self.count <= 0

    def put_off(self) -> None:
        """Try again at the next occasion of any kind."""
        self.occasion, self.count = "", 1


@dataclass
class Trouble:
    """What goes wrong in one step, counted from its beginning in effects and store requests."""

    chance: random.Random = field(default_factory=lambda: random.Random(0))
    death: int | None = None
    faults: dict[int, str] = field(default_factory=dict)
    """By store request: see MortalStore."""
    disk_fault: tuple[int, int] | None = None
    """At which effect, and the errno."""
    meanwhile: list[Deed] = field(default_factory=list)
    turns: tuple[int, ...] = (0, 0, 0, 1, 2, 5)
    """How many turns of the loop others may have while something is waited for."""
    effects: int = 0
    requests: int = 0


class Judge:
    """Is asked at every effect. This one finds nothing."""

    def removed(self, effect: str) -> None:
        """Something may be nowhere any more."""

    def before_trash(self, asset_id: str, node: Node) -> None:
        """A file is about to be taken from its name."""

    def before_last_unlink(self, node: Node) -> None:
        """A file is about to be unlinked, and has no other name."""

    def before_delete(self, key: str, etag: str | None) -> None:
        """An object is about to be removed."""


class _Lasting(sqlite3.Connection):
    """A database that outlives those who open and close it."""

    def close(self) -> None:
        """Stay: the file stays, too."""

    def forget(self) -> None:
        """Be gone."""
        super().close()


@cache
def _empty_index() -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        migrate(raw, now=0)
        return raw.serialize()


class IndexFile:
    """The file of the index."""

    def __init__(self) -> None:
        self.raw: _Lasting | None = None
        self._uncertain: list[bytes] = []
        """What the file was before each commit that was not synced."""
        self._is_new = False

    def connect(self) -> sqlite3.Connection:
        """Open it, or make it."""
        if self.raw is None:
            self.raw = sqlite3.connect(":memory:", isolation_level=None, factory=_Lasting, cached_statements=256)
            self.raw.deserialize(_empty_index())
            self._is_new = True
        return self.raw

    def migrate(self, raw: sqlite3.Connection, *, now: float) -> bool:
        """Stand in for the making of tables, which takes longer than a life of a few steps: they are there."""
        if self._is_new:
            raw.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'event'", (int(now * 1000),))
        is_new, self._is_new = self._is_new, False
        return is_new

    def before_commit(self, raw: sqlite3.Connection) -> None:
        """Keep what a loss of power would bring back."""
        (synchronous,) = raw.execute("PRAGMA synchronous").fetchone()
        if synchronous < 2:
            self._uncertain.append(raw.serialize())

    def lose_power(self, chance: random.Random) -> None:
        """Let the last commits vanish, where they may."""
        if self._uncertain and self.raw is not None and chance.random() < 0.7:
            self.raw.deserialize(chance.choice(self._uncertain))
        self._uncertain.clear()

    def lose(self) -> None:
        """Let somebody delete it."""
        if self.raw is not None:
            self.raw.forget()
        self.raw = None
        self._uncertain.clear()

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """Return these columns of all assets."""
        return [] if self.raw is None else self.raw.execute(f"SELECT {columns} FROM asset").fetchall()


class World:
    """What outlives a daemon, and what goes wrong in it."""

    def __init__(self, loop: Loop) -> None:
        loop.renew()
        self.loop = loop
        self.clock = loop.clock
        self.disk = Disk(PLACE, self.clock.time_ns)
        self.index = IndexFile()
        self.memory = MemoryStore(clock=self.clock)
        self.judge = Judge()
        self.trouble = Trouble()
        self.is_dead = False
        self.violations: list[str] = []
        self.heads: dict[str, tuple[str, float]] = {}
        """By key: the ETag that the store told last, and when."""
        self.has_lied = False
        """Whether the store has said of something that it has not, or given wrong bytes for it."""
        self.may_lie = True
        self.is_suspect = False
        self.trace: deque[str] = deque(maxlen=300)
        self.os = Calls(self.disk, self.before_call, is_owner=False)
        self.fcntl = Locks(self.disk, self.before_call)
        self.users_os = Calls(self.disk, _nothing, is_owner=True)
        loop.turns = self._turns
        loop.set_exception_handler(self._note_unhandled)
        self._patches = contextlib.ExitStack()
        self._patch()

    def close(self) -> None:
        """Take everything back."""
        self._patches.close()
        self.index.lose()

    def _patch(self) -> None:
        for module in USERS_OF_OS:
            self._set(module, "os", self.os)
        for module in USERS_OF_TIME:
            self._set(module, "time", self.clock)
        self._set(tiering.file_lease, "fcntl", self.fcntl)
        self._set(asyncio, "to_thread", self.loop.to_thread)
        self._set(aiosqlite.core, "SimpleQueue", InlineQueue)
        self._set(aiosqlite.core, "Thread", NoThread)
        self._set(Connection, "_connect_here", _connecting(self.index))
        # Damage to the index's file is for tests of a real file.
        self._set(index.connection, "_check", _nothing)
        self._set(index.connection, "require_whole", _nothing)
        self._set(index.connection, "migrate", self.index.migrate)
        self._set(Commits, "_commit", _committing(self, Commits._commit))
        self._set(index.asset, "secrets", Names)
        self._set(tiering.stores.memory, "uuid", Names)

    def _set(self, where: Any, name: str, value: Any) -> None:
        self._patches.callback(setattr, where, name, getattr(where, name))
        setattr(where, name, value)

    def _turns(self) -> int:
        return self.trouble.chance.choice(self.trouble.turns)

    def _note_unhandled(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # Of a group that somebody died in, nobody hears: it is of an earlier process.
        if not self.is_dead and isinstance(error, Exception):
            self.violations.append(f"nobody heard of {context['message']}: {error!r}")

    # What happens

    def before_call(self, name: str, node: Node | None, about: bytes) -> None:
        """A system call of the daemon is about to happen."""
        if self.is_dead:
            raise DeathError(name)
        self.clock.passed_ns += 1000
        trouble = self.trouble
        if trouble.meanwhile:
            self.give_way(name)
        if name not in CHANGES:
            return
        self.effect(f"{name} {os.fsdecode(about)}", name)
        if name == "rename" and len(about) == 32 and node is not None:
            self.judge.before_trash(about.decode(), node)
        elif name == "unlink" and node is not None and node.links == 1:
            self.judge.before_last_unlink(node)
        if trouble.disk_fault is not None and trouble.effects == trouble.disk_fault[0]:
            code = trouble.disk_fault[1]
            self.trace.append(f"fault {os.strerror(code)}")
            raise OSError(code, os.strerror(code))

    def give_way(self, occasion: str) -> None:
        """Let others do what they have waited for this occasion with."""
        meanwhile = self.trouble.meanwhile
        while meanwhile and meanwhile[0].is_due(occasion):
            if not meanwhile[0].do():
                meanwhile[0].put_off()
                return
            meanwhile.pop(0)

    def effect(self, said: str, name: str = "") -> None:
        """Something is about to have an effect that outlives the daemon; or it dies."""
        if self.is_dead:
            raise DeathError(said)
        trouble = self.trouble
        trouble.effects += 1
        self.suspect()
        if trouble.death is not None and trouble.effects > trouble.death:
            self.trace.append(f"death before {said}")
            self.is_dead = True
            raise DeathError(said)
        self.trace.append(said)
        self.is_suspect = name in REMOVING

    def suspect(self) -> None:
        """Have the last effect judged."""
        if self.is_suspect:
            self.is_suspect = False
            self.judge.removed(self.trace[-1] if self.trace else "")

    def violate(self, what: str) -> None:
        """Say that an invariant is broken: wherever that was found, the step ends with it."""
        self.trace.append(f"VIOLATION {what}")
        self.violations.append(what)

    # Death

    def end(self, *, power: bool) -> None:
        """The process has ended; with the power, everybody's has."""
        self.disk.end_process()
        if power:
            self.trace.append("loss of power")
            self.disk.lose_power(self.trouble.chance)
            self.index.lose_power(self.trouble.chance)
        self.is_dead = False
        self.is_suspect = False


def _nothing(*_: Any) -> None:
    """Do nothing."""


class Names:
    """Stands in for the modules secrets and uuid: names that repeat with the case."""

    hex = ""

    @staticmethod
    def token_hex(size: int) -> str:
        """Return that many random bytes."""
        return random.randbytes(size).hex()

    @staticmethod
    def uuid4() -> Names:
        """Return something with a `hex`."""
        name = Names()
        name.hex = random.randbytes(16).hex()
        return name


class NoThread:
    """Stands in for the connection's thread."""

    daemon = False

    def __init__(self, **_: Any) -> None:
        pass

    def start(self) -> None:
        """Nothing is to be started."""


class InlineQueue:
    """Stands in for the queue to the connection's thread: what is put into it is done."""

    def __class_getitem__(cls, _: Any) -> type[InlineQueue]:
        return cls

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        """Do it at once, as the thread would."""
        future, work = item
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits
            if future is not None and not future.done():
                future.set_exception(error)
        else:
            if future is not None and not future.done():
                future.set_result(result)


def _connecting(file: IndexFile) -> Callable[[Connection], sqlite3.Connection]:
    def connect(self: Connection) -> sqlite3.Connection:
        self._raw = file.connect()
        return self._raw

    return connect


def _committing(world: World, commit: Callable[..., Any]) -> Callable[..., Any]:
    def walk(self: Any, works: Any, raw: sqlite3.Connection) -> Any:
        world.give_way("commit")
        world.effect("commit")
        world.index.before_commit(raw)
        result = commit(self, works, raw)
        world.effect("after commit")
        return result

    return walk


ERRORS: dict[str, Callable[[str], StoreError]] = {
    "unavailable": lambda key: UnavailableError("a time-out", key=key),
    "throttled": lambda key: ThrottledError("slow down", key=key),
    "credentials": lambda key: CredentialsError("expired", key=key),
    "refused": lambda key: RefusedError("not allowed", key=key),
    "missing": lambda key: NotFoundError("no such key", key=key),
}
FAULTS = (*ERRORS, "lost", "lost", "wrong", "short", "broken")
"""What may go wrong with a request: an error before it takes effect, `lost`: its answer is lost after it did, and, of
a body: other bytes of the same length, fewer, or a break in the middle."""
LIES = frozenset({"missing", "wrong", "short"})


class MortalStore:
    """A coat in which every request has an effect before and after it, and fails as the step's trouble says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.memory
        self.url = self._store.url

    def _fault(self) -> str | None:
        world = self._world
        world.trouble.requests += 1
        fault = world.trouble.faults.get(world.trouble.requests)
        if fault in LIES and not world.may_lie:
            fault = "unavailable"
        if fault is not None:
            world.trace.append(f"fault {fault}")
        world.has_lied = world.has_lied or fault in LIES
        return fault

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def walk(key: str, *args: Any, **named: Any) -> Any:
            fault = self._fault()
            await self._world.loop.pass_turns()
            if fault in ERRORS:
                raise ERRORS[fault](key)
            self._world.give_way(name)
            self._world.effect(f"{name} {key}", name)
            if name == "delete":
                self._world.judge.before_delete(key, named.get("etag"))
            result = await call(key, *args, **named)
            if name == "head":
                self._world.heads[key] = (result.etag, self._world.clock.monotonic())
            self._world.effect("answer", name)
            self._world.give_way("answer")
            await self._world.loop.pass_turns()
            if fault == "lost":
                raise ERRORS["unavailable"](key)
            return result

        return walk

    @asynccontextmanager
    async def get(self, key: str, **named: Any) -> AsyncIterator[Any]:
        """See Store."""
        fault = self._fault()
        self._world.give_way("get")
        self._world.effect(f"get {key}")
        await self._world.loop.pass_turns()
        if fault in ERRORS:
            raise ERRORS[fault](key)
        async with self._store.get(key, **named) as download:
            yield download if fault is None else _Spoilt(download, fault)

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[Any]:
        """See Store."""
        if self._fault() is not None:
            raise ERRORS["unavailable"](prefix)
        async for page in self._store.list(prefix, after=after):
            yield page

    async def list_uploads(self) -> AsyncIterator[Any]:
        """See Store."""
        async for page in self._store.list_uploads():
            yield page


@dataclass
class _Spoilt:
    """A body that is not what it should be."""

    download: Any
    fault: str

    @property
    def info(self) -> Any:
        """See Download."""
        return self.download.info

    async def chunks(self) -> AsyncIterator[bytes]:
        """See Download."""
        body = b"".join([chunk async for chunk in self.download.chunks()])
        if self.fault == "wrong":
            yield body[:-1] + b"?" if body else body
            return
        yield body[: len(body) // 2]
        if self.fault == "short":
            raise CorruptError("it ended short", key=self.info.key)
        raise UnavailableError("the connection broke", key=self.info.key)


class Mortal(Core):
    """The core of one daemon in a world that outlives it."""

    def __init__(
        self, world: World, tree: Tree, catalog: Catalog, group: asyncio.TaskGroup, able: Capabilities
    ) -> None:
        grace = 0.0 if world.disk.grants_leases else 600.0
        rules = Rules(grace=grace, cool_down=600.0, min_residence=600.0, quiet=LEASE_SECONDS)
        store: Any = MortalStore(world)
        super().__init__(tree, catalog, store, group, clock=world.clock, rules=rules)  # type: ignore[arg-type]
        self.world = world
        self.prober.capabilities = able
        self.discovery.done.clear()
        self._clearance = Clearance(self.reconciler, self.prober, self.leases, clock=world.clock)

    @property
    def obstacle(self) -> str | None:  # type: ignore[override]
        """See Core."""
        return self._clearance.reason_to_wait()

    async def read(self, path: RelPath | str) -> bytes:
        """Return an asset's bytes as the API would."""
        content = await self.tiers.content(path, whole=True)  # type: ignore[arg-type]
        if isinstance(content, HotContent):
            with self.world.os.fdopen(content.fd, "rb") as file:
                return bytes(file.read())
        async with contextlib.aclosing(content.chunks) as chunks:
            return b"".join([chunk async for chunk in chunks])


class Life:
    """One process: started, asked to do things, and ended in order or not."""

    def __init__(self, world: World, able: Capabilities = ABLE) -> None:
        self._world = world
        self._able = able
        self.core: Mortal | None = None
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._catalog: Catalog | None = None

    async def _live(self, begun: asyncio.Event) -> None:
        world = self._world
        tree = Tree(Path(PLACE), ignored=(".*",))
        self._catalog = await Catalog.open(Path("/nowhere/index.db"), clock=world.clock)
        tree.prepare()
        if tree.read_marker() is None:
            tree.write_marker("root")
        async with asyncio.TaskGroup() as group:
            core = Mortal(world, tree, self._catalog, group, self._able)
            await core.recover()
            if await core.discovery.is_due():
                await core.scan()
            world.may_lie = False
            await core.discovery.run()
            world.may_lie = True
            self.core = core
            begun.set()
            await self._over.wait()
        await self._catalog.close()

    def begin(self) -> bool:
        """Start, as the daemon does; return whether it lives."""
        return self.act(self._begin())

    async def _begin(self) -> None:
        begun = asyncio.Event()
        self._task = asyncio.ensure_future(self._live(begun))
        waiting = asyncio.ensure_future(begun.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    def act(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do something; return whether the daemon lives on. Raise what only a fault of the product can raise."""
        world = self._world
        try:
            world.loop.run_until_complete(self._drained(work))
        except (DeathError, asyncio.CancelledError, BaseExceptionGroup, StalledError):
            if not world.is_dead:
                raise
        except Exception:
            if not world.is_dead:
                raise
        if not world.is_dead:
            world.suspect()
        return not world.is_dead

    async def _drained(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        core = self.core
        # What a step began is over before the next: promotions that somebody read along with, copies that wait in the
        # trash.
        while core is not None and (core.promoter._arrivals or core.demoter._departures):
            arrivals = [arrival._done for arrival in core.promoter._arrivals.values()]
            if arrivals:
                await asyncio.wait(arrivals)
            for departure in list(core.demoter._departures.values()):
                await departure.over.wait()

    def end(self) -> None:
        """Stop in order."""
        self._over.set()
        if self._task is not None:
            self._world.loop.run_until_complete(self._task)
        self._clear()

    def bury(self) -> None:
        """Let go of what a dead process leaves in memory."""
        self._world.is_dead = True
        loop = self._world.loop
        while tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
            for task in tasks:
                if not task.cancelled():
                    task.exception()
        if self._catalog is not None:
            self._catalog._connection._connection = None
        self._clear()

    def _clear(self) -> None:
        self.core = None
        self._world.loop._ready.clear()  # type: ignore[attr-defined]
        self._world.loop._scheduled.clear()  # type: ignore[attr-defined]


def strange(chance: random.Random, requests: int) -> dict[int, str]:
    """Return faults of the store for some of the next requests."""
    first = chance.randint(1, requests)
    return {first + more: chance.choice(FAULTS) for more in range(chance.choice((1, 1, 2, 3)))}


DISK_FAULTS: Iterable[int] = (errno.EIO, errno.ENOSPC)
