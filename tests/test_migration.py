"""Re-keying the store: a plan that comes true, nothing lost wherever it stops, and nothing removed that is needed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place
from samples import an_asset

from index.asset import AssetId, RelPath
from index.changes import Change
from index.lifecycle import Event, State
from tiering import migration
from tiering.answers import MigrationReport
from tiering.layouts import named
from tiering.metadata import Passport
from tiering.outcome import ConflictError
from tiering.pruner import is_superseded
from tiering.rollout import Mode, Rollout
from tiering.store import Attributes, RefusedError, UnavailableError
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core import Core, Place

A, B = RelPath("a/f.jpg"), RelPath("b/f.jpg")
FIELDS = {"kind": "thumbnails", "show": "rhobh", "season": "5", "episode": "2"}
KEY = "artifacts/thumbnails/rhobh/s05/e02/f.jpg"
MIRROR, EPISODIC = named("mirror"), named("episodic")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for half a second here."""
    monkeypatch.setattr(migration, "LOOK_SECONDS", 0.001)


async def fill(place: Place) -> None:
    """Leave two frames of one episode, one of them cold, and a file that nothing is said of, keyed by their paths."""
    async with place.core() as core:
        for path in (A, B):
            await core.new(path, f"what is in {path}".encode())
            await core.registry.describe(path, type="artifact", fields=FIELDS, tags={})
        await core.new("plain.txt")
        await core.upload_all()
        await core.demoter.demote(await core.find(A), reason="request")


async def last(steps: AsyncIterator[Any]) -> MigrationReport:
    """Return the report."""
    step = None
    async for each in steps:
        step = each
    assert isinstance(step, MigrationReport)
    return step


async def run(core: Core, *, prune: bool = False, resume: bool = False) -> MigrationReport:
    """Migrate while the rekeyer works, as it does in a daemon."""
    rekeyer = asyncio.ensure_future(core.rekeyer.run())
    try:
        steps = core.migration.resume() if resume else core.migration.run(None, None, prune=prune)
        return await last(await steps)
    finally:
        rekeyer.cancel()


async def keys(core: Core) -> list[str]:
    """Return all keys in the store."""
    return [info.key async for page in core.store.list() for info in page]


async def key_of(core: Core, path: str) -> str:
    """Return the key of an asset's proof."""
    proof = (await core.find(path)).proof
    assert proof is not None
    return proof.key


async def test_a_plan_says_what_a_run_does(place: Place) -> None:
    """Old and new keys, the one whose key is taken with the next; and nothing has changed."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        plan = (await last(core.migration.plan(None, None, prune=False))).plan
        assert (plan.moves, plan.collisions, plan.placed, plan.waiting) == (3, 1, 0, 0)
        assert await core.catalog.count_misplaced() == 0
        report = await run(core)
        assert (report.moved, report.failed) == (3, 0)
        # Which of the two gets the key that both could have, nobody has said.
        assert {move.to for move in plan.examples} >= {await key_of(core, "plain.txt"), KEY}
        assert sorted(len(move.to) for move in plan.examples) == sorted(
            [len(await key_of(core, move.path)) for move in plan.examples]
        )
        assert await core.read(A) == f"what is in {A}".encode()
        assert set(await keys(core)) >= {A, B, "plain.txt"}
        assert (await last(core.migration.plan(None, None, prune=False))).plan.placed == 3
        status = await core.migration.status()
        assert (status.phase, status.moved, status.left, status.running) == ("done", 3, 0, False)


async def test_a_plan_is_for_any_layout_and_a_run_for_the_one_that_holds(place: Place) -> None:
    """What moved to another would be moved back by its next upload."""
    await fill(place)
    async with place.core() as core:
        assert (await last(core.migration.plan(None, "episodic", prune=False))).plan.moves == 3
        with pytest.raises(ConflictError, match="mirror"):
            await core.migration.run(None, "episodic", prune=False)


async def test_what_was_moved_once_can_be_moved_to_where_keys_are_checksums(place: Place) -> None:
    """The copy's ETag is still the MD5 of the content."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        await run(core)
        plan = (await last(core.migration.plan(None, "dated", prune=False))).plan
        assert (plan.moves, plan.unplaceable) == (3, 0)
        assert [move.path for move in plan.examples if move.to.startswith("cache/")] == ["plain.txt"]


async def test_only_what_is_where_the_former_layout_has_it(place: Place) -> None:
    """What somebody has put elsewhere stays there."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        assert (await last(core.migration.plan("mirror", None, prune=False))).plan.moves == 3
        plan = (await last(core.migration.plan("creative", None, prune=False))).plan
        assert (plan.moves, plan.elsewhere) == (0, 3)


async def test_what_cannot_follow_is_named_with_the_reason(place: Place) -> None:
    """And ends nothing: everything else has moved."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        core.store.script = [Fail(operation="copy", error=RefusedError("it lies in an archive"))]
        report = await run(core)
        assert (report.moved, report.failed) == (2, 1)
        assert [move.why for move in report.failures] == ["it lies in an archive"]


async def test_what_the_roll_out_leaves_out_has_not_failed(place: Place) -> None:
    """Its remote copy of an earlier time stays where it is, and nobody tries to move it."""
    await fill(place)
    some = Rollout.of(Mode.HYBRID, 50.0)
    inside = sum(map(some.covers, (A, B, RelPath("plain.txt"))))
    async with place.core(layout=EPISODIC, rollout=some) as core:
        report = await run(core)
        assert (report.moved, report.failed, report.plan.outside) == (inside, 0, 3 - inside)
        assert await core.catalog.count_misplaced() == 0
    assert 0 < inside < 3


