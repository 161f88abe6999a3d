"""What applications ask of the two tiers, one asset at a time: find it, open it, read it, describe it, remove it.

A path on disk that the index does not know is taken in and served. "Unknown" is said only where there is neither a
file nor a cold asset, and never while the index is still learning what the store has.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import HOT, State
from tiering.answers import ColdContent, HotContent, Opened, Peek
from tiering.entity import asset_tag, entity_tag
from tiering.outcome import ConflictError, DamagedError, RestoringError
from tiering.store import UnavailableError
from tiering.tree import BusyError, FileError, MissingError

if TYPE_CHECKING:
    from index.asset import Asset, Proof, RelPath, Sighting
    from index.catalog import Catalog
    from tiering.accesses import Accesses
    from tiering.answers import Chunks, Content
    from tiering.arrival import Arrival
    from tiering.demoter import Demoter
    from tiering.discovery import Discovery
    from tiering.lanes import Lanes
    from tiering.leases import Lease, Leases
    from tiering.outcome import TierError
    from tiering.passage import Passage
    from tiering.promoter import Promoter
    from tiering.reconciler import Reconciler
    from tiering.store import StoreError
    from tiering.tree import Tree

MOVES_MOST: Final = 8
"""How often an asset may move between a look and the act that follows, before its reader is told to come again."""


class Tiers:
    """The two tiers as one."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        *,
        reconciler: Reconciler,
        discovery: Discovery,
        promoter: Promoter,
        demoter: Demoter,
        leases: Leases,
        accesses: Accesses,
        passage: Passage,
        lanes: Lanes,
    ) -> None:
        self._catalog = catalog
        self._tree = tree
        self._root = str(tree.root)
        self._reconciler = reconciler
        self._discovery = discovery
        self._promoter = promoter
        self._demoter = demoter
        self._leases = leases
        self._accesses = accesses
        self._passage = passage
        self._lanes = lanes

    async def find(self, path: RelPath) -> Asset:
        """Return the asset at this path, taking in a file that the index does not know.

        Raise UnknownAssetError where there is neither file nor cold asset, UnavailableError while that is not known.
        """
        try:
            asset = await self._catalog.find(path)
        except UnknownAssetError:
            return await self._take_in(path)
        if asset.is_listed and asset.state is State.COLD:
            # Only its object can say whether it is this asset, and what it holds.
            await self._discovery.identify(asset)
            return await self.find(path)
        match asset.state:
            case State.GONE:
                return await self._take_in(path)
            case State.COLD | State.DAMAGED:
                return await self._take_in_if_written(asset)
            case _:
                return asset

    async def _take_in_if_written(self, asset: Asset) -> Asset:
        """Return what is not on disk as it is, unless its owner wrote a file there that nobody has noticed yet."""
        try:
            return await self._reconciler.take_in(asset.path)
        except FileError:
            return asset

    async def _take_in(self, path: RelPath) -> Asset:
        try:
            return await self._reconciler.take_in(path)
        except MissingError:
            if self._discovery.done.is_set():
                raise UnknownAssetError(f"there is no asset {printable(path)}") from None
            raise UnavailableError(
                f"{printable(path)} is not on disk, and what the store has is still being learnt",
                hint="ask again in a moment; `tierd status` says whether the store is reachable",
            ) from None

    async def open(self, path: RelPath, *, wait: float) -> Opened:
        """Make sure that the asset is on disk, for at most `wait` seconds, and lease it to whoever asked.

        Raise what find raises, NoSpaceError, DamagedError, and what the store raises.
        """
        deadline = asyncio.get_running_loop().time() + wait
        asset = await self.find(path)
        self._passage.asked(asset)
        hit = True
        for _ in range(MOVES_MOST):
            lease = await self._lease_if_hot(asset)
            if lease is not None:
                self._accesses.record(asset, hit=hit)
                return self._opened(asset, hit=hit, lease=lease)
            hit = hit and asset.state in HOT
            try:
                async with asyncio.timeout_at(deadline):
                    asset = await self._bring(asset)
            except TimeoutError:
                return self._opened(await self._catalog.get(asset.id), hit=False, lease=None)
            except RestoringError as error:
                pending = self._opened(await self._catalog.get(asset.id), hit=False, lease=None)
                return replace(pending, expected=error.expected)
        raise self._restless(path)

    def _restless(self, path: RelPath) -> TierError | StoreError:
        """Return why the asset never was where the index said, however often that was looked at."""
        brake = self._reconciler.brake
        if not brake.engaged:
            return ConflictError(f"{printable(path)} moves too often", hint="ask again")
        return UnavailableError(
            f"{printable(path)} is not on disk, and not taken for gone, since the brake is engaged: {brake.reason}",
            hint="look at the disk; `tierd resume --confirm` says that what is missing is meant to be",
        )

    async def _lease_if_hot(self, asset: Asset) -> Lease | None:
        """Lease it if its file is there; the lease comes first, so that no demotion can begin in between."""
        if asset.state not in HOT:
            return None
        lease = self._leases.grant(asset.id)
        try:
            await self._demoter.recall(asset.id)
            await self._lanes.run(partial(self._tree.sight, asset.path))
        except MissingError:
            self._leases.release(lease.id)
            return None
        except BaseException:
            self._leases.release(lease.id)
            raise
        return lease

    def _opened(self, asset: Asset, *, hit: bool, lease: Lease | None) -> Opened:
        location = f"{self._root}/{asset.path}"
        return Opened(asset=asset, hit=hit, ready=lease is not None, location=location, lease=lease)

    async def _bring(self, asset: Asset) -> Asset:
        """Return the asset once it is hot, or as it is now if it was not cold."""
        match asset.state:
            case State.COLD | State.PROMOTING:
                return await self._wait_arrival(self._promoter.begin(asset))
            case State.DAMAGED:
                raise DamagedError(
                    f"{printable(asset.path)} is damaged: its remote copy is missing or wrong",
                    hint="restore the object in the store, then `tierd retry`",
                )
            case _:
                # The index thought that it was on disk, and it is not: look closely, and believe the disk.
                await self._demoter.recall(asset.id)
                await self._reconciler.look([asset.path])
                return await self.find(asset.path)

    async def content(self, path: RelPath, *, whole: bool) -> Content:
        """Return the bytes: an open file, or, for the whole of a cold asset, what arrives while it is promoted.

        Raise what open raises.
        """
        asset = await self.find(path)
        self._passage.asked(asset)
        hit = True
        for _ in range(MOVES_MOST):
            hot = await self._open_hot(asset, hit=hit)
            if hot is not None:
                self._accesses.record(asset, hit=hit)
                return hot
            hit = hit and asset.state in HOT
            if whole and asset.state is State.COLD:
                if (passing := self._pass_through(asset)) is not None:
                    self._accesses.record(asset, hit=False)
                    return passing
                arrival = self._promoter.begin(asset)
                cold = await _read_along(arrival)
                if cold is not None:
                    self._accesses.record(asset, hit=False)
                    return cold
                # Over before there was anything to read: what came of it holds for this reader, too.
                asset = await self._wait_arrival(arrival)
            else:
                asset = await self._bring(asset)
        raise self._restless(path)

    def _pass_through(self, asset: Asset) -> ColdContent | None:
        """Return the content as it comes from the store; None where it is to be promoted for that."""
        if asset.proof is None or self._promoter.is_under_way(asset) or self._passage.is_admitted(asset):
            return None
        return _cold_content(asset, asset.proof, self._passage.chunks(asset, asset.proof))

    async def _open_hot(self, asset: Asset, *, hit: bool) -> HotContent | None:
        if asset.state not in HOT:
            return None
        opening = asyncio.ensure_future(self._lanes.run(partial(self._open_and_look, asset.path)))
        try:
            fd, sighting = await asyncio.shield(opening)
        except (MissingError, BusyError):
            await self._demoter.recall(asset.id)
            return None
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        return HotContent(asset=asset, fd=fd, sighting=sighting, hit=hit)

    def _open_and_look(self, path: RelPath) -> tuple[int, Sighting]:
        fd = self._tree.open(path)
        try:
            return fd, self._tree.sight_fd(path, fd)
        except BaseException:
            os.close(fd)
            raise

    async def _wait_arrival(self, arrival: Arrival) -> Asset:
        try:
            return await arrival.wait()
        except StaleTransitionError:
            return await self.find(arrival.asset.path)

    async def peek(self, path: RelPath) -> Peek:
        """Return what a HEAD tells, moving nothing."""
        asset = await self.find(path)
        if asset.fingerprint is None and asset.proof is not None:
            return Peek(asset=asset, etag=asset_tag(asset), size=asset.proof.size, mtime_ns=asset.proof.mtime_ns)
        sighting = await asyncio.to_thread(self._tree.sight, path)
        known = asset.sha256 if sighting.fingerprint == asset.fingerprint else None
        etag = entity_tag(known, sighting.fingerprint)
        size, mtime_ns = sighting.fingerprint.size, sighting.fingerprint.mtime_ns
        return Peek(asset=asset, etag=etag, size=size, mtime_ns=mtime_ns)


def _close(opening: asyncio.Future[tuple[int, Sighting]]) -> None:
    """Close a file that was opened for somebody who has gone."""
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


async def _read_along(arrival: Arrival) -> ColdContent | None:
    asset = arrival.asset
    stream = await arrival.wait_stream()
    reader = stream.follow() if stream is not None else None
    if reader is None or asset.proof is None:
        return None
    return _cold_content(asset, asset.proof, reader)


def _cold_content(asset: Asset, proof: Proof, chunks: Chunks) -> ColdContent:
    return ColdContent(asset=asset, size=proof.size, sha256=proof.sha256, mtime_ns=proof.mtime_ns, chunks=chunks)
