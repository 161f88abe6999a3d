"""Everything an upload needs, around a store in memory and a tree on disk; each test alters what it is about."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trees import make_tree, plant

from index.asset import RelPath
from index.catalog import Catalog
from index.changes import Observations
from tiering.couriers import Couriers
from tiering.drive import Here
from tiering.keys import MirrorLayout
from tiering.label import Label
from tiering.lanes import Lanes
from tiering.leftovers import Leftovers
from tiering.multipart import Multipart
from tiering.pacing import Bandwidth, ByteBudget
from tiering.probe import Capabilities
from tiering.sender import Means, Sender, Sizes
from tiering.source import Source
from tiering.store import Attributes
from tiering.stores.faulty import FaultyStore
from tiering.stores.memory import MemoryStore
from tiering.stores.prompt import PromptStore
from tiering.turns import ThreadTurns, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from index.asset import Asset
    from tiering.sender import Sent
    from tiering.store import ObjectInfo, Objects
    from tiering.tree import Tree

PART = 1000
"""Bytes in a part; files of more than two parts go in parts."""

ABLE = Capabilities(etag_is_md5=True, checks_md5=True, create_only=True, if_match=True, read_back_equal=True)
OPAQUE = replace(ABLE, etag_is_md5=False, checks_md5=False)


@dataclass
class Bench:
    """A tree, an index and a store, and a sender between them."""

    tree: Tree
    catalog: Catalog
    memory: MemoryStore
    store: FaultyStore
    sender: Sender
    multipart: Multipart
    budget: ByteBudget
    couriers: Couriers
    keys: Turns

    async def found(self, path: str, content: bytes) -> None:
        """Write a file and let the index know it, due at once."""
        plant(self.tree, path, content)
        await self.catalog.observe(Observations(discovered=[(self.tree.sight(path), 0.0)]))

    async def claimed(self, path: str, content: bytes = b"content") -> Asset:
        """Write a file, let the index know it and claim it."""
        await self.found(path, content)
        (asset,) = await self.catalog.claim(1, now=time.time())
        return asset

    async def send(self, asset: Asset, able: Capabilities = ABLE) -> Sent:
        """Send an asset as the uploader does."""
        with Source(self.tree, asset, settle=0.0) as source:
            return await self.sender.send(source, able)

    async def holds(self, key: str) -> bytes:
        """Return what the store holds at this key."""
        async with self.memory.get(key) as download:
            return b"".join([chunk async for chunk in download.chunks()])

    async def put(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> ObjectInfo:
        """Put an object there, as somebody else might."""
        return await self.memory.put(key, body, Attributes(metadata=metadata or {}))

    async def pending_uploads(self) -> int:
        """Return how many multipart uploads the store has begun and not ended."""
        return sum([len(page) async for page in self.memory.list_uploads()])


@asynccontextmanager
async def a_bench(directory: Path, *, small: int = -1) -> AsyncIterator[Bench]:
    """Set everything up in a directory. Couriers take files of at most `small` bytes: none, unless a test says."""
    memory = MemoryStore()
    store = faulty = FaultyStore(memory)
    catalog = await Catalog.open(directory / "index.db")
    budget = ByteBudget(1 << 20)
    bandwidth = Bandwidth(None, clock=time.monotonic)
    multipart = Multipart(catalog, store, budget=budget, bandwidth=bandwidth)
    sizes = Sizes(2 * PART, PART)
    turns = Turns()

    def a_sender(store: Objects, means: Means) -> Sender:
        return Sender(
            store,
            MirrorLayout(),
            multipart,
            Leftovers(catalog, faulty, host="ours"),
            sizes=sizes,
            means=means,
            bandwidth=bandwidth,
            clock=time.time,
        )

    tree = make_tree(directory / "media")
    thread_turns = ThreadTurns(turns)
    prompt = a_sender(PromptStore(store), Means(Here(), Here(), thread_turns))
    couriers = Couriers(
        tree,
        prompt,
        ThreadPoolExecutor(4),
        keys=thread_turns,
        look=lambda _: Label(),
        small=small,
        bandwidth=bandwidth,
        settle=0.0,
        clock=time.time,
    )
    sender = a_sender(store, Means(Lanes(1), budget, turns))
    try:
        yield Bench(tree, catalog, memory, store, sender, multipart, budget, couriers, turns)
    finally:
        couriers.close()
        await catalog.close()


def again(asset: Asset, sent: Sent, **changes: object) -> Asset:
    """Return the asset as it is when its owner has touched the file after it was sent."""
    return replace(asset, proof=sent.proof, generation=asset.generation + 1, **changes)  # type: ignore[arg-type]


def moved(asset: Asset, tree: Tree, path: str) -> Asset:
    """Rename the file, and return the asset as it is then."""
    place = tree.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    (tree.root / asset.path).rename(place)
    return replace(asset, path=RelPath(path), fingerprint=tree.sight(path).fingerprint)


def md5(content: bytes) -> str:
    """Return the ETag of an object sent in one request."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    """Return the digest that goes into the proof."""
    return hashlib.sha256(content).hexdigest()