async def test_what_was_broken_off_is_taken_up(place: Place) -> None:
    """By whoever asks, in any later life; and only then."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        with pytest.raises(ConflictError):
            await core.migration.resume()
        steps = await core.migration.run("mirror", None, prune=True)
        await anext(steps)
        with pytest.raises(ConflictError, match="running"):
            await run(core)
        await steps.aclose()
    async with place.core(layout=EPISODIC) as core:
        status = await core.migration.status()
        assert (status.phase, status.total, status.left, status.source) == ("moving", 3, 3, "mirror")
        report = await run(core, resume=True)
        assert (report.moved, report.failed, report.pruned) == (3, 0, 3)
        with pytest.raises(ConflictError):
            await core.migration.resume()


async def test_who_is_forgotten_is_waited_for_no_more(place: Place) -> None:
    """A mark of an asset that is not in the index would never be worked off."""
    async with place.core() as core:
        await core.hot(A, b"removed")
        await core.hot(B, b"renamed")
        await core.catalog.misplace([(await core.find(A)).id])
        await core.registry.remove(A)
        await core.registry._purge_all()
        assert await core.catalog.count_misplaced() == 1
        (core.tree.root / B).rename(core.tree.root / A)
        await core.scan()
        assert (await core.find(A)).state is State.NEW
        assert await core.catalog.count_misplaced() == 0


async def test_nothing_begins_before_the_store_is_known(place: Place) -> None:
    """An object might be one that the index will know."""
    async with place.core() as core:
        core.discovery.done.clear()
        with pytest.raises(UnavailableError):
            await run(core)


async def test_pruning_takes_what_nobody_needs_and_nothing_else(place: Place) -> None:
    """Strangers' objects, and those of assets that the index does not know, stay; so does every proof."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        passport = Passport(AssetId("1" * 32), 1, RelPath("x"), "0" * 64, 0, 0o644)
        await core.store.put("another host's", b"x", Attributes(metadata=passport.to_metadata()))
        await core.store.put("a stranger's", b"x", Attributes())
        await run(core)
        planned = await last(core.migration.plan(None, None, prune=True))
        assert (planned.pruned, planned.kept) == (3, 0)
        assert len(await keys(core)) == 8
        report = await run(core, prune=True)
        assert (report.pruned, report.pruned_bytes) == (3, planned.pruned_bytes)
        left = set(await keys(core))
        kept = {await key_of(core, path) for path in (A, B, "plain.txt")}
        assert left == kept | {"another host's", "a stranger's"}
        assert await core.read(A) == f"what is in {A}".encode()


async def test_what_may_be_the_last_right_copy_stays(place: Place) -> None:
    """The present object is gone, or another one: whatever was before it is all there is."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        await run(core)
        await core.store.delete(await key_of(core, A))
        report = await run(core, prune=True)
        assert (report.pruned, report.kept) == (2, 1)
        assert A in await keys(core)


async def test_what_a_removed_asset_left_goes_too(place: Place) -> None:
    """It was removed from both tiers on somebody's word: no object of it shall come back."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        await run(core)
        await core.registry.remove(A)
        await core.registry._purge_all()
        assert A in await keys(core)
        assert (await run(core, prune=True)).pruned == 3
        assert A not in await keys(core)


async def test_a_tombstone_alone_is_no_such_word(place: Place) -> None:
    """The upload was never written down, and its owner removed the file: the object is all that there is."""
    async with place.core() as core:
        asset = await core.new(A, b"content")
        passport = Passport(asset.id, 1, A, "0" * 64, 0, 0o644)
        await core.store.put("sent", b"content", Attributes(metadata=passport.to_metadata()))
        await core.catalog.apply(Change.about(asset, Event.LOST))
        assert await core.state(A) is State.GONE
        assert (await run(core, prune=True)).pruned == 0
        assert await keys(core) == ["sent"]


async def test_an_object_that_only_says_what_it_holds_is_read_first(place: Place) -> None:
    """After the index was lost, what the present object says of itself is no proof."""
    await fill(place)
    async with place.core(layout=EPISODIC) as core:
        await run(core)
    for file in place.directory.glob("index.db*"):
        file.unlink()
    async with place.core(layout=EPISODIC) as core:
        await core.scan()
        await core.discovery.discover()
        head = await core.store.head(key := await key_of(core, A))
        await core.store.put(key, b"y" * head.size, Attributes(metadata=head.metadata or {}))
    for file in place.directory.glob("index.db*"):
        file.unlink()
    async with place.core(layout=EPISODIC) as core:
        await core.discovery.discover()
        assert await key_of(core, A) == key
        assert (await run(core, prune=True)).kept == 1
        assert A in await keys(core)


def test_only_what_is_older_than_the_proof_is_superseded() -> None:
    """What is as new was sent a moment ago, perhaps, and its proof is still to be written."""
    asset = an_asset()
    assert asset.proof is not None
    of = partial(Passport, asset.id, path=A, sha256="0" * 64, mtime_ns=0, mode=0o644)
    now = asset.proof.generation
    assert is_superseded(asset, of(generation=now - 1), buried=None)
    assert not is_superseded(asset, of(generation=now), buried=None)
    for state in (State.NEW, State.UPLOADING, State.DAMAGED, State.PROMOTING):
        assert not is_superseded(replace(asset, state=state), of(generation=now - 1), buried=None)
    another = Passport(AssetId("1" * 32), now - 1, A, "0" * 64, 0, 0o644)
    assert not is_superseded(asset, another, buried=None)
    gone = replace(asset, state=State.GONE)
    assert is_superseded(gone, of(generation=now), buried=now)
    assert not is_superseded(gone, of(generation=now + 1), buried=now)
