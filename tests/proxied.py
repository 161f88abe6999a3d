"""A daemon's core on SeaweedFS with the fault proxy between them, and somebody beside it who sees the truth."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import Clock, Core, Rules, until
from fault_proxy import Fault, FaultProxy, Kind
from trees import make_tree

from demo.seaweed import START_SECONDS
from index.asset import RelPath
from index.catalog import Catalog
from index.changes import Change
from index.lifecycle import IN_FLIGHT, Event, State
from tiering.discovery import Discovery
from tiering.file_lease import ignore_sigio
from tiering.keys import MirrorLayout
from tiering.outcome import DamagedError
from tiering.sender import Sizes
from tiering.store import NotFoundError, StoreError, UnavailableError
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings
from tiering.sweeper import Sweeper
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from index.asset import Asset

STALL = 0.6
"""Seconds in which nothing may happen; the daemon waits 30."""
PACE = STALL / 8
"""Seconds for one byte of a trickle: never silent for as long as the store may stall."""
LIMIT = 12.0
"""Seconds within which whatever was struck has ended, on a machine that has more to do. A fault may last for ever."""
ABOVE = 16 * 1024
MIB = 1024**2
ROUNDS = 6
PATIENCE_SECONDS = 1.2
"""How often everything is tried again before it must be at rest."""


def settings(endpoint: str, bucket: str, prefix: str) -> S3Settings:
    """Return settings that lose patience soon."""
    return S3Settings(
        bucket=bucket,
        prefix=prefix,
        endpoint=endpoint,
        region="us-east-1",
        stall_seconds=STALL,
        assembly_seconds=STALL * 2,
    )


class Moved(MirrorLayout):
    """A layout by which every key is another than before."""

    def key_for(self, path: RelPath) -> str:
        """See MirrorLayout."""
        return f"moved/{path}"


@dataclass
class World:
    """One core; `truth` is its store as nobody disturbs it, `contents` what every path must give."""

    core: Core
    proxy: FaultProxy
    truth: S3Store
    chance: random.Random
    contents: dict[str, bytes]

    def fresh(self, size: int) -> tuple[str, bytes]:
        """Return a path that is new, and its content, noted as what it must give."""
        path = f"asset-{len(self.contents):03}"
        self.contents[path] = self.chance.randbytes(size)
        return path, self.contents[path]

    def large(self) -> int:
        """Return a size that goes in one part, or now and then in two."""
        return self.chance.choices((ABOVE + 20_000, 5 * MIB + 10_000), (7, 1))[0]

    # What is done while a fault is armed: one method an operation, each of which must bring it about.

    async def put(self) -> None:
        """Upload a small file: by a thread, as a rule."""
        self.core.has_couriers = self.chance.random() < 0.7
        await self.core.new(*self.fresh(3000))
        await self.upload()

    async def head(self) -> None:
        """Demote a file."""
        with self.calm():
            asset = await self.hot(*self.fresh(3000))
        await self.suffer(self.core.demoter.demote(asset, reason="request"))

    async def get(self) -> None:
        """Read a cold asset."""
        path, content = self.fresh(self.chance.choice((10, 3000, 400_000)))
        with self.calm():
            asset = await self.hot(path, content)
            assert (await self.core.demoter.demote(asset, reason="request")).done
        await self._read(path)

    async def create(self) -> None:
        """Upload a large file."""
        await self.core.new(*self.fresh(self.large()))
        await self.upload()

    part = complete = create

    async def list_parts(self) -> None:
        """Go on with an upload that broke off."""
        await self._break_off()
        await self.upload()

    async def abort(self) -> None:
        """Give up an upload that broke off, since its file is another one by now."""
        path = await self._break_off()
        self.contents[path] = self.chance.randbytes(ABOVE + 10_000)
        (self.core.tree.root / path).write_bytes(self.contents[path])
        await self.core.scan()
        await self.upload()

    async def copy(self) -> None:
        """Bring the same content to another key."""
        path, content = self.fresh(3000)
        with self.calm():
            await self.hot(path, content)
        sender, file = self.core.uploader._sender, self.core.tree.root / path
        file.write_bytes(content)
        await self.core.scan()
        layout, sender._layout = sender._layout, Moved()
        try:
            await self.upload()
            await self.settle()
        finally:
            sender._layout = layout

    async def delete(self) -> None:
        """Remove an asset from both tiers."""
        path, _ = self.fresh(3000)
        with self.calm():
            asset = await self.hot(path, self.contents.pop(path))
        await self.core.registry.remove(RelPath(path))
        while not await self.suffer(self.core.registry._purge_all()) or await self.core.catalog.to_purge(limit=1):
            pass
        assert asset.proof is not None
        assert await self.object(asset.proof.key) is None, "it was to be removed"

    async def list(self) -> None:
        """Learn what the store has, with an index that knows nothing."""
        with self.calm():
            for _ in range(2):
                await self.hot(*self.fresh(300))
        catalog = await Catalog.open(self.core.tree.root.parent / f"index-{len(self.contents)}.db")
        try:
            discovery = Discovery(
                catalog,
                self.core.store,
                MirrorLayout(),
                is_ignored=self.core.tree.is_ignored,
                host="root",
                doubted=False,
                pacer=self.core.pacer,
                clock=self.core.clock,
            )
            for _ in range(ROUNDS):
                if await self.suffer(discovery.discover()):
                    break
            known = {asset.path for asset in await catalog.in_states([State.COLD], limit=1000)}
            assert known == set(self.contents), "what the store has is not known, and nobody says so"
        finally:
            await catalog.close()

    async def list_uploads(self) -> None:
        """Sweep."""
        await self._break_off()
        sweeper = Sweeper(self.core.catalog, self.core.store, clock=self.tomorrow)
        while not self.proxy.struck:
            await self.suffer(sweeper.sweep())

    # What every one of them needs.

    @contextmanager
    def calm(self, *instead: Fault) -> Iterator[None]:
        """Let nothing strike what only prepares, or these instead of what is armed."""
        held = self.proxy.hold(*instead)
        try:
            yield
        finally:
            self.proxy.resume(held)

    def tomorrow(self) -> float:
        """Return a time at which every upload of now is an orphan."""
        return self.core.clock() + 2 * 86_400

    async def hot(self, path: str, content: bytes) -> Asset:
        """Write a file and bring it into the store, however often that must be tried; return it replicated."""
        await self.core.new(path, content)
        await self.settle()
        return await self.core.find(path)

    async def upload(self) -> None:
        """Upload what is due, once; a file that was written a moment ago must become a little older first."""
        waits = True
        while waits:
            await self.suffer(self.core.upload_all())
            new = [asset for asset in await self.core.assets() if asset.state is State.NEW]
            waits = any(asset.failure is None or asset.failure.code == "busy" for asset in new)

    async def suffer(self, work: Any) -> bool:
        """Do what a fault may strike; return whether it did not fail. It must end within the limit."""
        try:
            async with asyncio.timeout(LIMIT):
                await work
        except (StoreError, DamagedError, FileError):
            return False
        return True

    async def _read(self, path: str) -> None:
        """Read as an application does: the right bytes, or none that look whole."""

        async def read() -> None:
            assert await self.core.read(path) == self.contents[path], "wrong bytes were served"

        await self.suffer(read())

    async def _break_off(self) -> str:
        """Begin an upload that does not get beyond its first part."""
        path, content = self.fresh(self.large())
        with self.calm(Fault("part", Kind.INTERNAL, times=None)):
            asset = await self.core.new(path, content)
            while await self.core.catalog.uploads.of(asset.id) is None:
                await self.upload()
        return path

    async def object(self, key: str) -> bytes | None:
        """Return what the server truly has. One that was begun anew tells of objects before it can give them."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                async with self.truth.get(key) as download:
                    return b"".join([chunk async for chunk in download.chunks()])
            except NotFoundError:
                return None
            except UnavailableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def settle(self) -> set[State]:
        """Let everything be tried again until it is at rest; return the states in which only a person could help."""
        helped: set[State] = set()
        await until(lambda: not len(self.core.promoter))
        for attempt in range(ROUNDS):
            # As patient as the daemon, which waits longer from try to try.
            await asyncio.sleep(0 if attempt < ROUNDS / 2 else PATIENCE_SECONDS)
            await self.core.scan()
            await self.upload()
            assets = await self.core.assets()
            for asset in assets:
                if asset.state in {State.STUCK, State.DAMAGED}:
                    helped.add(asset.state)
                    await self.core.catalog.apply(Change.about(asset, Event.RETRIED, due_at=0.0))
            if all(asset.state in {State.REPLICATED, State.COLD} for asset in assets):
                return helped
        raise AssertionError(f"not at rest: {[(a.path, a.state, a.failure) for a in assets if a.state in IN_FLIGHT]}")

    async def audit(self) -> None:
        """Compare everything with the truth: disk, store and index, byte for byte."""
        assets = {asset.path: asset for asset in await self.core.assets()}
        assert set(assets) == set(self.contents)
        for path, content in self.contents.items():
            await self._audit(assets[RelPath(path)], content)
        assert self.core.in_trash() == []

    async def _audit(self, asset: Asset, content: bytes) -> None:
        proof = asset.proof
        assert proof is not None
        assert proof.sha256 == hashlib.sha256(content).hexdigest()
        assert await self.object(proof.key) == content, f"{asset.path} is not in the store"
        assert (await self.truth.head(proof.key)).etag == proof.etag
        on_disk = self.core.on_disk(asset.path)
        assert on_disk == (content if asset.state is State.REPLICATED else None), f"{asset.path} is not on disk"

    async def sweep(self) -> None:
        """Sweep a day later: of ours, no upload is left in the store."""
        sweeper = Sweeper(self.core.catalog, self.core.store, clock=self.tomorrow)
        while not await self.suffer(sweeper.sweep()):
            pass
        assert [pending.key async for page in self.truth.list_uploads() for pending in page] == []

    async def read_all(self) -> None:
        """Read every asset."""
        for path, content in self.contents.items():
            assert await self.core.read(path) == content


@asynccontextmanager
async def a_world(directory: Path, proxy: FaultProxy, *, bucket: str, prefix: str, seed: int) -> AsyncIterator[World]:
    """Start a core on a bucket behind the proxy; on leaving, everything is closed."""
    ignore_sigio()
    clock = Clock()
    tree = make_tree(directory / "media")
    tree.write_marker("root")
    async with AsyncExitStack() as stack:
        catalog = await Catalog.open(directory / "index.db", clock=clock)
        stack.push_async_callback(catalog.close)
        store = await S3Store.connect(settings(proxy.endpoint, bucket, prefix))
        stack.push_async_callback(store.close)
        truth = await S3Store.connect(S3Settings(bucket=bucket, prefix=prefix, endpoint=proxy.upstream))
        stack.push_async_callback(truth.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        core = Core(tree, catalog, store, group, clock=clock, rules=Rules(sizes=Sizes(ABOVE, 5 * MIB)))
        yield World(core, proxy, truth, random.Random(seed), {})
