"""Both tiers in memory, for the tests of the API: hot assets are real files, cold ones are bytes."""

# ruff: noqa: D102 - what the methods of a fake do is said by the parts that it stands for

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from daemon.doctor import Finding, Row, Verdict
from index.asset import Asset, AssetId, Proof, ProofMethod, RelPath
from index.errors import UnknownAssetError
from index.figures import Figure
from index.lifecycle import HOT, State
from index.records import Record
from index.warmth import Access
from tiering.answers import (
    BrakeState,
    ColdContent,
    ColdTier,
    Difference,
    Disk,
    DrainProgress,
    DrainReport,
    Explanation,
    HotContent,
    Inventory,
    MigrationPlan,
    MigrationProgress,
    MigrationReport,
    MigrationStatus,
    Move,
    Opened,
    Peek,
    Queue,
    Result,
    Status,
    Stray,
    Transfer,
    VerifyProgress,
    VerifyReport,
)
from tiering.entity import asset_tag, entity_tag
from tiering.leases import Leases
from tiering.observer import SilentObserver
from tiering.retention import Going
from tiering.tree import sighting_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from index.asset import Sighting
    from index.listing import Order, Query
    from tiering.answers import Content, Selection

MTIME = 1_700_000_000
NOW = 1_800_000_000.0
CHUNK = 100_000


