"""The index follows the disk: quickly by hints, surely by scans, and never into believing that all is lost."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trees import HOSTILE_NAMES, make_tree, plant

from index.asset import Proof, ProofMethod, RelPath
from index.catalog import Catalog
from index.changes import Change, Observations
from index.errors import UnknownAssetError
from index.lifecycle import HOT, Event, State
from index.listing import Query
from tiering import intake as intake_module
from tiering import reconciler as reconciler_module
from tiering.census import Census, take_census
from tiering.file_lease import Quiet, ignore_sigio
from tiering.glance import Glance, Kind
from tiering.observer import SilentObserver
from tiering.reconcile import Findings
from tiering.reconciler import Reconciler, Rhythm
from tiering.tree import MissingError, NotRegularError
from tiering.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from index.asset import Asset, Sighting
    from tiering.tree import Tree

NEVER = Rhythm(first=10.0, shortest=1e6, longest=1e6)
"""No full scan after the first, unless it is asked for."""
OFTEN = Rhythm(first=10.0, shortest=0.01, longest=0.01, again=0.05)


class Counting(SilentObserver):
    """Counts what scans found."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.overflows = 0

    def reconciled(self, kind: str, found: int) -> None:
        """See Observer."""
        self.found[kind] = self.found.get(kind, 0) + found

    def overflowed(self) -> None:
        """See Observer."""
        self.overflows += 1


@dataclass
class World:
    """A tree, its index, and who keeps them together."""

    tree: Tree
    catalog: Catalog
    observer: Counting = field(default_factory=Counting)
    is_learnt: bool = True

    def reconciler(self, rhythm: Rhythm = NEVER, *, root_id: str = "ours", settle: float = 2.0) -> Reconciler:
        """Return a reconciler that does not run yet."""
        return Reconciler(
            self.catalog,
            self.tree,
            root_id=root_id,
            observer=self.observer,
            clock=self.catalog._clock,
            settle=settle,
            turns=Turns(),
            is_learnt=lambda: self.is_learnt,
            is_misplaced=lambda _: False,
            rhythm=rhythm,
        )

    @asynccontextmanager
    async def running(self, rhythm: Rhythm = NEVER, *, settle: float = 2.0) -> AsyncIterator[Reconciler]:
        """Run a reconciler, its first full scan done."""
        reconciler = self.reconciler(rhythm, settle=settle)
        task = asyncio.create_task(reconciler.run())
        try:
            async with asyncio.timeout(30):
                await reconciler.scanned.wait()
            yield reconciler
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the condition holds, asking at every change of state."""
        async with asyncio.timeout(20):
            while True:
                cursor = await self.catalog.newest_event()
                if await condition():
                    return
                await self.catalog.wait_change(cursor)

    async def until_state(self, path: str, state: State, generation: int = 1) -> None:
        """Wait until the asset at `path` is in `state` and of `generation`."""

        async def is_so() -> bool:
            with suppress(UnknownAssetError):
                asset = await self.find(path)
                return (asset.state, asset.generation) == (state, generation)
            return False

        await self.until(is_so)

    async def find(self, path: str) -> Asset:
        """Return the asset at `path`."""
        return await self.catalog.find(RelPath(path))

    async def replicate(self, path: str) -> Asset:
        """Make the index believe that the file at `path` is in the store, too."""
        asset = await self.find(path)
        return await self.replicate_asset(asset)

    async def replicate_asset(self, asset: Asset) -> Asset:
        """See replicate."""
        sha256 = self.tree.sha256(asset.path)
        proof = Proof("k", "e", asset.size, sha256, asset.generation, 0, 0o644, ProofMethod.ETAG_MD5, 1.0)
        asset = await self.catalog.apply(Change.about(asset, Event.CLAIMED))
        asset = await self.catalog.apply(Change.about(asset, Event.SENT))
        return await self.catalog.apply(Change.about(asset, Event.VERIFIED, proof=proof))

    async def make_cold(self, path: str) -> Asset:
        """Demote the asset at `path`, as the index sees it."""
        asset = await self.replicate(path)
        asset = await self.catalog.apply(Change.about(asset, Event.CHOSEN))
        asset = await self.catalog.apply(Change.about(asset, Event.EVICTED))
        (self.tree.root / path).unlink()
        return asset

    def hot(self) -> int:
        """Return how many assets the index believes hot."""
        return sum(self.catalog.totals.assets[state] for state in HOT)


async def no_hints(*_args: object, **_kwargs: object) -> AsyncIterator[frozenset[RelPath]]:
    """Tell nothing, for ever."""
    await asyncio.Event().wait()
    yield frozenset()


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return an empty tree with our marker, and an empty index."""
    tree = make_tree(tmp_path / "media")
    tree.write_marker("ours")
    catalog = await Catalog.open(tmp_path / "index.db")
    yield World(tree, catalog)
    await catalog.close()


