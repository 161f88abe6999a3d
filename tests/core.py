"""The core of one daemon, wired as the daemon wires it, on a real tree and a real index; each test alters its part."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import coroutine
from typing import TYPE_CHECKING, Any

from trees import make_tree, plant
from uploads import ABLE

from index.asset import RelPath
from index.catalog import Catalog
from index.changes import Observations
from index.lifecycle import State
from tiering.accesses import Accesses
from tiering.answers import HotContent
from tiering.classes import Classes
from tiering.couriers import Couriers
from tiering.curve import Curve
from tiering.demoter import Demoter
from tiering.departures import Departures
from tiering.describer import Describer, PathRule
from tiering.discovery import Discovery
from tiering.drive import Here
from tiering.file_lease import ignore_sigio
from tiering.inspector import Inspector
from tiering.keeper import Keeper
from tiering.keys import MirrorLayout
from tiering.lanes import Lanes
from tiering.layouts import named
from tiering.leases import Leases
from tiering.leftovers import Leftovers
from tiering.migration import Migration
from tiering.multipart import Multipart
from tiering.neighbours import Neighbours
from tiering.observer import SilentObserver
from tiering.orders import Orders
from tiering.pacing import Bandwidth, ByteBudget, Pacer
from tiering.passage import Passage
from tiering.planner import Planner, Residence
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.prober import Prober
from tiering.promoter import Promoter, Remedies
from tiering.pruner import Pruner
from tiering.reconciler import Reconciler, Rhythm
from tiering.recovery import recover
from tiering.registry import Registry
from tiering.rekeyer import Rekeyer
from tiering.rollout import EVERYTHING, Rollout
from tiering.scrubber import Scrubber
from tiering.sender import Means, Sender, Sizes
from tiering.space import Space
from tiering.stocktaking import Stocktaking
from tiering.stores.faulty import FaultyStore
from tiering.stores.memory import MemoryStore
from tiering.stores.prompt import PromptStore
from tiering.succession import Succession
from tiering.thaw import Speed, Thaw
from tiering.thermometer import Thermometer
from tiering.tiers import Tiers
from tiering.turns import ThreadTurns, Turns
from tiering.uploader import Uploader
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
    from pathlib import Path

    from index.asset import Asset
    from tiering.keys import Layout
    from tiering.store import Objects
    from tiering.tree import Tree

NO_CLASSES = Classes()
MULTIPART_ABOVE = 3000
PART_SIZE = 1000
SIZES = Sizes(MULTIPART_ABOVE, PART_SIZE)
MONTH = 30 * 86_400.0


class Clock:
    """The time of day, moved on as a test says."""

    ahead = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.ahead


class Witness(SilentObserver):
    """Remembers what movers told."""

    def __init__(self) -> None:
        self.promotions: Counter[str] = Counter()
        self.demotions: Counter[str] = Counter()
        self.regrets: list[str] = []
        self.admissions: Counter[str] = Counter()
        self.mismatches = 0
        self.expired_paths: list[str] = []
        self.checks: Counter[tuple[str, str]] = Counter()

    def promoted(self, asset: Asset, result: str, seconds: float) -> None:
        """See Observer."""
        self.promotions[result] += 1

    def demoted(self, asset: Asset, reason: str) -> None:
        """See Observer."""
        self.demotions[reason] += 1

    def regretted(self, asset: Asset) -> None:
        """See Observer."""
        self.regrets.append(asset.path)

    def admitted(self, asset: Asset, decision: str) -> None:
        """See Observer."""
        self.admissions[decision] += 1

    def mismatched(self, asset: Asset) -> None:
        """See Observer."""
        self.mismatches += 1

    def expired(self, asset: Asset) -> None:
        """See Observer."""
        self.expired_paths.append(asset.path)

    def scrubbed(self, check: str, result: str) -> None:
        """See Observer."""
        self.checks[check, result] += 1


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a test may want otherwise than a patient daemon with all the room in the world has it."""

    size_limit: int | None = None
    grace: float = 0.0
    cool_down: float = 0.0
    min_residence: float = 0.0
    promotions: int = 4
    sizes: Sizes = SIZES
    quiet: float = 0.0
    archive: Any = None
    classes: Classes = NO_CLASSES
    speed: Speed | None = None
    layout: Layout = field(default_factory=MirrorLayout)
    path_rules: Sequence[PathRule] = ()
    describes: bool = False
    policy: str = "lru"
    preset: str = "balanced"
    cut: bool = False
    rollout: Rollout = EVERYTHING


