"""The catalog: the only door to the index.

Every call is one function that runs whole in the connection's thread. What writes is durable when the call returns, and
shares its commit with whoever writes at the same time; a cancelled call is finished first. An asset that is `new` is
the queue entry for its upload: nothing else queues.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from index import (
    admission,
    checkup,
    ledger,
    listed,
    misplaced,
    outside,
    queries,
    records,
    search,
    sidecars,
    totals,
    twins,
    warmth,
)
from index.asset import Asset, AssetId, RelPath, path_from_bytes, path_to_bytes
from index.children import read_children
from index.commits import Commits
from index.connection import Connection
from index.expiring import Marks
from index.figures import read_figures
from index.lifecycle import State
from index.listing import BY_PATH, cursor_of, position_at, position_of
from index.rows import Known, asset_from, clamped, description_columns, known_from, signed
from index.uploads import Uploads
from index.warmth import Unwarmed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from index.asset import Fingerprint
    from index.changes import Change, FoundObject, Observations
    from index.figures import Figure
    from index.listing import Order, Query
    from index.records import Record
    from index.totals import Summary, Totals
    from index.warmth import Access, Use, Warming

T = TypeVar("T")

Assets: TypeAlias = list[Asset]
Knowns: TypeAlias = list[Known]
Position: TypeAlias = tuple[float, int]
"""Where a page of candidates ended: for its reader to hand back, and nothing else."""

BEGINNING: Final[Position] = (float("-inf"), 0)

RECENT_MOST: Final = 10_000
MOST_STRUCK: Final = 1000


class Catalog:
    """What we believe about each asset. Raises CorruptIndexError from any call that meets a damaged page."""

    def __init__(
        self, connection: Connection, path: Path, now: totals.Summary, *, fresh: bool, clock: Callable[[], float]
    ) -> None:
        """Not for callers: see `open`."""
        self.fresh = fresh
        """Whether there was no index before."""
        self.work = asyncio.Event()
        """Set whenever something may be claimed that could not be before; who waits clears it."""
        self.warming: Warming = Unwarmed()
        """What an access does to heat: the policy's."""
        self.misplaced = asyncio.Event()
        """Set whenever a remote copy is to follow what is said of its asset; who waits clears it."""
        self._connection = connection
        self._path = path
        self._clock = clock
        self._now = now
        self._happened = asyncio.Event()
        self._recent: dict[RelPath, Asset] = {}
        """What was asked for by path since the last commit, so that what is hot costs no way to SQLite and back."""
        self._commits = Commits(connection, path, summarise=self._summarise, publish=self._publish)
        self.uploads = Uploads(connection, self._commits)
        self.marks = Marks(connection, self._commits, clock=clock)
        if now.totals.assets[State.NEW]:
            self.work.set()

    def __repr__(self) -> str:
        return f"<Catalog {self._path} {sum(self.totals.assets.values())} assets>"

    @classmethod
    async def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Catalog:
        """Open the index, creating it where there is none.

        Raise CorruptIndexError where SQLite does not recognise its own file, CatalogError where it cannot be used.
        """
        connection, fresh = await Connection.open(path, now=clock())
        try:
            now = await connection.submit(partial(totals.summarise, since=0))
        except BaseException:
            await connection.close()
            raise
        return cls(connection, path, now, fresh=fresh, clock=clock)

    @property
    def is_full(self) -> bool:
        """Whether there was no room when something was last to be written, or there is none now."""
        room = os.statvfs(self._path.parent)
        # Some file systems tell of no blocks at all: that says nothing.
        return self._commits.is_full or (room.f_blocks > 0 and room.f_bavail == 0)

    async def watch(self) -> None:
        """Wait for ever. Raise the first IndexFaultError that any call met, but for want of room, which passes."""
        await self._connection.watch()

    async def close(self) -> None:
        """Finish what was asked for and close the file. Calls made from now on raise CatalogError."""
        await self._commits.close()
        await self._connection.close()

    # Reading

    async def beat(self) -> None:
        """Return once the index's thread has got to it."""
        await self._connection.submit(lambda _: None)

    async def get(self, asset_id: AssetId) -> Asset:
        """Return the asset with this id. Raise UnknownAssetError."""
        return await self._connection.submit(lambda raw: ledger.get(raw, asset_id))

    async def find(self, path: RelPath) -> Asset:
        """Return the asset, or the tombstone, at this path. Raise UnknownAssetError."""
        recent = self._recent
        asset = recent.get(path)
        if asset is None:
            asset = await self._connection.submit(lambda raw: ledger.find(raw, path))
            if len(recent) >= RECENT_MOST:
                recent.clear()
            # Where there was a commit meanwhile, nobody looks into this one any more.
            recent[path] = asset
        return asset

    async def in_states(self, states: Collection[State], *, limit: int, after: AssetId | str = "") -> Assets:
        """Return a page of the assets in these states, in the order in which the index got to know them."""

        def work(raw: sqlite3.Connection) -> Assets:
            found = raw.execute(queries.ROW_OF, (after,)).fetchone()
            row = 0 if found is None else found[0]
            rows = [each for state in states for each in raw.execute(queries.IN_STATE, (state, row, limit)).fetchall()]
            return [asset_from(each[1:]) for each in sorted(rows, key=_first)[:limit]]

        return await self._connection.submit(work)

    async def between(self, after: RelPath | str, upto: RelPath | None) -> Knowns:
        """Return what is known, tombstones not counted, of the paths beyond `after` up to `upto` or the end."""
        where = {"after": path_to_bytes(after)}
        if upto is None:
            return await self._known(queries.BEYOND, where)
        return await self._known(queries.BETWEEN, where | {"upto": path_to_bytes(upto)})

    async def children(self, prefix: str, *, limit: int) -> list[RelPath]:
        """Return the first paths that begin so, in order, each as far as its next slash; tombstones not counted."""
        raw = prefix.encode("utf-8", "surrogateescape")
        found = await self._connection.submit(lambda connection: read_children(connection, raw, limit))
        return [path_from_bytes(each) for each in found]

    async def below(self, directory: RelPath) -> Knowns:
        """Return what is known, tombstones not counted, of this path and all beneath it; of everything for ""."""
        if not directory:
            return await self.between("", None)
        raw = path_to_bytes(directory)
        # `0` is the byte that follows `/`.
        return await self._known(queries.BELOW, {"directory": raw, "first": raw + b"/", "beyond": raw + b"0"})

    async def by_fingerprint(self, fingerprints: Iterable[Fingerprint]) -> list[Known]:
        """Return the hot assets whose file had one of these fingerprints."""
        keys = [(signed(each.inode), each.size, clamped(each.mtime_ns)) for each in fingerprints]
        return await self._connection.submit(
            lambda raw: [known_from(row) for key in keys for row in raw.execute(queries.BY_INODE, key).fetchall()]
        )

    async def candidates(
        self, *, order: Sequence[str], limit: int, after: Position | None = None
    ) -> tuple[Assets, Position]:
        """Return a page of what is replicated and not pinned, coldest first, and where it ended.

        `order` is ("heat",), which leaves out what has none yet, ("last_access",) or ("discovered_at",).
        `after` is where the page before ended.
        """
        (column,) = order
        sql = queries.COLDEST[column]
        begin = after or BEGINNING

        def work(raw: sqlite3.Connection) -> tuple[Assets, Position]:
            rows = raw.execute(sql, (*begin, limit)).fetchall()
            return [asset_from(row[2:]) for row in rows], rows[-1][:2] if rows else begin

        return await self._connection.submit(work)

    async def list(
        self, query: Query, *, limit: int, cursor: str | None = None, order: Order = BY_PATH
    ) -> tuple[Assets, str | None]:
        """Return one page, and the cursor of the next, None where there is none.

        Raise ValueError for a bad cursor. However much there is to look through, others get their turn meanwhile.
        Who looks for text has it read first as far as it was not, or raises IndexFullError.
        """
        after = None if cursor is None else position_at(cursor, order)
        while query.text and await self.read_text():
            pass
        rows = await search.find(
            self._connection.submit, query, order, after, limit=limit + 1, counts=self.totals.assets
        )
        page = [asset_from(row) for row in rows[:limit]]
        return page, cursor_of(position_of(page[-1], order), order) if len(rows) > limit else None

    async def read_text(self) -> bool:
        """Have text found that was said since the last time, some of it; return whether there is more.

        Raise IndexFullError.
        """
        is_unread = await self._connection.submit(search.is_unread)
        return is_unread and await self._commits.share(search.read_up, patient=False)

    async def figures(self) -> Sequence[Figure]:
        """Count everything but tombstones, row by row; what is alike comes several times. Others get their turn."""
        found: list[Figure] = []
        row: int | None = 0
        while row is not None:
            some, row = await self._connection.submit(partial(read_figures, after=row))
            found += some
        return found

    async def large_twins(self, sha256: str) -> Assets:
        """Return the assets whose remote copy holds this content, if it has at least 1 MiB."""
        return await self._connection.submit(lambda raw: twins.large(raw, sha256))

    async def holding(self, *, sha256: str = "", md5: str = "") -> Assets:
        """Return all assets that hold this content, in either tier, row by row. Others get their turn."""
        found: Assets = []
        row: int | None = 0
        while row is not None:
            some, row = await self._connection.submit(partial(twins.holding, sha256=sha256, md5=md5, after=row))
            found += some
        return found

    async def known_keys(self, keys: Sequence[str]) -> set[str]:
        """Return those of the object keys that are some asset's proof."""
        return {key for key, _ in await self.known_objects(keys)}

    async def known_objects(self, keys: Sequence[str]) -> set[tuple[str, str]]:
        """Return the keys and ETags of the proofs at these object keys."""
        rows = await self._connection.submit(
            lambda raw: raw.execute(queries.KNOWN_KEYS, (json.dumps(keys),)).fetchall()
        )
        return {(key, etag) for key, etag in rows}

    async def having(self, key: str) -> Assets:
        """Return the assets, and tombstones, whose proof is the object at this key: hardly ever more than one."""
        return await self._connection.submit(
            lambda raw: [asset_from(row) for row in raw.execute(queries.HAVING_KEY, (key,)).fetchall()]
        )

    @property
    def totals(self) -> Totals:
        """How much there is of everything: always in memory, always as of the last commit."""
        return self._now.totals

    async def oldest_unprotected(self) -> float | None:
        """Return since when the oldest content exists whose only whole copy is the local one; None if there is none."""
        return await self._one(queries.OLDEST_UNPROTECTED)

    # Changing

    async def apply(self, change: Change, *more: Change, patient: bool = True) -> Asset:
        """Make all changes to one asset or none, and return it as the last one leaves it.

        Raise StaleTransitionError or UnknownAssetError where a change is about something that is not so any more, and
        IllegalTransitionError where the lifecycle has no such edge, which is a bug.

        Where there is no room for the index, wait for some, or raise IndexFullError if it is not `patient`: what
        begins something, or can be given up, should not be.
        """
        now = self._clock()
        return await self._commits.share(lambda raw: ledger.perform(raw, (change, *more), now=now), patient=patient)

    async def apply_each(self, batch: Sequence[Sequence[Change]]) -> None:
        """Make changes to many assets in one commit: all of those to one or none. Stale ones are left out."""
        now = self._clock()
        await self._commits.share(lambda raw: ledger.perform_each(raw, batch, now=now))

    async def claim(self, limit: int, *, now: float, covers: Callable[[RelPath], bool] = outside.everything) -> Assets:
        """Take at most `limit` new assets that are due, oldest first: they are uploading now.

        What `covers` says is out of the roll-out is shut out until `let_in`.
        """
        look = limit
        while True:
            claim = partial(outside.claim, limit=limit, look=look, covers=covers, now=now)
            claimed, is_shut_out = await self._commits.share(claim)
            if claimed or not is_shut_out:
                return claimed
            look = outside.AT_ONCE

    async def let_in(self, covers: Callable[[RelPath], bool], *, now: float) -> None:
        """Make due what was shut out and is covered now. However much there is, others get their turn meanwhile."""
        row: int | None = 0 if self.totals.outside else None
        while row is not None:
            row = await self._commits.share(partial(outside.let_in, covers=covers, after=row, now=now))
        self.work.set()

    async def next_due(self) -> float | None:
        """Return when the next new asset may be claimed."""
        return await self._one(queries.NEXT_DUE)

    async def make_due(self, *, now: float) -> int:
        """Let everything new be claimed now; return how many were to wait."""
        count = await self._commits.share(
            lambda raw: raw.execute(queries.MAKE_DUE, {"now": now}).rowcount, patient=False
        )
        self.work.set()
        return count

    async def observe(self, batch: Observations, *, patient: bool = True) -> None:
        """Take in what a scan found. What is stale is left out: the next scan sees it again.

        Where there is no room for the index, wait for some, or raise IndexFullError if it is not `patient`.
        """
        now = self._clock()
        await self._commits.share(lambda raw: admission.observe(raw, batch, self.warming, now=now), patient=patient)
        if batch.misplaced:
            self.misplaced.set()

    async def adopt_cold(self, found: Sequence[FoundObject]) -> int:
        """Take in the objects that the index does not know, and return how many those were.

        A new file at such a path gets the identity of its object back, and stays new until its content was compared.
        """
        now = self._clock()
        return await self._commits.share(lambda raw: admission.adopt(raw, found, now=now))

    async def enlist(self, objects: Sequence[listed.Listed]) -> Sequence[listed.Listed]:
        """Take in what a listing says at paths of which nothing is known; return that. See index/listed.py."""
        now = self._clock()
        return await self._commits.share(lambda raw: listed.enlist(raw, objects, now=now))

    async def identify(self, asset: Asset, found: FoundObject | None) -> None:
        """Put what its object says in the place of an asset of which only a listing told; nothing: forget it."""
        now = self._clock()

        def work(raw: sqlite3.Connection) -> None:
            if found is not None:
                admission.adopt(raw, [found], now=now)
            listed.strike(raw, asset.path)

        await self._commits.share(work)

    async def strike_listed(self) -> None:
        """Forget all of which only a listing tells."""
        # Looked for first: where there are none, no room for the index is needed.
        if not await self._connection.submit(lambda raw: raw.execute(queries.LISTED, (1,)).fetchall()):
            return
        while await self._commits.share(lambda raw: listed.strike_some(raw, MOST_STRUCK)):
            pass

    async def touch(self, accesses: Mapping[AssetId, Use]) -> None:
        """Note how each asset was used. Raise IndexFullError."""
        await self._commits.share(lambda raw: warmth.touch(raw, accesses, self.warming), patient=False)

    async def accesses(self, after: int, *, limit: int) -> tuple[Sequence[Access], int]:
        """Return the recorded accesses with a higher cursor, in order, and the last cursor."""
        return await self._connection.submit(lambda raw: warmth.accesses_after(raw, after, limit=limit))

    async def receive(self, *, limit: int) -> int:
        """Give heat to those on disk that have none, and return how many those were. Raise IndexFullError."""
        return await self._commits.share(lambda raw: warmth.receive(raw, self.warming, limit=limit), patient=False)

    async def convert_heat(self, change: Callable[[float, int], float], *, after: int, limit: int) -> int | None:
        """Change the heat of so many assets beyond a row, by heat and size; return the last row, None at the end."""
        return await self._commits.share(lambda raw: warmth.convert(raw, change, after=after, limit=limit))

    async def set_pinned(self, ids: Iterable[AssetId], pinned: bool) -> int:  # noqa: FBT001 - the fact that is set
        """Pin or unpin, and return how many were not so before. Raise IndexFullError."""
        rows = [(int(pinned), asset_id) for asset_id in ids]
        return await self._commits.share(lambda raw: raw.executemany(queries.PIN, rows).rowcount, patient=False)

    async def describe(
        self,
        asset_id: AssetId,
        *,
        type: str | None,
        fields: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> Asset:
        """Set all three to exactly this; the remote copy is to follow. Raise UnknownAssetError, IndexFullError."""
        columns = {"id": asset_id, **description_columns(type, fields, tags)}

        def work(raw: sqlite3.Connection) -> Asset:
            before = ledger.get(raw, asset_id)
            if (before.type, before.fields, before.tags) == (type, fields, tags):
                return before
            raw.execute(queries.DESCRIBE, columns)
            misplaced.mark(raw, [asset_id])
            return ledger.get(raw, asset_id)

        asset = await self._commits.share(work, patient=False)
        self.misplaced.set()
        return asset

    async def describe_first(
        self,
        asset_id: AssetId,
        *,
        type: str | None,
        fields: Mapping[str, str],
        tags: Mapping[str, str],
        by_sidecar: bool,
    ) -> Asset:
        """Set all three where nothing was said yet; the upload under way takes them along. Raise UnknownAssetError."""
        columns = {"id": asset_id, **description_columns(type, fields, tags)}

        def work(raw: sqlite3.Connection) -> Asset:
            before = ledger.get(raw, asset_id)
            if before.is_described:
                return before
            raw.execute(queries.DESCRIBE, columns)
            if by_sidecar:
                sidecars.say(raw, asset_id, (type, fields, tags))
            return ledger.get(raw, asset_id)

        return await self._commits.share(work)

    async def describe_late(
        self, before: Asset, *, type: str | None, fields: Mapping[str, str], tags: Mapping[str, str]
    ) -> bool:
        """Set all three as the sidecar says, and have the remote copy follow, unless it is not as `before` any more.

        Return whether that was so. Raise UnknownAssetError, IndexFullError.
        """
        columns = {"id": before.id, **description_columns(type, fields, tags)}

        def work(raw: sqlite3.Connection) -> bool:
            now = ledger.get(raw, before.id)
            if (now.type, now.fields, now.tags) != (before.type, before.fields, before.tags):
                return False
            raw.execute(queries.DESCRIBE, columns)
            sidecars.say(raw, before.id, (type, fields, tags))
            misplaced.mark(raw, [before.id])
            return True

        is_set = await self._commits.share(work, patient=False)
        self.misplaced.set()
        return is_set

    async def sidecar_said(self, asset_id: AssetId) -> sidecars.Said | None:
        """Return what the sidecar of an asset said when it was last believed."""
        return await self._connection.submit(lambda raw: sidecars.said(raw, asset_id))

    async def believe_sidecar(self, asset: Asset) -> None:
        """Write down that the sidecar says just what is known of an asset. Raise IndexFullError."""
        said = asset.type, asset.fields, asset.tags
        await self._commits.share(lambda raw: sidecars.say(raw, asset.id, said), patient=False)

    # What contents measure

    async def unmeasured(self, *, after: int, limit: int) -> tuple[Assets, int]:
        """Return a page of the replicated assets beyond a row that were never measured, and the last row, else 0."""

        def work(raw: sqlite3.Connection) -> tuple[Assets, int]:
            rows = raw.execute(queries.UNMEASURED, (after, limit)).fetchall()
            return [asset_from(row[1:]) for row in rows], rows[-1][0] if rows else 0

        return await self._connection.submit(work)

    async def note_measured(self, found: Iterable[tuple[Asset, Mapping[str, str]]]) -> None:
        """Keep what was measured of each content; of one that was overwritten meanwhile, nothing."""
        rows = [(json.dumps(dict(measured)), asset.id, asset.generation) for asset, measured in found]
        await self._commits.share(lambda raw: raw.executemany(queries.MEASURE, rows).rowcount)

    # Remote copies that are to follow what is said

    async def misplace(self, ids: Collection[AssetId]) -> int:
        """Have the remote copies of these follow; return how many have one. Raise IndexFullError."""
        count = await self._commits.share(lambda raw: misplaced.mark(raw, ids), patient=False)
        self.misplaced.set()
        return count

    async def to_place(self, *, after: AssetId | str, limit: int) -> Sequence[tuple[Asset, int]]:
        """Return a page of the assets whose remote copy is to follow, each with the version of its mark."""
        return await self._connection.submit(lambda raw: misplaced.page(raw, after, limit))

    async def placed(self, asset_id: AssetId, version: int) -> None:
        """Note that the remote copy has followed, unless something else has been said since that version."""
        await self._commits.share(lambda raw: raw.execute(queries.PLACED, (asset_id, version)).rowcount)

    async def is_misplaced(self, asset_id: AssetId) -> bool:
        """Return whether the remote copy of this asset is to follow."""
        return await self._connection.submit(
            lambda raw: raw.execute(queries.IS_MISPLACED, (asset_id,)).fetchone() is not None
        )

    async def count_misplaced(self) -> int:
        """Return of how many assets the remote copy is to follow."""
        return int(await self._one(queries.MISPLACED_COUNT) or 0)

    # What the store was asked about again

    async def least_checked(self, *, before: float, limit: int) -> Assets:
        """Return a page of the cold assets about which the store was last asked before then, longest ago first."""
        return await self._connection.submit(
            lambda raw: [asset_from(row) for row in raw.execute(queries.LEAST_CHECKED, (before, limit)).fetchall()]
        )

    async def oldest_check(self) -> float | None:
        """Return when the store was asked about the cold asset that it was asked about longest ago."""
        return await self._one(queries.OLDEST_CHECK)

    async def note_checked(self, ids: Iterable[AssetId], *, at: float) -> None:
        """Note that the store was asked about these, as far as they are cold."""
        rows = [(at, asset_id) for asset_id in ids]
        await self._commits.share(lambda raw: raw.executemany(queries.CHECKED, rows).rowcount)

    # Tombstones

    async def to_purge(self, *, limit: int) -> Assets:
        """Return tombstones whose remote copy must still go."""
        return await self._connection.submit(
            lambda raw: [asset_from(row) for row in raw.execute(queries.TO_PURGE, (limit,)).fetchall()]
        )

    async def purged(self, asset_id: AssetId) -> None:
        """Note that the remote copy of a tombstone is gone."""
        await self._commits.share(lambda raw: raw.execute(queries.PURGED, (asset_id,)).rowcount)

    async def buried(self) -> Mapping[AssetId, int]:
        """Return the assets that the record says a person removed, each with its generation then."""
        rows = await self._connection.submit(lambda raw: raw.execute(queries.BURIED).fetchall())
        return {AssetId(asset_id): generation for asset_id, generation in rows}

    async def forget_gone(self, before: float) -> int:
        """Drop the tombstones that were set before then and need no purge; return how many."""
        return await self._commits.share(lambda raw: raw.execute(queries.FORGET, (before,)).rowcount)

    # Facts and events

    async def remember(self, name: str, value: str) -> None:
        """Keep a small fact about this index."""
        await self._commits.share(lambda raw: raw.execute(queries.REMEMBER, (name, value)).rowcount)

    async def recall(self, name: str) -> str | None:
        """Return a fact that was remembered."""
        row = await self._connection.submit(lambda raw: raw.execute(queries.RECALL, (name,)).fetchone())
        return None if row is None else str(row[0])

    async def faults(self) -> Sequence[str]:
        """Read every page of the file, about a second a million assets, and return what is wrong with it."""
        return await self._connection.submit(checkup.faults)

    async def events(self, after: int, *, limit: int) -> Sequence[Record]:
        """Return the records with a higher cursor, in order."""
        return await self._connection.submit(lambda raw: records.read_records(raw, after, limit))

    async def oldest_event(self) -> int:
        """Return the cursor of the oldest record that is kept; where there is none, that of the next."""
        oldest, _ = await self._connection.submit(lambda raw: raw.execute(queries.EVENT_SPAN).fetchone())
        return self._now.newest_event + 1 if oldest is None else int(oldest)

    async def newest_event(self) -> int:
        """Return the highest cursor ever given; on a new index, the one before the first."""
        return self._now.newest_event

    async def prune_events(self, keep: int) -> None:
        """Forget all but the newest `keep` records, some at a time."""
        while await self._commits.share(lambda raw: records.prune(raw, keep)):
            pass

    async def wait_change(self, after: int) -> None:
        """Return once there is a record with a higher cursor."""
        while self._now.newest_event <= after:
            await self._happened.wait()

    async def _known(self, sql: str, values: Mapping[str, object] | tuple[object, ...]) -> Knowns:
        return await self._connection.submit(
            lambda raw: [known_from(row) for row in raw.execute(sql, values).fetchall()]
        )

    async def _one(self, sql: str) -> float | None:
        row = await self._connection.submit(lambda raw: raw.execute(sql).fetchone())
        return None if row is None else float(row[0])

    def _summarise(self, raw: sqlite3.Connection) -> Summary:
        return totals.summarise(raw, since=self._now.newest_event)

    def _publish(self, now: Summary) -> None:
        before, self._now = self._now, now
        self._recent = {}
        if now.claimable:
            self.work.set()
        if now.newest_event > before.newest_event:
            self._happened.set()
            self._happened = asyncio.Event()


def _first(row: tuple[int, ...]) -> int:
    return row[0]