async def test_what_is_there_at_the_start_is_taken_in(world: World) -> None:
    """The first scan finds every file, whatever its name, and nothing that is ignored or not a file."""
    for name in HOSTILE_NAMES:
        plant(world.tree, f"d/{name}")
    plant(world.tree, "d/x.part")
    plant(world.tree, ".hidden/x")
    os.mkfifo(world.tree.root / "pipe")
    (world.tree.root / "link").symlink_to("d")
    async with world.running() as reconciler:
        assert world.catalog.totals.assets[State.NEW] == len(HOSTILE_NAMES)
        for name in HOSTILE_NAMES:
            assert (await world.find(f"d/{name}")).state is State.NEW
        assert set(reconciler.oddities) == {"pipe", "link"}
    assert world.observer.found == {"created": len(HOSTILE_NAMES)}


async def test_the_first_look_at_the_whole_tree_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """How many files there are and how long it took: once, and not at each scan."""
    plant(world.tree, "a")
    plant(world.tree, "b/c")
    with caplog.at_level(logging.INFO, "tiering"):
        async with world.running() as reconciler:
            await reconciler.reconcile_now()
    (told,) = (record for record in caplog.records if record.message == "looked at the whole tree")
    assert vars(told)["files"] == 2
    assert 0 < vars(told)["seconds"] < 30


async def test_a_file_dated_beyond_what_the_index_can_store_is_no_news(world: World) -> None:
    """It is taken in once, and does not look changed at every scan."""
    plant(world.tree, "f")
    os.utime(world.tree.root / "f", (2**33 + 2**32, 2**33 + 2**32))
    async with world.running() as reconciler:
        newest = await world.catalog.newest_event()
        await reconciler.reconcile_now()
        assert await world.catalog.newest_event() == newest
    assert world.observer.found == {"created": 1}


async def test_a_new_file_is_taken_in_by_a_hint(world: World) -> None:
    """Without any further scan."""
    async with world.running():
        plant(world.tree, "a/b/f")
        await world.until_state("a/b/f", State.NEW)
    assert world.observer.found == {}


async def test_a_populated_directory_moved_in_is_taken_in(world: World, tmp_path: Path) -> None:
    """The kernel reports the directory only; what is in it is found all the same."""
    for number in range(50):
        plant(make_tree(tmp_path / "other"), f"moved/{number % 5}/{number}")
    async with world.running():
        (tmp_path / "other" / "moved").rename(world.tree.root / "moved")

        async def all_there() -> bool:
            return world.catalog.totals.assets[State.NEW] == 50

        await world.until(all_there)


async def test_files_in_directories_just_made_are_all_found(world: World) -> None:
    """A directory is not watched at once: what is put into it meanwhile is found by the second look."""
    async with world.running(Rhythm(first=10.0, shortest=1e6, longest=1e6, again=0.2)):
        for number in range(600):
            plant(world.tree, f"{number % 20}/{number % 60}/{number}")

        async def all_there() -> bool:
            return world.catalog.totals.assets[State.NEW] == 600

        await world.until(all_there)