class Chunks:
    """A cold content on its way, which breaks where it is told to."""

    def __init__(self, data: bytes, breaks_at: int | None, error: Exception | None) -> None:
        self._data = data
        self._at = 0
        self._breaks_at = breaks_at
        self._error = error
        self.closed = False

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        if self._error is not None and self._at >= (self._breaks_at or 0):
            raise self._error
        if self._at >= len(self._data):
            raise StopAsyncIteration
        chunk = self._data[self._at : self._at + CHUNK]
        self._at += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeCatalog:
    """Assets and events, in order."""

    assets: dict[str, Asset] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    oldest: int = 1
    asked: list[tuple[Query, int, str | None]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def list(
        self, query: Query, *, limit: int, cursor: str | None, order: Order
    ) -> tuple[Sequence[Asset], str | None]:
        self.asked.append((query, limit, cursor))
        self.orders.append(order)
        if cursor == "wrong":
            raise ValueError("'wrong' is no cursor")
        first = int(cursor or 0)
        page = list(self.assets.values())[first : first + limit]
        return page, str(first + limit) if first + limit < len(self.assets) else None

    async def holding(self, *, sha256: str = "", md5: str = "") -> list[Asset]:
        digests = {sha256, md5}
        return [each for each in self.assets.values() if each.proof and digests & {each.proof.sha256, each.proof.etag}]

    async def children(self, prefix: str, *, limit: int) -> list[RelPath]:
        return [asset.path for path, asset in sorted(self.assets.items()) if path.startswith(prefix)][:limit]

    async def figures(self) -> list[Figure]:
        return [
            Figure(each.state, each.type or "", each.tags.get("campaign", ""), "image", 1, each.size, each.size)
            for each in self.assets.values()
        ]

    async def events(self, after: int, *, limit: int) -> Sequence[Record]:
        return [record for record in self.records if record.cursor > after][:limit]

    async def accesses(self, after: int, *, limit: int) -> tuple[Sequence[Access], int]:
        found = [Access(NOW, 7, 100, 2), Access(NOW + 1, 8, 50, 1)][after:][:limit]
        return found, after + len(found)

    async def oldest_event(self) -> int:
        return self.oldest if self.records else 0

    async def newest_event(self) -> int:
        return self.records[-1].cursor if self.records else 0

    async def wait_change(self, after: int) -> None:
        while await self.newest_event() <= after:
            news = self._news
            await news.wait()

    def happen(self, asset: Asset, event: str = "claimed", after: State = State.UPLOADING) -> Record:
        cursor = self.records[-1].cursor + 1 if self.records else 1
        record = Record(
            cursor, NOW, asset.id, asset.path, event, asset.state, after, asset.generation, "", "key", asset.path, "key"
        )
        self.records.append(record)
        self._news.set()
        self._news = asyncio.Event()
        return record


class FakeTiers:
    """All parts that the API asks in one, and what a test put there.

    `fail` is raised by whatever is asked next; `calls` are the names of what was asked.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalog = FakeCatalog()
        self.leases = Leases(clock=lambda: NOW)
        self.cold: dict[str, bytes] = {}
        self.fail: Exception | None = None
        self.breaks_at: int | None = None
        self.break_error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.marker_fault: str | None = None
        self.calls: list[str] = []
        self.given: list[dict[str, Any]] = []
        self.chunks: Chunks | None = None
        self.now = status()

    # What tests put there

    def add_hot(self, path: str, data: bytes, *, sha256: bool = True, state: State = State.REPLICATED) -> Asset:
        """Write a file and know it."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
        os.utime(full, (MTIME, MTIME))
        asset = an_asset(
            path,
            state=state,
            fingerprint=sighting_of(path, full.stat()).fingerprint,
            sha256=hashlib.sha256(data).hexdigest() if sha256 else None,
        )
        self.catalog.assets[path] = asset
        return asset

    def add_cold(self, path: str, data: bytes) -> Asset:
        """Have it in the store only."""
        asset = an_asset(path, state=State.COLD, proof=a_proof(data))
        self.catalog.assets[path] = asset
        self.cold[path] = data
        return asset

    async def _asked(self, name: str, **given: Any) -> None:
        self.calls.append(name)
        self.given.append(given)
        if self.gate is not None:
            await self.gate.wait()
        if self.fail is not None:
            raise self.fail

    def _get(self, path: str) -> Asset:
        try:
            return self.catalog.assets[path]
        except KeyError:
            raise UnknownAssetError(f"there is no asset {path!r}") from None

    # What the API asks

    async def find(self, path: RelPath) -> Asset:
        await self._asked("find", path=path)
        return self._get(path)

    async def open(self, path: RelPath, *, wait: float) -> Opened:
        await self._asked("open", path=path, wait=wait)
        asset = self._get(path)
        hot = asset.state in HOT
        lease = self.leases.grant(asset.id) if hot else None
        return Opened(asset=asset, hit=hot, ready=hot, location=str(self.root / path), lease=lease)

    async def content(self, path: RelPath, *, whole: bool) -> Content:
        await self._asked("content", path=path, whole=whole)
        asset = self._get(path)
        if asset.state in HOT:
            return self._hot(asset, hit=True)
        data = self.cold[path]
        if not whole:
            return self._hot(self.add_hot(path, data), hit=False)
        proof = asset.proof
        assert proof is not None
        self.chunks = Chunks(data, self.breaks_at, self.break_error)
        return ColdContent(
            asset=asset, size=len(data), sha256=proof.sha256, mtime_ns=proof.mtime_ns, chunks=self.chunks
        )

    def _hot(self, asset: Asset, *, hit: bool) -> HotContent:
        fd = os.open(self.root / asset.path, os.O_RDONLY)
        return HotContent(asset=asset, fd=fd, sighting=sight_fd(asset.path, fd), hit=hit)

    async def peek(self, path: RelPath) -> Peek:
        await self._asked("peek", path=path)
        asset = self._get(path)
        if asset.fingerprint is not None:
            tag = entity_tag(asset.sha256, asset.fingerprint)
            return Peek(asset=asset, etag=tag, size=asset.size, mtime_ns=asset.fingerprint.mtime_ns)
        assert asset.proof is not None
        return Peek(asset=asset, etag=asset_tag(asset), size=asset.size, mtime_ns=asset.proof.mtime_ns)

    async def register(self, path: RelPath, **told: Any) -> Asset:
        await self._asked("register", path=path, **told)
        given = {name: value for name, value in told.items() if value is not None}
        self.catalog.assets[path] = replace(self._get(path), **given)
        return self.catalog.assets[path]

    async def describe(self, path: RelPath, **told: Any) -> Asset:
        await self._asked("describe", path=path, **told)
        self.catalog.assets[path] = replace(self._get(path), **told)
        return self.catalog.assets[path]

    async def remove(self, path: RelPath) -> Asset:
        await self._asked("remove", path=path)
        return replace(self._get(path), state=State.GONE, fingerprint=None)

    async def promote(self, selection: Selection, **how: Any) -> Sequence[Result]:
        return await self._order("promote", selection, **how)

    async def demote(self, selection: Selection, **how: Any) -> Sequence[Result]:
        return await self._order("demote", selection, **how)

    async def pin(self, selection: Selection, **how: Any) -> Sequence[Result]:
        return await self._order("pin", selection, **how)

    async def unpin(self, selection: Selection, **how: Any) -> Sequence[Result]:
        return await self._order("unpin", selection, **how)

    async def retry(self, selection: Selection, **how: Any) -> Sequence[Result]:
        return await self._order("retry", selection, **how)

    async def _order(self, name: str, selection: Selection, **how: Any) -> Sequence[Result]:
        await self._asked(name, selection=selection, **how)
        known = self.catalog.assets
        paths = selection.paths if selection.paths is not None else tuple(RelPath(path) for path in known)
        word = "planned" if how["dry_run"] else "done"
        return [
            Result(path=path, outcome=word, state=known[path].state, size=known[path].size)
            if path in known
            else Result(path=path, outcome="unknown", reason="there is no such asset")
            for path in paths
        ]

    async def explain(self, path: RelPath) -> Explanation:
        await self._asked("explain", path=path)
        return Explanation(asset=self._get(path), rank=3, next="stays", reasons=("it was used a minute ago",))

    def status(self) -> Status:
        self.calls.append("status")
        return self.now

    def transfers(self) -> list[Transfer]:
        return []

    async def verify(self, *, deep: bool) -> AsyncIterator[VerifyProgress | VerifyReport]:
        await self._asked("verify", deep=deep)
        yield VerifyProgress(checked=1, total=2, bytes=10)
        if self.break_error is not None:
            raise self.break_error
        difference = Difference(path=RelPath("a\udcff"), kind="missing", detail="no such object")
        yield VerifyReport(
            checked=2, bytes=20, files=1, objects=3, counts={"missing": 1}, differences=(difference,),
            superseded_count=1, superseded=("old",),
        )  # fmt: skip

    async def drain(self, **how: Any) -> AsyncIterator[DrainProgress | DrainReport]:
        await self._asked("drain", **how)
        yield DrainProgress(unprotected=1, unprotected_bytes=10, stuck=0)
        yield DrainReport(done=True, unprotected=0, unprotected_bytes=0, stuck=(RelPath("s\udcff"),))

    async def plan(self, *, within: float) -> AsyncIterator[list[Going]]:
        await self._asked("plan", within=within)
        for path in ("cold.jpg", "s\udcff"):
            asset = an_asset(path, state=State.COLD)
            yield [Going(asset, "type=artifact expire after 9d", marked=path == "cold.jpg", at=NOW + within)]

    async def take(self, **how: Any) -> AsyncIterator[Inventory]:
        await self._asked("take", **how)
        yield Inventory(objects=1, assets=1)
        lacking = (Stray(key="k", size=1, path=RelPath("a\udcff")),)
        yield Inventory(
            objects=2, assets=1, bytes=1, taken=1, strangers=1, lacking=lacking,
            foreign=(Stray(key="other", size=2, path=None),), is_done=True,
        )  # fmt: skip

    @property
    def migration(self) -> FakeMigration:
        return FakeMigration(self._asked)

    async def examine(self) -> list[Row]:
        await self._asked("examine")
        return [Row("store", Finding(Verdict.FAILED, "no answer", "start it"))]

    def release(self) -> None:
        self.calls.append("release")

    async def reconcile_now(self) -> None:
        await self._asked("reconcile_now")
        if "release" in self.calls and self.marker_fault is None:
            self.now = replace(self.now, brake=BrakeState())


class FakeMigration:
    """Moves one remote copy, and fails to move another."""

    def __init__(self, asked: Any) -> None:
        self._asked = asked

    async def plan(self, *layouts: Any, **how: Any) -> AsyncIterator[MigrationProgress | MigrationReport]:
        await self._asked("plan", layouts=layouts, **how)
        yield MIGRATED

    async def run(self, *layouts: Any, **how: Any) -> AsyncIterator[MigrationProgress | MigrationReport]:
        await self._asked("migrate", layouts=layouts, **how)
        return self._steps()

    async def resume(self) -> AsyncIterator[MigrationProgress | MigrationReport]:
        await self._asked("resume migration")
        return self._steps()

    async def _steps(self) -> AsyncIterator[MigrationProgress | MigrationReport]:
        yield MigrationProgress(phase="moving", done=1, total=2)
        yield MIGRATED

    async def status(self) -> MigrationStatus:
        return MigrationStatus(phase="moving", target="mirror", total=2, moved=1, left=1)


MOVE = Move(id=AssetId("0" * 32), path=RelPath("a\udcff"), key="old", to="new", why="it is stuck")
MIGRATED = MigrationReport(
    plan=MigrationPlan(
        moves=2, bytes=20, placed=1, elsewhere=1, waiting=1, unplaceable=0, outside=0, collisions=1, examples=(MOVE,)
    ),
    moved=1, failed=1, failures=(MOVE,), pruned=1, pruned_bytes=10, kept=1,
)  # fmt: skip


class FakeObserver(SilentObserver):
    """Remembers requests."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def requested(self, result: str, size_bytes: int) -> None:
        self.seen.append((result, size_bytes))


def status(**what: Any) -> Status:
    """A status with something in every part of it."""
    parts: dict[str, Any] = {
        "assets": {State.REPLICATED: 2, State.COLD: 1},
        "bytes": {State.REPLICATED: 200, State.COLD: 10},
        "queue": Queue(waiting=1, uploading=2, promoting=3, oldest_unprotected_seconds=4.5, unprotected_bytes=60),
        "disk": Disk(total=1000, free=400, used=600, limit=900, high=0.9, low=0.8),
        "store": ColdTier(url="s3://bucket/pre", reachable=True, capabilities={"conditional": True}),
        "brake": BrakeState(),
    }
    return Status(**{**parts, **what})


def an_asset(path: str, *, state: State = State.NEW, **what: Any) -> Asset:
    """An asset with something in every field that is not given."""
    fields: dict[str, Any] = {
        "id": AssetId(hashlib.md5(os.fsencode(path)).hexdigest()),
        "path": RelPath(path),
        "state": state,
        "generation": 1,
        "fingerprint": None,
        "ctime_ns": 0,
        "disk_bytes": 0,
        "mode": 0o644,
        "links": 1,
        "sha256": None,
        "content_type": "image/png",
        "proof": None,
        "pinned": False,
        "type": "photo",
        "fields": {"reel": "1"},
        "tags": {"mood": "calm"},
        "last_access": 1.5,
        "access_count": 2,
    }
    return Asset(**{**fields, **what})


def a_proof(data: bytes, *, key: str = "pics/key.png") -> Proof:
    """The proof of these bytes."""
    return Proof(
        key=key,
        etag=hashlib.md5(data).hexdigest(),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        generation=1,
        mtime_ns=MTIME * 10**9,
        mode=0o644,
        method=ProofMethod.ETAG_MD5,
        at=NOW,
    )


def sight_fd(path: str, fd: int) -> Sighting:
    """An open file as a scan would see it."""
    return sighting_of(path, os.fstat(fd))
