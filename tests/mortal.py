"""A daemon's core that can die at any step, before or after any effect on disk, store or index: then has no more."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

from core import Clock, Core, Rules

import tiering.demoter
import tiering.landing
import tiering.registry
from index.catalog import Catalog
from tiering.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tiering.stores.memory import MemoryStore

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
        """See Store."""
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


class Mortal(Core):
    """The core of one daemon on a root, an index and a store that outlive it."""

    def __init__(self, tree: Tree, catalog: Catalog, store: MemoryStore, group: asyncio.TaskGroup) -> None:
        self.steps = Steps()
        mortal: Any = MortalStore(store, self.steps)
        super().__init__(tree, catalog, mortal, group, clock=Clock(), rules=Rules())
        self._patches = ExitStack()

    @classmethod
    async def begin(cls, root: Path, index: Path, store: MemoryStore, group: asyncio.TaskGroup) -> Mortal:
        """Start as the daemon does: open and prepare. Recovery is the first thing to die of."""
        tree = Tree(root, ignored=(".*",))
        core = cls(tree, await Catalog.open(index), store, group)
        tree.prepare()
        tree.write_marker("root")
        core._make_mortal()
        return core

    def _make_mortal(self) -> None:
        share = self.catalog._commits.share

        async def walk(work: Any, **how: Any) -> Any:
            self.steps.take("before commit")
            result = await share(work, **how)
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