async def test_a_new_directory_is_looked_at_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put into it after the first look, and before it is watched, is never reported."""
    looked = asyncio.Event()

    async def one_hint(*_args: object, **_kwargs: object) -> AsyncIterator[frozenset[RelPath]]:
        yield frozenset({RelPath("")})
        await looked.wait()
        yield frozenset({RelPath("d")})
        plant(world.tree, "d/f")
        await asyncio.Event().wait()

    monkeypatch.setattr(reconciler_module, "hints", one_hint)
    async with world.running(replace(NEVER, again=0.05)):
        (world.tree.root / "d").mkdir()
        looked.set()
        await world.until_state("d/f", State.NEW)


async def test_a_file_is_taken_when_its_writer_is_done(world: World) -> None:
    """However often it is written to meanwhile, it comes in once, whole."""
    async with world.running():
        with (world.tree.root / "f").open("wb") as writer:
            for _ in range(5):
                writer.write(b"x" * 1000)
                writer.flush()
                plant(world.tree, f"other{_}")
                await world.until_state(f"other{_}", State.NEW)
            with pytest.raises(UnknownAssetError):
                await world.find("f")
        await world.until_state("f", State.NEW)
        assert (await world.find("f")).size == 5000


async def test_where_no_file_lease_can_be_had_a_file_must_settle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There only time tells that the writer is done: the file is looked at again when it was left alone for long."""

    def glance_without_lease(tree: Tree, path: str) -> Glance:
        return Glance(Kind.FILE, tree.sight(path), Quiet.UNKNOWN)

    monkeypatch.setattr(intake_module, "glance", glance_without_lease)
    async with world.running(settle=0.3):
        plant(world.tree, "f")
        await world.until_state("f", State.NEW)
        asset = await world.find("f")
        assert asset.discovered_at - asset.ctime_ns / 1e9 >= 0.3


async def test_an_overwritten_file_is_a_new_generation(world: World) -> None:
    """In place or by rename, its new content waits for its upload."""
    plant(world.tree, "f")
    async with world.running():
        await world.replicate("f")
        plant(world.tree, "f", b"other content")
        await world.until_state("f", State.NEW, generation=2)
        await world.replicate("f")
        plant(world.tree, "f.tmp", b"third")
        (world.tree.root / "f.tmp").rename(world.tree.root / "f")
        await world.until_state("f", State.NEW, generation=3)
        assert (await world.find("f")).size == 5


async def test_a_file_that_vanishes_is_cold_or_lost(world: World) -> None:
    """What is in the store stays there; what never was is gone, and said to be."""
    plant(world.tree, "d/proven")
    plant(world.tree, "d/unproven")
    async with world.running():
        await world.replicate("d/proven")
        shutil.rmtree(world.tree.root / "d")
        await world.until_state("d/proven", State.COLD)
        await world.until_state("d/unproven", State.GONE)


async def test_what_was_not_replicated_waits_until_the_store_is_learnt(world: World) -> None:
    """The index may be an old one: what it takes for never uploaded may be cold. What it knows to be proven is cold."""
    plant(world.tree, "proven")
    plant(world.tree, "unproven")
    world.is_learnt = False
    reconciler = world.reconciler()
    await reconciler._scan()
    await world.replicate("proven")
    for path in ("proven", "unproven"):
        (world.tree.root / path).unlink()
    await reconciler._scan()
    assert [(await world.find(path)).state for path in ("proven", "unproven")] == [State.COLD, State.NEW]
    world.is_learnt = True
    await reconciler._scan()
    assert (await world.find("unproven")).state is State.GONE


async def test_a_file_put_where_its_asset_is_cold_is_a_new_generation(world: World) -> None:
    """Its owner's file is the newer truth."""
    plant(world.tree, "f")
    async with world.running() as reconciler:
        await world.make_cold("f")
        await reconciler.reconcile_now()
        assert (await world.find("f")).state is State.COLD
        plant(world.tree, "f", b"newer")
        await world.until_state("f", State.NEW, generation=2)


