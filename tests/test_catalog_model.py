"""The catalog against a model of plain dictionaries: whatever is asked of both, in whatever order, both agree."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from catalogs import a_sighting, change
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from samples import NOW, a_proof

from index.asset import Asset, AssetId, Failure, Proof, RelPath
from index.catalog import Catalog
from index.changes import FoundObject, Observations
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import HOT, TRANSITIONS, UNPROTECTED, Event, State
from index.listing import Query
from index.warmth import Use

PATHS = [RelPath(path) for path in ("a", "a/b", "a.b", "b", "\udcff", "ü")]
SIZES = st.sampled_from([0, 1, 5000])

Row = dict[str, Any]

BESIDE = "SELECT path, bytes, is_hot, may_leave FROM warmth LEFT JOIN asset USING (row)"

SAY_NOTHING_OF_FAILURES = {
    Event.CLAIMED,
    Event.SENT,
    Event.CHOSEN,
    Event.EVICTED,
    Event.SPARED,
    Event.WANTED,
    Event.MISPLACED,
    Event.REKEYED,
}


class Model:
    """What the catalog must know: one dictionary an asset, by path. Slow, and too simple to be wrong."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.events: list[tuple[str, str, State | None, State]] = []

    def add(self, path: str, **columns: Any) -> None:
        """Note an asset that was not known."""
        row: Row = {"generation": 1, "size": None, "disk": 0, "proven": None, "pinned": False, "failure": None}
        self.rows[path] = row | {"used": 0, "due": NOW, "since": NOW, "purge": False} | columns
        self.events.append((path, "discovered", None, self.rows[path]["state"]))

    def happen(self, path: str, event: Event, *, now: float, size: int, retry_at: float | None) -> None:
        """Note what the event does to the asset at this path."""
        row = self.rows[path]
        before, row["state"] = row["state"], TRANSITIONS[row["state"]][event]
        self._content(row, event, size)
        self._trouble(row, event, now, retry_at)
        if event is Event.REMOVED:
            row["purge"] = row["proven"] is not None
        if event in {Event.CHANGED, Event.LOST, Event.REMOVED}:
            row["since"] = now
        if event is Event.MISMATCHED and before is State.REPLICATED:
            row |= {"proven": None, "since": now}
        self.events.append((path, event.value, before, row["state"]))

    def _content(self, row: Row, event: Event, size: int) -> None:
        if event is Event.MISPLACED:
            row |= {"generation": row["generation"] + 1, "proven": (row["generation"] + 1, row["proven"][1])}
        if event is Event.CHANGED:
            row |= {"generation": row["generation"] + 1, "purge": False}
        if event in {Event.CHANGED, Event.RESTORED}:
            row |= {"size": size, "disk": -(-size // 4096) * 4096}
        if event is Event.VERIFIED:
            row["proven"] = (row["generation"], row["size"])
        if event is Event.VANISHED:
            row["proven"] = (row["generation"], row["proven"][1])
        if row["state"] not in HOT:
            row |= {"size": None, "disk": 0}

    def _trouble(self, row: Row, event: Event, now: float, retry_at: float | None) -> None:
        if event in {Event.DEFERRED, Event.REFUSED, Event.MISMATCHED}:
            row["failure"] = retry_at if retry_at is not None else "for ever"
        elif event not in SAY_NOTHING_OF_FAILURES:
            row["failure"] = None
        if event in {Event.DEFERRED, Event.MISMATCHED} and retry_at is not None:
            row["due"] = retry_at
        elif event in {Event.DEFERRED, Event.MISMATCHED, Event.RETRIED, Event.CHANGED}:
            row["due"] = now


def seen(asset: Asset) -> Row:
    """Return an asset as the model has it."""
    failure: object = None
    if asset.failure is not None:
        failure = "for ever" if asset.failure.retry_at is None else asset.failure.retry_at
    return {
        "state": asset.state,
        "generation": asset.generation,
        "size": None if asset.fingerprint is None else asset.fingerprint.size,
        "disk": asset.disk_bytes,
        "proven": None if asset.proof is None else (asset.proof.generation, asset.proof.size),
        "pinned": asset.pinned,
        "failure": failure,
        "used": asset.access_count,
        "due": asset.due_at,
        "since": asset.changed_at,
        "purge": asset.purge,
    }


class CatalogMachine(RuleBasedStateMachine):
    """Does the same to a catalog on disk and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="tierd-model-"))
        self.runner = asyncio.Runner()
        self.now = NOW
        self.model = Model()
        self.last: dict[str, Asset] = {}
        self.next_object = 0

    def do(self, call: Any) -> Any:
        """Wait for a call of the catalog."""
        return self.runner.run(call)

    @initialize()
    def open(self) -> None:
        """Begin with a new index."""
        self.catalog = self.do(Catalog.open(self.directory / "index.db", clock=lambda: self.now))
        self.base = self.do(self.catalog.newest_event())

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.do(self.catalog.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def find(self, path: str) -> Asset:
        """Return the asset as the catalog has it, and keep it as what somebody may believe later."""
        asset: Asset = self.do(self.catalog.find(RelPath(path)))
        self.last.setdefault(path, asset)
        return asset

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        """Later is later."""
        self.now += seconds

    @rule()
    def reopen(self) -> None:
        """A restart changes nothing."""
        self.do(self.catalog.close())
        self.catalog = self.do(Catalog.open(self.directory / "index.db", clock=lambda: self.now))

    @rule(found=st.dictionaries(st.sampled_from(PATHS), SIZES), wait=st.integers(0, 50))
    def scan(self, found: dict[RelPath, int], wait: int) -> None:
        """A scan finds files at paths that it thinks unknown."""
        files = [(a_sighting(path, size=size), self.now + wait) for path, size in found.items()]
        self.do(self.catalog.observe(Observations(discovered=files)))
        for path, size in found.items():
            row = self.model.rows.get(path)
            if row is None:
                disk = -(-size // 4096) * 4096
                due = self.now + wait
                self.model.add(path, state=State.NEW, size=size, disk=disk, due=due, since=self.now)
        for path, size in found.items():
            row = self.model.rows[path]
            if row["state"] is State.GONE:
                self.model.happen(path, Event.CHANGED, now=self.now, size=size, retry_at=None)
                row["due"] = self.now + wait

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), size=SIZES, retry=st.none() | st.integers(1, 60))
    def happen(self, data: st.DataObject, size: int, retry: int | None) -> None:
        """Something happens that may happen to an asset."""
        path = data.draw(st.sampled_from(sorted(self.model.rows)))
        row = self.model.rows[path]
        possible = set(TRANSITIONS[row["state"]]) - ({Event.VANISHED} if row["proven"] is None else {Event.LOST})
        event = data.draw(st.sampled_from(sorted(possible)))
        retry_at = None if retry is None else self.now + retry
        what: dict[str, Any] = {"failure": Failure("code", "message", 1, retry_at)}
        if event in {Event.CHANGED, Event.RESTORED}:
            what["sighting"] = a_sighting(path, size=size)
        if event is Event.REMOVED:
            what["purge"] = row["proven"] is not None
        asset = self.find(path)
        after = self.do(self.catalog.apply(change(asset, event, **what)))
        self.model.happen(path, event, now=self.now, size=size, retry_at=retry_at)
        assert seen(after) == self.model.rows[path]

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def mistake(self, data: st.DataObject) -> None:
        """Somebody acts on what was so some time ago: if it is not so any more, nothing happens."""
        asset = self.last.pop(data.draw(st.sampled_from(sorted(self.last))))
        row = self.model.rows.get(asset.path)
        event = min(TRANSITIONS[asset.state])
        if row is not None and (row["state"], row["generation"]) == (asset.state, asset.generation):
            return
        with pytest.raises((StaleTransitionError, UnknownAssetError)):
            self.do(self.catalog.apply(change(asset, event)))
        self.do(self.catalog.observe(Observations(changes=[change(asset, event)])))

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        """An uploader takes what is due, longest first."""
        due = [path for path, row in self.model.rows.items() if row["state"] is State.NEW and row["due"] <= self.now]
        claimed = self.do(self.catalog.claim(limit, now=self.now))
        assert len(claimed) == min(limit, len(due))
        waits = sorted(self.model.rows[path]["due"] for path in due)
        assert [asset.due_at for asset in claimed] == waits[: len(claimed)]
        for asset in claimed:
            self.model.happen(asset.path, Event.CLAIMED, now=self.now, size=0, retry_at=None)

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), pinned=st.booleans())
    def pin(self, data: st.DataObject, *, pinned: bool) -> None:
        """A person pins or unpins."""
        path = data.draw(st.sampled_from(sorted(self.model.rows)))
        row = self.model.rows[path]
        expected = row["state"] is not State.GONE and row["pinned"] is not pinned
        assert self.do(self.catalog.set_pinned([self.find(path).id], pinned)) == int(expected)
        row["pinned"] = pinned if expected else row["pinned"]

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), count=st.integers(1, 5))
    def touch(self, data: st.DataObject, count: int) -> None:
        """An application uses an asset."""
        path = data.draw(st.sampled_from(sorted(self.model.rows)))
        self.do(self.catalog.touch({self.find(path).id: Use(self.now, count)}))
        if self.model.rows[path]["state"] is not State.GONE:
            self.model.rows[path]["used"] += count

    @rule(path=st.sampled_from(PATHS), generation=st.integers(1, 9), size=SIZES)
    def list_store(self, path: RelPath, generation: int, size: int) -> None:
        """Discovery finds an object that nobody has told the index of."""
        self.next_object += 1
        proof: Proof = replace(a_proof(), generation=generation, size=size, mtime_ns=0)
        found = FoundObject(AssetId(f"object{self.next_object}"), path, proof, None)
        adopted = self.do(self.catalog.adopt_cold([found]))
        row = self.model.rows.get(path)
        if row is None:
            self.model.add(path, state=State.COLD, generation=generation, proven=(generation, size))
            self.model.rows[path] |= {"due": self.now, "since": self.now}
        elif row["state"] is State.NEW and row["proven"] is None:
            row |= {"generation": max(row["generation"], generation + 1), "proven": (generation, size)}
            # Under the id that it had until now it is gone: the object says which asset it is.
            self.model.events.append((path, "discovered", State.NEW, State.GONE))
            self.model.events.append((path, "discovered", State.NEW, State.NEW))
            self.last.pop(path, None)
        else:
            assert adopted == 0
            return
        assert adopted == 1

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data(), to=st.sampled_from(PATHS), size=SIZES)
    def move(self, data: st.DataObject, to: RelPath, size: int) -> None:
        """An owner renames a file; where something else is, the move is refused whole."""
        path = data.draw(st.sampled_from(sorted(self.model.rows)))
        if to == path or Event.CHANGED not in TRANSITIONS[self.model.rows[path]["state"]]:
            return
        moved = change(self.find(path), Event.CHANGED, path=to, sighting=a_sighting(to, size=size))
        there = self.model.rows.get(to)
        if there is not None and (there["state"] is not State.GONE or there["purge"]):
            with pytest.raises(StaleTransitionError):
                self.do(self.catalog.apply(moved))
            return
        assert self.do(self.catalog.apply(moved)).path == to
        self.model.happen(path, Event.CHANGED, now=self.now, size=size, retry_at=None)
        self.model.rows[to] = self.model.rows.pop(path)
        self.model.events[-1] = (to, *self.model.events[-1][1:])
        self.last.pop(to, None)

    @rule()
    def purge(self) -> None:
        """The remote copies of tombstones are removed, and old tombstones forgotten."""
        waiting = self.do(self.catalog.to_purge(limit=99))
        assert {asset.path for asset in waiting} == {path for path, row in self.model.rows.items() if row["purge"]}
        for asset in waiting:
            self.do(self.catalog.purged(asset.id))
            self.model.rows[asset.path] |= {"purge": False, "proven": None}
        old = [
            path for path, row in self.model.rows.items() if row["state"] is State.GONE and row["since"] < self.now - 50
        ]
        assert self.do(self.catalog.forget_gone(self.now - 50)) == len(old)
        for path in old:
            del self.model.rows[path]
            self.last.pop(path, None)

    @invariant()
    def assets_agree(self) -> None:
        """Every asset, in the order of paths, is as the model has it."""
        page, cursor = self.do(self.catalog.list(Query(states=tuple(State)), limit=99))
        assert cursor is None
        expected = sorted(self.model.rows, key=lambda path: path.encode("utf-8", "surrogateescape"))
        assert [(asset.path, seen(asset)) for asset in page] == [(path, self.model.rows[path]) for path in expected]
        known = self.do(self.catalog.between("", None))
        assert [each.path for each in known] == [
            path for path in expected if self.model.rows[path]["state"] is not State.GONE
        ]

    @invariant()
    def totals_agree(self) -> None:
        """The totals in memory are what counting would give."""
        rows = self.model.rows.values()
        totals = self.catalog.totals
        for state in State:
            mine = [row for row in rows if row["state"] is state]
            assert totals.assets[state] == len(mine)
            assert totals.bytes[state] == sum(content_size(row) for row in mine)
        assert totals.disk_bytes == sum(row["disk"] for row in rows)
        unprotected = [row for row in rows if row["state"] in UNPROTECTED]
        oldest = min((row["since"] for row in unprotected), default=None)
        assert self.catalog.totals.unprotected_bytes == sum(row["size"] for row in unprotected)
        assert self.do(self.catalog.oldest_unprotected()) == oldest

    @invariant()
    def queue_agrees(self) -> None:
        """The next upload is due when the first new asset is, and the uploader has been woken for it."""
        due = [row["due"] for row in self.model.rows.values() if row["state"] is State.NEW]
        assert self.do(self.catalog.next_due()) == min(due, default=None)
        assert not due or self.catalog.work.is_set()

    @invariant()
    def candidates_agree(self) -> None:
        """What is replicated and not pinned may leave, and nothing else."""
        page, _ = self.do(self.catalog.candidates(order=("last_access",), limit=99))
        rows = self.model.rows.items()
        expected = {path for path, row in rows if row["state"] is State.REPLICATED and not row["pinned"]}
        assert {asset.path for asset in page} == expected
        assert [asset.last_access for asset in page] == sorted(asset.last_access for asset in page)

    @invariant()
    def warmth_agrees(self) -> None:
        """Every asset has its row beside the table, which says of it what the table says."""
        beside = self.do(all_beside(self.catalog))
        expected = {
            (
                path,
                None if row["state"] is State.GONE else content_size(row),
                row["size"] is not None,
                row["state"] is State.REPLICATED and not row["pinned"],
            )
            for path, row in self.model.rows.items()
        }
        assert {(path.decode("utf-8", "surrogateescape"), *rest) for path, *rest in beside} == expected
        assert len(beside) == len(expected)

    @invariant()
    def events_agree(self) -> None:
        """Every change of state is written down, once, in order, without a gap."""
        records = self.do(self.catalog.events(self.base, limit=10_000))
        told = [(record.path, record.event, record.before, record.after) for record in records]
        assert told == self.model.events
        assert [record.cursor for record in records] == [self.base + 1 + at for at in range(len(records))]


async def all_beside(catalog: Catalog) -> list[tuple[Any, ...]]:
    """Return the rows of `warmth`, each with the path of its asset."""
    return await catalog._connection.submit(lambda raw: raw.execute(BESIDE).fetchall())


def content_size(row: Row) -> int:
    """Return the bytes of the content, wherever it is."""
    if row["size"] is not None:
        return int(row["size"])
    return row["proven"][1] if row["proven"] else 0


CatalogMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    # Every step is a commit to a real disk.
    suppress_health_check=[HealthCheck.too_slow],
)
test_the_catalog_is_the_model = CatalogMachine.TestCase