class Core:
    """Every mover, decider and answerer, none of which runs by itself."""

    has_couriers = False
    """Whether threads upload what is for them, as in the daemon."""
    obstacle: str | None = None
    """Why nothing may leave the disk now."""

    def __init__(
        self,
        tree: Tree,
        catalog: Catalog,
        store: Any,
        group: asyncio.TaskGroup,
        *,
        clock: Clock,
        rules: Rules,
        root_id: str = "root",
        doubted: bool = False,
    ) -> None:
        self.tree, self.catalog, self.store, self.group, self.clock = tree, catalog, store, group, clock
        self.witness = observer = Witness()
        self.pacer = Pacer(4, clock=clock)
        self.turns = Turns()
        self.leases = Leases(clock=clock, quiet=rules.quiet)
        self.space = Space(catalog, tree, size_limit=rules.size_limit)
        self.thermometer = Thermometer(HeatPolicy(PRESETS[rules.preset]), clock=clock)
        self.accesses = Accesses(
            catalog,
            self.thermometer,
            curve=Curve(LruPolicy, 1000, Watermarks(0.9, 0.8)),
            capacity=lambda: self.space.usage().capacity,
            clock=clock,
        )
        self.departures = Departures(self.thermometer, observer=observer)
        self.prober = Prober(store, name="core", pacer=self.pacer, ready=lambda: None)
        self.prober.capabilities, self.prober.reason = ABLE, ""
        self.discovery = Discovery(
            catalog,
            store,
            rules.layout,
            is_ignored=tree.is_ignored,
            host=root_id,
            doubted=doubted,
            pacer=self.pacer,
            clock=clock,
        )
        self.discovery.done.set()
        bytes_in_memory, bandwidth = ByteBudget(1 << 20), Bandwidth(None, clock=clock)
        key_turns, leftovers = Turns(), Leftovers(catalog, self.store, host=root_id)
        thread_turns = ThreadTurns(key_turns)

        def a_sender(store: Objects, means: Means) -> Sender:
            return Sender(
                store,
                rules.layout,
                Multipart(catalog, self.store, budget=bytes_in_memory, bandwidth=bandwidth),
                leftovers,
                sizes=rules.sizes,
                classes=rules.classes,
                means=means,
                bandwidth=bandwidth,
                clock=clock,
            )

        self.describer = Describer(catalog, tree, rules.path_rules, lanes=Lanes(1))
        sender = a_sender(store, Means(Lanes(1), bytes_in_memory, key_turns))
        self.couriers = Couriers(
            tree,
            a_sender(PromptStore(store), Means(Here(), Here(), thread_turns)),
            ThreadPoolExecutor(1),
            keys=thread_turns,
            look=self.describer.look,
            small=rules.sizes.multipart_above,
            bandwidth=bandwidth,
            settle=0.0,
            clock=clock,
        )
        self.rekeyer = Rekeyer(
            catalog,
            store,
            sender._layout,
            classes=rules.classes,
            prober=self.prober,
            alone_at=key_turns.take,
            leftovers=leftovers,
            host=root_id,
            clock=clock,
            rollout=rules.rollout,
        )
        self.reconciler = Reconciler(
            catalog,
            tree,
            root_id=root_id,
            observer=observer,
            clock=clock,
            settle=0.0,
            turns=self.turns,
            is_learnt=self.discovery.done.is_set,
            is_misplaced=self.rekeyer.is_misplaced,
            rhythm=Rhythm(first=0.0),
        )
        self.stocktaking = Stocktaking(
            catalog, store, sender._layout, is_ignored=tree.is_ignored, host=root_id, clock=clock
        )
        self.migration = Migration(
            catalog,
            sender._layout,
            self.rekeyer,
            Pruner(catalog, store, alone_at=key_turns.take, host=root_id),
            layout_of=named,
            is_learnt=self.discovery.done.is_set,
            clock=clock,
        )
        self.uploader = Uploader(
            catalog,
            tree,
            sender,
            describe=self.describer.describe if rules.describes else _as_it_is,
            couriers=self.couriers,
            prober=self.prober,
            pacer=self.pacer,
            observer=observer,
            clock=clock,
            settle=0.0,
        )
        self.uploader.follow(rules.rollout)
        succession = Succession(catalog, store, host=root_id, clock=clock)
        self.demoter = Demoter(
            catalog,
            tree,
            store,
            succession=succession,
            turns=self.turns,
            is_leased=self.leases.is_held,
            observer=observer,
            grace=rules.grace,
        )
        policy = self.thermometer.policy if rules.policy == "heat" else LruPolicy()
        residence = Residence(cold_after=MONTH, cool_down=rules.cool_down, min_residence=rules.min_residence)
        self.planner = Planner(residence, policy, is_leased=self.leases.is_held, rollout=rules.rollout)
        self.keeper = Keeper(
            catalog,
            self.demoter,
            self.planner,
            space=self.space,
            watermarks=Watermarks(0.8, 0.5) if rules.size_limit is not None else None,
            receive=self.accesses.receive,
            left=self.departures.left,
            reason_to_wait=lambda: self.obstacle,
            interval=60.0,
            clock=clock,
        )
        self.thaw = Thaw(catalog, rules.archive, rules.speed, clock=clock)
        self.promoter = Promoter(
            catalog,
            tree,
            store,
            group=group,
            space=self.space,
            make_room=self.keeper.make_room,
            remedies=Remedies(succession, self.thaw),
            observer=observer,
            clock=clock,
            concurrency=rules.promotions,
        )
        self.tiers = Tiers(
            catalog,
            tree,
            reconciler=self.reconciler,
            discovery=self.discovery,
            promoter=self.promoter,
            demoter=self.demoter,
            leases=self.leases,
            accesses=self.accesses,
            passage=Passage(store, self.departures, doubt=self.promoter.begin, cut=rules.cut),
            lanes=Lanes(1),
        )
        self.orders = Orders(
            catalog,
            self.promoter,
            self.demoter,
            self.planner,
            find=self.tiers.find,
            receive=self.accesses.receive,
            expected=self.thermometer.expected,
            reason_to_wait=lambda: self.obstacle,
            require_overwritable=sender.require_overwritable,
            group=group,
            clock=clock,
        )
        self.registry = Registry(
            catalog, tree, store, turns=self.turns, find=self.tiers.find, recall=self.demoter.recall
        )
        self.neighbours = Neighbours(
            catalog,
            store,
            self.discovery,
            self.demoter,
            self.promoter,
            every=0.0,
            is_fed=lambda: False,
            reason_to_wait=lambda: self.obstacle,
        )
        self.scrubber = Scrubber(
            catalog,
            tree,
            store,
            turns=self.turns,
            bandwidth=bandwidth,
            succession=succession,
            observer=observer,
            clock=clock,
            settle=0.0,
        )
        self.inspector = Inspector(
            catalog,
            find=self.tiers.find,
            keeper=self.keeper,
            uploader=self.uploader,
            promoter=self.promoter,
            prober=self.prober,
            reconciler=self.reconciler,
            scrubber=self.scrubber,
            thermometer=self.thermometer,
            clock=clock,
        )

    # What a test does to assets.

    async def new(self, path: str, content: bytes = b"content") -> Asset:
        """Write a file and let the index know it."""
        plant(self.tree, path, content)
        return await self.reconciler.take_in(RelPath(path))

    async def hot(self, path: str, content: bytes = b"content") -> Asset:
        """Write a file and bring it into the store; return it replicated."""
        await self.new(path, content)
        await self.upload_all()
        asset = await self.find(path)
        assert asset.state is State.REPLICATED, (path, asset.state, asset.failure)
        return asset

    async def cold(self, path: str, content: bytes = b"content") -> Asset:
        """Write a file, bring it into the store and off the disk."""
        outcome = await self.demoter.demote(await self.hot(path, content), reason="request")
        assert outcome.done, outcome
        return outcome.asset

    async def upload_all(self) -> None:
        """Upload whatever is due, however late."""
        await self.catalog.make_due(now=self.clock())
        for asset in await self.catalog.claim(100, now=self.clock() + 1e6):
            left = [asset]
            if self.has_couriers and self.couriers.take(asset, ABLE):
                left = await self.uploader.settle(await self.couriers.deliveries())
            for each in left:
                await self.uploader.upload(each)

    async def scan(self) -> None:
        """Look at the whole tree once."""
        await self.reconciler._scan()

    async def recover(self) -> int:
        """Bring every interrupted asset to rest, as a start does."""
        return await recover(self.catalog, self.tree, clock=self.clock)

    async def rot(self, path: str, content: bytes) -> None:
        """Overwrite the beginning of a file as a failing disk does: under the same size and times, all of them."""
        file = self.tree.root / path
        before = file.stat()
        with file.open("r+b") as writer:
            writer.write(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        # Nobody can set a ctime: the index is told instead that it was always this one.
        seen = self.tree.sight(path)
        await self.catalog.observe(Observations(refreshed=[((await self.find(path)).id, seen)]))

    # What a test sees of them.

    async def find(self, path: str) -> Asset:
        """Return what the index believes."""
        return await self.catalog.find(RelPath(path))

    async def state(self, path: str) -> State:
        """Return the state that the index believes in."""
        return (await self.find(path)).state

    async def assets(self) -> list[Asset]:
        """Return every asset that is somewhere."""
        return [asset for asset in await self.catalog.in_states(list(State), limit=1000) if asset.state != State.GONE]

    async def read(self, path: str) -> bytes:
        """Return an asset's bytes as the API would."""
        content = await self.tiers.content(RelPath(path), whole=True)
        if isinstance(content, HotContent):
            with os.fdopen(content.fd, "rb") as file:
                return file.read()
        async with aclosing(content.chunks) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def on_disk(self, path: str) -> bytes | None:
        """Return what the file holds, None where there is none."""
        file = self.tree.root / path
        return file.read_bytes() if file.exists() else None

    def in_trash(self) -> list[bytes]:
        """Return the contents in the trash."""
        return [kept.read_bytes() for kept in (self.tree.root / ".tierd" / "trash").iterdir()]


@dataclass
class Place:
    """What outlives a daemon: the directory of its tree and its index, and the store."""

    directory: Path
    memory: MemoryStore
    host: str = "root"

    @asynccontextmanager
    async def core(self, **rules: Any) -> AsyncIterator[Core]:
        """Start a core here; on leaving, it is ended and its promotions are over."""
        ignore_sigio()
        clock = Clock()
        tree = make_tree(self.directory / "media")
        tree.write_marker(self.host)
        catalog = await Catalog.open(self.directory / "index.db", clock=clock)
        try:
            async with asyncio.TaskGroup() as group:
                store = FaultyStore(self.memory)
                yield Core(tree, catalog, store, group, clock=clock, rules=Rules(**rules), root_id=self.host)
        finally:
            await catalog.close()


async def _as_it_is(asset: Asset) -> Asset:
    return asset


def a_place(directory: Path) -> Place:
    """Return a place where no daemon ever was."""
    directory.mkdir(exist_ok=True)
    return Place(directory, MemoryStore())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that a thread or another task does."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what threads do sets no event
            await asyncio.sleep(0.001)


async def cut_short(work: Coroutine[Any, Any, object], *, at: int) -> bool:
    """Cancel the work when it waits for the `at`th time; return whether it came to that. No thread is left behind."""
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(4)
    loop.set_default_executor(threads)
    task = asyncio.ensure_future(_until(at, work))
    try:
        await asyncio.wait([task])
    finally:
        threads.shutdown()
        loop.set_default_executor(ThreadPoolExecutor(4))
    if task.cancelled():
        return True
    await task
    return False


async def _until(at: int, work: Coroutine[Any, Any, object]) -> object:
    return await _counted(work, at)


@coroutine
def _counted(work: Coroutine[Any, Any, object], at: int) -> Generator[Any, None, object]:
    steps = work.__await__()
    error: BaseException | None = None
    waited = 0
    while True:
        try:
            future = steps.send(None) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value
        waited += 1
        if waited == at:
            task: Any = asyncio.current_task()
            asyncio.get_running_loop().call_soon(task.cancel)
        error = None
        try:
            yield future
        except BaseException as thrown:  # noqa: BLE001 - it is the work's to deal with
            error = thrown