@pytest.mark.parametrize("by_scan", [False, True])
async def test_a_renamed_file_keeps_its_identity(world: World, by_scan: bool) -> None:  # noqa: FBT001 -- a parameter
    """Same id, its hash kept: so it is copied within the store and not sent again. Found by hint or by scan."""
    for number in range(30):
        plant(world.tree, f"old/{number}", b"%d" % number)
    async with world.running() as reconciler:
        assets = [await world.replicate(f"old/{number}") for number in range(30)]
        if by_scan:
            await asyncio.to_thread((world.tree.root / "old").rename, world.tree.root / "new")
            await reconciler.reconcile_now()
        else:
            (world.tree.root / "old").rename(world.tree.root / "new")
            await world.until_state("new/29", State.NEW, generation=2)
        for number, asset in enumerate(assets):
            await world.until_state(f"new/{number}", State.NEW, generation=2)
            moved = await world.find(f"new/{number}")
            assert (moved.id, moved.sha256, moved.proof) == (asset.id, asset.sha256, asset.proof)
        assert world.hot() == 30
        assert not reconciler.brake.engaged


async def test_a_file_renamed_while_a_mover_holds_it_waits(world: World) -> None:
    """Its new name is taken in when the mover is done, as the same asset."""
    plant(world.tree, "old")
    async with world.running():
        (asset,) = await world.catalog.claim(1, now=1e12)
        (world.tree.root / "old").rename(world.tree.root / "new")
        plant(world.tree, "other")
        await world.until_state("other", State.NEW)
        with pytest.raises(UnknownAssetError):
            await world.find("new")
        await world.catalog.apply(Change.about(asset, Event.DEFERRED))
        await world.until_state("new", State.NEW, generation=2)
        assert (await world.find("new")).id == asset.id


async def test_a_copy_is_not_a_rename(world: World) -> None:
    """A second name for the same file leaves the first where it is."""
    plant(world.tree, "one")
    async with world.running():
        os.link(world.tree.root / "one", world.tree.root / "two")
        await world.until_state("two", State.NEW)
        assert (await world.find("one")).state is State.NEW


async def test_what_a_mover_holds_is_left_alone(world: World) -> None:
    """Changed or missing, an asset in flight is its mover's to decide; afterwards it is looked at again."""
    plant(world.tree, "changed")
    plant(world.tree, "removed")
    async with world.running() as reconciler:
        claimed = {asset.path: asset for asset in await world.catalog.claim(2, now=1e12)}
        plant(world.tree, "changed", b"other content")
        (world.tree.root / "removed").unlink()
        await reconciler.reconcile_now()
        plant(world.tree, "other")
        await world.until_state("other", State.NEW)
        for path, asset in claimed.items():
            assert await world.find(path) == asset
        await world.catalog.apply(Change.about(claimed[RelPath("changed")], Event.DEFERRED))
        await world.until_state("changed", State.NEW, generation=2)


async def test_a_file_becomes_a_directory(world: World) -> None:
    """`f` gives way to `f/g`: the one is gone, the other new."""
    plant(world.tree, "f")
    async with world.running():
        await world.replicate("f")
        (world.tree.root / "f").unlink()
        plant(world.tree, "f/g")
        await world.until_state("f", State.COLD)
        await world.until_state("f/g", State.NEW)


