"""A daemon's core that can die at any step: before or after any effect on disk, store or index, and then has no more."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import tiering.demoter
import tiering.landing
import tiering.registry
from index.catalog import Catalog
from index.lifecycle import State
from tiering.accesses import Accesses
from tiering.demoter import Demoter
from tiering.discovery import Discovery
from tiering.keys import MirrorLayout
from tiering.leases import Leases
from tiering.multipart import Multipart
from tiering.observer import SilentObserver
from tiering.pacing import Bandwidth, ByteBudget, Pacer
from tiering.prober import Prober
from tiering.promoter import Promoter
from tiering.reconciler import Reconciler, Rhythm
from tiering.recovery import recover
from tiering.registry import Registry
from tiering.sender import Sender, Sizes
from tiering.space import Space
from tiering.tiers import Tiers
from tiering.tree import Tree
from tiering.uploader import Uploader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from index.asset import Asset
    from tiering.stores.memory import MemoryStore

MULTIPART_ABOVE = 3000
PART_SIZE = 1000
PLACES = {
    tiering.demoter: ("move_to_trash", "recheck", "put_back", "discard"),
    tiering.registry: ("move_to_trash", "discard"),
}
"""Where the movers touch the disk."""


class DeathError(BaseException):
    """The process ended here. Not an Exception: nothing in the product may survive it."""


@dataclass
class Steps:
    """Counts effects down to death. Once dead, nothing has an effect any more."""

    left: int | None = None
    dead: bool = False
    taken: int = 0

    def take(self, name: str) -> None:
        """Take one step, or die."""
        self.taken += 1
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise DeathError(name)


class MortalStore:
    """A coat in which every call has a step before and a step after it."""

    def __init__(self, store: MemoryStore, steps: Steps) -> None:
        self._store = store
        self._steps = steps
        self.url = store.url

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        return call if name.startswith("list") and name != "list_parts" else partial(self._walk, name, call)

    async def _walk(self, name: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self._steps.take(f"before {name}")
        result = await call(*args, **named)
        self._steps.take(f"after {name}")
        return result

    @asynccontextmanager
    async def get(self, key: str, **named: Any) -> AsyncIterator[Any]:
        self._steps.take("before get")
        async with self._store.get(key, **named) as download:
            yield download
        self._steps.take("after get")


def _stepping(steps: Steps, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def walk(*args: Any, **named: Any) -> Any:
        steps.take(f"before {name}")
        result = call(*args, **named)
        steps.take(f"after {name}")
        return result

    return walk


class Mortal:
    """The core of one daemon on a root, an index and a store that outlive it."""

    def __init__(self, root: Path, catalog: Catalog, store: MemoryStore, group: asyncio.TaskGroup) -> None:
        self.steps = Steps()
        self.catalog = catalog
        self.tree = Tree(root, ignored=(".*",))
        self._patches = ExitStack()
        self._group = group
        clock = _clock
        observer = SilentObserver()
        mortal: Any = MortalStore(store, self.steps)
        pacer = Pacer(4, clock=clock)
        budget, bandwidth = ByteBudget(1 << 20), Bandwidth(None, clock=clock)
        leases = Leases(clock=clock, quiet=0.0)
        self.prober = Prober(store, pacer=pacer, clock=clock, ready=lambda: None)
        self.reconciler = Reconciler(
            catalog, self.tree, root_id="root", observer=observer, clock=clock, settle=0.0, rhythm=Rhythm(first=0.0)
        )
        multipart = Multipart(catalog, mortal, budget=budget, bandwidth=bandwidth)
        sender = Sender(
            mortal,
            MirrorLayout(),
            multipart,
            sizes=Sizes(MULTIPART_ABOVE, PART_SIZE),
            budget=budget,
            bandwidth=bandwidth,
            clock=clock,
        )
        self.uploader = Uploader(
            catalog,
            self.tree,
            sender,
            probe=self.prober,
            pacer=pacer,
            observer=observer,
            clock=clock,
            settle=0.0,
        )
        self.demoter = Demoter(catalog, self.tree, mortal, is_leased=leases.is_held, observer=observer, grace=0.0)
        self.promoter = Promoter(
            catalog,
            self.tree,
            mortal,
            group=group,
            space=Space(catalog, self.tree, size_limit=None),
            make_room=_no_room_needed,
            observer=observer,
            clock=clock,
            concurrency=4,
        )
        discovery = Discovery(catalog, store, pacer=pacer, clock=clock)
        discovery.done.set()
        self.tiers = Tiers(
            catalog,
            self.tree,
            reconciler=self.reconciler,
            discovery=discovery,
            promoter=self.promoter,
            demoter=self.demoter,
            leases=leases,
            accesses=Accesses(catalog, clock=clock),
        )
        self.registry = Registry(catalog, self.tree, mortal, find=self.tiers.find, recall=self.demoter.recall)

    @classmethod
    async def begin(cls, root: Path, index: Path, store: MemoryStore, group: asyncio.TaskGroup) -> Mortal:
        """Start as the daemon does: open, prepare, recover, probe, look."""
        catalog = await Catalog.open(index, clock=_clock)
        core = cls(root, catalog, store, group)
        core.tree.prepare()
        if core.tree.read_marker() is None:
            core.tree.write_marker("root")
        core._make_mortal()
        await core.prober.run()
        return core

    def _make_mortal(self) -> None:
        share = self.catalog._commits.share

        async def walk(work: Any) -> Any:
            self.steps.take("before commit")
            result = await share(work)
            self.steps.take("after commit")
            return result

        self._patches.enter_context(mock.patch.object(self.catalog._commits, "share", walk))
        for module, names in PLACES.items():
            for name in names:
                call = _stepping(self.steps, name, getattr(module, name))
                self._patches.enter_context(mock.patch.object(module, name, call))
        land = tiering.landing.Landing.land
        self._patches.enter_context(
            mock.patch.object(tiering.landing.Landing, "land", _stepping(self.steps, "land", land))
        )

    async def end(self) -> None:
        """Let promotions that somebody only read along with come to an end, and let go of the index."""
        for arrival in list(self.promoter._arrivals.values()):
            await asyncio.wait([arrival._done])
        self._patches.close()
        await self.catalog.close()

    async def recover(self) -> None:
        """Bring every interrupted asset to rest."""
        await recover(self.catalog, self.tree, clock=_clock)

    async def scan(self) -> None:
        """Look at the whole tree once."""
        await self.reconciler._scan()

    async def upload_all(self) -> None:
        """Upload whatever is due, however late."""
        await self.catalog.make_due(now=_clock())
        for asset in await self.catalog.claim(100, now=_clock() + 1e6):
            await self.uploader.upload(asset)

    async def read(self, path: Any) -> bytes:
        """Return an asset's bytes as the API would."""
        content = await self.tiers.content(path, whole=True)
        chunks = getattr(content, "chunks", None)
        if chunks is None:
            with open(content.fd, "rb") as file:  # type: ignore[union-attr] # it is HotContent
                return file.read()
        try:
            return b"".join([chunk async for chunk in chunks])
        finally:
            await chunks.aclose()

    async def assets(self) -> list[Asset]:
        """Return every asset that is somewhere."""
        return [asset for asset in await self.catalog.in_states(list(State), limit=1000) if asset.state != State.GONE]


def _clock() -> float:
    return time.time()


async def _no_room_needed(size: int) -> None:
    del size