async def test_a_scan_finds_what_no_hint_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hints that never come, new, changed, moved and missing files are still found, and counted."""
    monkeypatch.setattr(reconciler_module, "hints", no_hints)
    for name in ("changes", "moves", "vanishes"):
        plant(world.tree, name, name.encode())
    async with world.running(Rhythm(first=0.0, shortest=0.01, longest=0.01)) as reconciler:
        await world.replicate("vanishes")
        plant(world.tree, "arrives")
        plant(world.tree, ".other", b"other")
        (world.tree.root / ".other").rename(world.tree.root / "changes")
        (world.tree.root / "moves").rename(world.tree.root / "moved")
        (world.tree.root / "vanishes").unlink()
        await world.until_state("arrives", State.NEW)
        await world.until_state("changes", State.NEW, generation=2)
        await world.until_state("moved", State.NEW, generation=2)
        await world.until_state("vanishes", State.COLD)
        await reconciler.reconcile_now()
    assert world.observer.found == {"created": 4, "changed": 1, "moved": 1, "missing": 1}


async def test_a_chmod_or_a_link_keeps_the_proof(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read again, once, and the index learns the ctime at which it was."""
    plant(world.tree, "replicated")
    plant(world.tree, "new")
    reads: list[str] = []
    observe = world.catalog.observe

    async def observed(batch: Observations, *, patient: bool) -> None:
        reads.extend(asset_id for asset_id, _ in batch.refreshed)
        await observe(batch, patient=patient)

    async with world.running() as reconciler:
        before = await world.replicate("replicated")
        for name in ("replicated", "new"):
            (world.tree.root / name).chmod(0o600)
            os.link(world.tree.root / name, world.tree.root / f"{name}.part")
        await reconciler.reconcile_now()
        for name in ("replicated", "new"):
            seen = world.tree.sight(name)
            await until(partial(is_known, world, name, seen))
        after = await world.find("replicated")
        assert (after.state, after.generation, after.proof) == (State.REPLICATED, 1, before.proof)
        monkeypatch.setattr(world.catalog, "observe", observed)
        await reconciler.reconcile_now()
        assert len(reconciler._rehasher._waiting) == 0
        assert reads == []


async def is_known(world: World, path: str, seen: Sighting) -> bool:
    """Return whether the index knows this of the file."""
    asset = await world.find(path)
    return (asset.ctime_ns, asset.links, asset.mode) == (seen.ctime_ns, seen.links, seen.mode)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what makes no event."""
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 - what is read again makes no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("rhythm", [NEVER, OFTEN])
async def test_content_under_an_old_mtime_is_noticed(
    world: World, rhythm: Rhythm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, with the size and the time that it had: by the hint, and where that is lost by the next scan."""
    if rhythm is OFTEN:
        monkeypatch.setattr(reconciler_module, "hints", no_hints)
    plant(world.tree, "f", b"before")
    async with world.running(rhythm, settle=0.0):
        await world.replicate("f")
        file = world.tree.root / "f"
        times = file.stat()
        with file.open("r+b") as writer:
            writer.write(b"after!")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        await world.until_state("f", State.NEW, generation=2)


async def test_a_touched_file_that_cannot_be_read_is_offered_again(world: World) -> None:
    """Nothing is believed of it, and nothing ends."""
    plant(world.tree, "f")
    async with world.running() as reconciler:
        before = await world.replicate("f")
        with (world.tree.root / "f").open("r+b") as writer:
            os.fchmod(writer.fileno(), 0o600)
            await reconciler.reconcile_now()
            await until(partial(is_idle, reconciler))
            assert await world.find("f") == before
        await reconciler.reconcile_now()
        await until(partial(is_known, world, "f", world.tree.sight("f")))


async def is_idle(reconciler: Reconciler) -> bool:
    """Return whether no touched file waits."""
    return not reconciler._rehasher._waiting


async def test_a_second_scan_of_the_same_changes_nothing(world: World) -> None:
    """What agrees costs no write and no event."""
    for number in range(100):
        plant(world.tree, f"{number}")
    async with world.running() as reconciler:
        cursor = await world.catalog.newest_event()
        assets, _ = await world.catalog.list(Query(), limit=1000)
        await reconciler.reconcile_now()
        assert await world.catalog.newest_event() == cursor
        assert (await world.catalog.list(Query(), limit=1000))[0] == assets


async def test_a_path_that_is_asked_for_is_taken_in_at_once(world: World) -> None:
    """Even while it is being written, and before any scan; what is not there is said to be missing."""
    reconciler = world.reconciler()
    with (world.tree.root / "f").open("wb") as writer:
        writer.write(b"x")
        writer.flush()
        assert (await reconciler.take_in(RelPath("f"))).state is State.NEW
    plant(world.tree, "x.part")
    (world.tree.root / "link").symlink_to("f")
    for path, error in [("none", MissingError), ("x.part", MissingError), ("link", NotRegularError)]:
        with pytest.raises(error):
            await reconciler.take_in(RelPath(path))


async def test_unreadable_is_not_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be listed hides its files; they stay what they were."""
    for number in range(30):
        plant(world.tree, f"d/{number}")
    plant(world.tree, "e")
    async with world.running() as reconciler:
        really_open = world.tree.open_directory

        def refusing(path: str) -> int:
            if path == "d":
                raise NotRegularError("d", "cannot be read today")
            return really_open(path)

        monkeypatch.setattr(world.tree, "open_directory", refusing)
        await reconciler.reconcile_now()
        assert world.hot() == 31
        assert reconciler.oddities == {"d": "cannot be read today"}
        assert not reconciler.brake.engaged


async def test_too_much_missing_at_once_engages_the_brake(world: World) -> None:
    """More than ten and one in a hundred: nothing is believed until a person says so."""
    for number in range(40):
        plant(world.tree, f"d/{number}")
    plant(world.tree, "e")
    async with world.running() as reconciler:
        shutil.rmtree(world.tree.root / "d")
        await reconciler.reconcile_now()
        await reconciler.reconcile_now()
        assert reconciler.brake.engaged
        assert world.hot() + world.catalog.totals.assets[State.GONE] == 41
        assert world.hot() > 25
        plant(world.tree, "f")
        await world.until_state("f", State.NEW)

        reconciler.release()
        await reconciler.reconcile_now()
        assert not reconciler.brake.engaged
        assert world.hot() == 2


async def test_hints_cannot_pass_the_brake_by_a_few_at_a_time(world: World) -> None:
    """Files that vanish one by one count together, until the next full scan has judged."""
    for number in range(40):
        plant(world.tree, f"{number}")
    # Not running: a full scan of its own accord, as when the watch begins, would judge in the middle.
    reconciler = world.reconciler(NEVER, settle=2.0)
    await reconciler._scan()
    for number in range(40):
        (world.tree.root / f"{number}").unlink()
        await reconciler.look([RelPath(f"{number}")])
    assert world.catalog.totals.assets[State.GONE] == 10
    await reconciler._scan()
    assert reconciler.brake.engaged
    assert world.hot() == 30


async def test_what_comes_back_releases_the_brake(world: World) -> None:
    """A disk that was away and is here again needs nobody's word."""
    for number in range(20):
        plant(world.tree, f"d/{number}")
    async with world.running() as reconciler:
        aside = world.tree.root.with_name("aside")
        (world.tree.root / "d").rename(aside)
        await reconciler.reconcile_now()
        await reconciler.reconcile_now()
        assert reconciler.brake.engaged
        aside.rename(world.tree.root / "d")
        await reconciler.reconcile_now()
        assert not reconciler.brake.engaged
        assert world.hot() == 20


@pytest.mark.parametrize("marker", [None, "theirs"])
async def test_a_root_without_our_marker_says_nothing_about_files(world: World, marker: str | None) -> None:
    """An unmounted disk is not a deleted one: nothing is missing there; but what is there is taken in."""
    for number in range(3):
        plant(world.tree, f"{number}")
    async with world.running() as reconciler:
        (world.tree.root / ".tierd/root-id").unlink()
        if marker is not None:
            world.tree.write_marker(marker)
        for number in range(3):
            (world.tree.root / f"{number}").unlink()
        plant(world.tree, "other")
        await reconciler.reconcile_now()
        assert reconciler.brake.engaged
        assert "marker" in reconciler.brake.reason
        assert world.hot() == 4

        reconciler.release()
        await reconciler.reconcile_now()
        assert not reconciler.brake.engaged
        assert world.tree.read_marker() == "ours"
        assert world.hot() == 1


async def test_a_hint_from_an_unmounted_root_is_not_believed(world: World) -> None:
    """One file less is nothing to engage the brake for, but where the marker is gone with it, it may be the disk."""
    plant(world.tree, "f")
    async with world.running() as reconciler:
        (world.tree.root / ".tierd/root-id").unlink()
        (world.tree.root / "f").unlink()
        await reconciler.look([RelPath("f")])
        assert world.hot() == 1


async def test_a_disk_that_goes_while_it_is_scanned_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker is looked for after the scan, too."""
    plant(world.tree, "f")
    async with world.running() as reconciler:

        async def unmount_meanwhile(*args: Any, **kwargs: Any) -> Census:
            (world.tree.root / ".tierd/root-id").unlink()
            (world.tree.root / "f").unlink()
            return await take_census(*args, **kwargs)

        monkeypatch.setattr(reconciler_module, "take_census", unmount_meanwhile)
        await reconciler.reconcile_now()
        assert "marker" in reconciler.brake.reason
        assert world.hot() == 1


async def test_a_sighting_that_is_older_than_the_row_changes_nothing(world: World) -> None:
    """A scan looks first and asks the index later: what changed in between is no other content."""
    plant(world.tree, "f")
    reconciler = world.reconciler()
    asset = await reconciler.take_in(RelPath("f"))
    (row,) = await world.catalog.below(RelPath("f"))
    seen = world.tree.sight("f")
    stale = seen._replace(fingerprint=seen.fingerprint._replace(size=1))
    await reconciler._intake.take(Findings(changed=[(row, stale)]), seen_after=0.0, patient=False)
    assert await world.find("f") == asset


FOLLOWER = """
import asyncio, sys, time
from pathlib import Path
from index.catalog import Catalog
from index.lifecycle import State
from tiering.file_lease import ignore_sigio
from tiering.reconcile import Findings
from tiering.observer import SilentObserver
from tiering.reconciler import Reconciler, Rhythm
from tiering.tree import Tree
from tiering.turns import Turns

async def follow(root, index, pause):
    catalog = await Catalog.open(index)
    rhythm = Rhythm(first=10.0, shortest=pause, longest=pause)
    tree = Tree(root, ignored=[".*"])
    reconciler = Reconciler(
        catalog, tree, root_id="ours", observer=SilentObserver(), clock=time.time, settle=0.0,
        turns=Turns(), is_learnt=lambda: True, is_misplaced=lambda _: False, rhythm=rhythm
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(reconciler.run())
        await reconciler.scanned.wait()
        print("scanned", flush=True)
        while catalog.totals.assets[State.NEW] < 102:
            await catalog.wait_change(await catalog.newest_event())
        print("all there", flush=True)
        await asyncio.Event().wait()

ignore_sigio()
asyncio.run(follow(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
"""


def test_reading_storms_do_not_hide_new_files(tmp_path: Path) -> None:
    """Reads alone overflow the kernel's queue, and files made meanwhile are never reported: a scan finds them.

    The process is stopped while others read, as a busy machine may do to it.
    """
    tree = make_tree(tmp_path / "media")
    tree.write_marker("ours")
    # Two, by turns: the kernel makes one event of several that are alike.
    for name in ("me", "too"):
        plant(tree, f"read/{name}")
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    command = [sys.executable, "-c", FOLLOWER, str(tree.root), str(tmp_path / "index.db"), "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"scanned\n"
        follower.send_signal(signal.SIGSTOP)
        for _ in range(queue // 2 + 1):
            for name in ("me", "too"):
                (tree.root / "read" / name).read_bytes()
        for number in range(100):
            plant(tree, f"read/{number}")
        follower.send_signal(signal.SIGCONT)
        assert follower.stdout.readline() == b"all there\n"
        follower.kill()
