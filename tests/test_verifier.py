"""Verification: whatever differs between index, disk and store is told by its name, and nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from core import a_place
from trees import plant

from index.asset import Failure, RelPath
from index.changes import Change
from index.lifecycle import Event, State
from tiering.answers import VerifyProgress, VerifyReport
from tiering.metadata import Passport
from tiering.store import Attributes, CorruptError, PreconditionError, RefusedError, UnavailableError
from tiering.stores.faulty import Damage, Fail
from tiering.trash import move_to_trash
from tiering.tree import UnreadableError
from tiering.verifier import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

CONTENT = b"what its owner made"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def verifier_of(core: Core) -> Verifier:
    """Return a verifier for which what a test did a moment ago was long ago."""
    return Verifier(core.catalog, core.tree, core.store, clock=lambda: core.clock() + 60)


async def verify(core: Core, *, deep: bool = False) -> VerifyReport:
    """Return the report, and see that nothing was changed."""
    cursor = await core.catalog.newest_event()
    *_, report = [step async for step in verifier_of(core).verify(deep=deep)]
    assert isinstance(report, VerifyReport)
    assert await core.catalog.newest_event() == cursor
    return report


def told(report: VerifyReport) -> list[tuple[str, str]]:
    """Return path and kind of each difference; each says more."""
    assert all(difference.detail for difference in report.differences)
    return sorted((difference.path, difference.kind) for difference in report.differences)


@pytest.mark.parametrize("deep", [False, True])
async def test_what_agrees_is_not_told(place: Place, *, deep: bool) -> None:
    """Hot, cold, new, removed: all is as it should be."""
    async with place.core() as core:
        await core.hot("hot", CONTENT)
        await core.hot("parts", CONTENT * 500)
        await core.cold("cold", CONTENT)
        await core.new("new", b"new")
        await core.hot("removed")
        await core.registry.remove(RelPath("removed"))
        report = await verify(core, deep=deep)
        assert report == VerifyReport(checked=4, bytes=502 * len(CONTENT) + 3, files=3, objects=5)


async def test_progress_comes_page_by_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the report last."""
    monkeypatch.setattr("tiering.verifier.PAGE", 2)
    async with place.core() as core:
        for number in range(5):
            await core.new(f"{number}", b"12345")
        steps = [step async for step in verifier_of(core).verify(deep=False)]
        progress = [VerifyProgress(checked=count, total=5, bytes=5 * count) for count in (2, 4, 5)]
        assert steps == [
            *progress,
            VerifyProgress(checked=5, total=5, bytes=25, files=5),
            VerifyReport(checked=5, bytes=25, files=5),
        ]


@pytest.mark.parametrize("is_cold", [False, True])
async def test_differences_with_the_store(place: Place, *, is_cold: bool) -> None:
    """The object is gone, or another one; of hot and of cold assets."""
    async with place.core() as core:
        make = core.cold if is_cold else core.hot
        gone, other = await make("gone", CONTENT), await make("other", CONTENT)
        await place.memory.delete(gone.proof.key)
        await place.memory.put(other.proof.key, CONTENT.upper(), Attributes())
        assert told(await verify(core)) == [("gone", "missing"), ("other", "mismatched")]


@pytest.mark.parametrize("error", [UnavailableError("503"), RefusedError("403")])
async def test_a_store_that_does_not_answer_is_unknown(place: Place, error: Exception) -> None:
    """Neither right nor missing."""
    async with place.core() as core:
        asset = await core.hot("a", CONTENT)
        core.store.script = [Fail(operation="head", first=core.store.calls["head"] + 1, error=error)]
        assert told(await verify(core)) == [("a", "unknown")]
        assert await core.find("a") == asset


async def test_differences_with_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is gone, or changed, or cannot be looked at."""
    async with place.core() as core:
        for name in ("changed", "unreadable", "vanished"):
            await core.hot(name, CONTENT)
        plant(core.tree, "changed", b"other")
        (core.tree.root / "vanished").unlink()
        sight = core.tree.sight

        def see(path: str) -> object:
            if path == "unreadable":
                raise UnreadableError(path, "Input/output error")
            return sight(path)

        monkeypatch.setattr(core.tree, "sight", see)
        found = [("changed", "changed"), ("unreadable", "unknown"), ("vanished", "vanished")]
        assert told(await verify(core)) == found


async def test_deep_reads_everything_back(place: Place) -> None:
    """A body that is wrong under the right ETag, and a file that rotted under its old size and time."""
    async with place.core() as core:
        await core.cold("corrupt", CONTENT)
        await core.hot("rotten", CONTENT)
        await core.rot("rotten", b"WHAT")
        await core.hot("touched", CONTENT)
        await core.rot("touched", b"WHAT")
        (core.tree.root / "touched").chmod(0o600)
        core.store.script = [Damage(change=bytes.upper, times=1)]
        assert told(await verify(core)) == []
        found = [("corrupt", "corrupt"), ("rotten", "rotten"), ("touched", "changed")]
        assert told(await verify(core, deep=True)) == found


async def test_an_asset_that_moves_meanwhile_is_not_accused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was demoted between the look at the index and the look at the disk: that is as it should be."""
    async with place.core() as core:
        asset = await core.hot("a", CONTENT)
        verifier = verifier_of(core)
        compare = verifier._compare_store

        async def moving(asset: Asset, *, deep: bool) -> object:
            await core.demoter.demote(asset, reason="age")
            return await compare(asset, deep=deep)

        monkeypatch.setattr(verifier, "_compare_store", moving)
        *_, report = [step async for step in verifier.verify(deep=False)]
        assert report == VerifyReport(checked=1, bytes=asset.size, objects=1)
        assert await core.state("a") is State.COLD


async def test_a_file_of_a_moment_ago_is_no_difference(place: Place) -> None:
    """It is on its way into the index; so is a change of a moment ago."""
    async with place.core() as core:
        await core.hot("changed", CONTENT)
        plant(core.tree, "changed", b"other")
        plant(core.tree, "untracked", b"new")
        *_, report = [
            s async for s in Verifier(core.catalog, core.tree, core.store, clock=core.clock).verify(deep=True)
        ]
        assert report == VerifyReport(checked=1, bytes=len(CONTENT), files=2, objects=1)
        assert told(await verify(core)) == [("changed", "changed"), ("untracked", "untracked")]


async def test_a_file_where_there_should_be_none(place: Place) -> None:
    """Its owner put it at the name of a cold asset, or of one that was removed."""
    async with place.core() as core:
        await core.cold("cold", CONTENT)
        await core.hot("removed")
        await core.registry.remove(RelPath("removed"))
        plant(core.tree, "cold", b"other")
        plant(core.tree, "removed", b"other")
        assert told(await verify(core)) == [("cold", "changed"), ("removed", "untracked")]


async def test_a_copy_left_in_the_trash(place: Place) -> None:
    """Bytes that nobody finds by their name are told; those of a demotion under way are not."""
    async with place.core() as core:
        asset = await core.hot("a", CONTENT)
        plant(core.tree, f".tierd/trash/{asset.id}", b"kept")
        plant(core.tree, f".tierd/trash/{'f' * 32}", b"kept")
        report = await verify(core)
        places = sorted(f".tierd/trash/{each}" for each in (asset.id, "f" * 32))
        assert told(report) == [(place, "stranded") for place in places]
        assert {"a copy of a is left in the trash"} <= {each.detail for each in report.differences}
        await core.catalog.apply(Change.about(asset, Event.CHOSEN))
        assert told(await verify(core)) == [(f".tierd/trash/{'f' * 32}", "stranded")]


async def test_a_demotion_under_way_is_no_difference(place: Place) -> None:
    """The file is in the trash for as long as the grace lasts, and at neither place is it missed."""
    async with place.core() as core:
        asset = await core.catalog.apply(Change.about(await core.hot("a", CONTENT), Event.CHOSEN))
        move_to_trash(core.tree, asset)
        assert told(await verify(core)) == []


async def test_a_damaged_asset_is_told_once(place: Place) -> None:
    """As what is wrong, if that can be seen; else as damaged, with why."""
    async with place.core() as core:
        for name in ("gone", "seems-right"):
            asset = await core.cold(name, CONTENT)
            failure = Failure("damaged", "it was wrong", 1, None)
            await core.catalog.apply(Change.about(asset, Event.MISMATCHED, failure=failure))
        await place.memory.delete("gone")
        report = await verify(core)
        assert told(report) == [("gone", "missing"), ("seems-right", "damaged")]
        assert report.counts == {"damaged": 1, "missing": 1}
        assert any("it was wrong" in difference.detail for difference in report.differences)


async def test_a_store_that_cannot_be_listed_is_unknown(place: Place) -> None:
    """What was found before that is told all the same."""
    async with place.core() as core:
        await core.hot("a", CONTENT)
        await place.memory.delete("a")
        core.store.script = [Fail(operation="list", error=UnavailableError("503"))]
        assert told(await verify(core)) == [("", "unknown"), ("a", "missing")]


async def test_an_object_that_changes_while_it_is_read(place: Place) -> None:
    """Another object since the look, or a body that ends short: neither is unknown."""
    async with place.core() as core:
        await core.hot("other", CONTENT)
        core.store.script = [Fail(operation="get", error=PreconditionError("412"))]
        assert told(await verify(core, deep=True)) == [("other", "mismatched")]
        core.store.script = [Fail(operation="get", first=2, error=CorruptError("short"))]
        assert told(await verify(core, deep=True)) == [("other", "corrupt")]


async def test_all_are_counted_and_the_first_are_listed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, a report has an end."""
    monkeypatch.setattr("tiering.verifier.MOST_LISTED", 2)
    async with place.core() as core:
        asset = await core.hot("a", CONTENT)
        for number in range(3):
            await place.memory.put(f"orphan-{number}", b"body", Attributes())
            await stray(place, f"superseded-{number}", id=asset.id, generation=0)
        report = await verify(core)
        assert (report.counts, len(report.differences)) == ({"orphan": 3}, 2)
        assert (report.superseded_count, len(report.superseded)) == (3, 2)


# --- objects that no asset points to


async def stray(place: Place, key: str, **changes: object) -> None:
    """Put an object of ours there."""
    facts = {"id": "f" * 32, "generation": 1, "path": RelPath("x"), "sha256": "0" * 64, "mtime_ns": 1, "mode": 0o644}
    passport = Passport(**(facts | changes))
    await place.memory.put(key, b"body", Attributes(metadata=passport.to_metadata()))


async def test_objects_of_nobody_we_know_are_orphans(place: Place) -> None:
    """Without papers, or with those of an asset that the index does not know: that may be the only copy there is."""
    async with place.core() as core:
        await place.memory.put("papers/none", b"body", Attributes())
        await stray(place, "papers/unknown")
        assert told(await verify(core)) == [("papers/none", "orphan"), ("papers/unknown", "orphan")]


async def test_older_objects_of_an_asset_are_superseded(place: Place) -> None:
    """After a rename, or where it was removed; never one that is as new as what we know."""
    async with place.core() as core:
        asset = await core.hot("old", CONTENT)
        (core.tree.root / "old").rename(core.tree.root / "new")
        await core.scan()
        await core.upload_all()
        gone = await core.hot("gone", CONTENT)
        await core.registry.remove(RelPath("gone"))
        await core.registry._purge_all()
        await stray(place, "late", id=gone.id)
        await stray(place, "coming", id=asset.id, generation=asset.generation + 1)
        report = await verify(core)
        assert (report.differences, report.superseded) == ((), ("late", "old"))


async def test_an_upload_under_way_is_no_orphan(place: Place) -> None:
    """Its object is there, its proof a moment away."""
    async with place.core() as core:
        asset = await core.new("a", CONTENT)
        await stray(place, "a", id=asset.id, generation=asset.generation)
        report = await verify(core)
        assert (report.differences, report.superseded) == ((), ())


async def test_an_object_that_cannot_be_asked_is_unknown(place: Place) -> None:
    """Neither orphan nor superseded; and one that has gone meanwhile is nothing."""
    async with place.core() as core:
        await place.memory.put("a", b"body", Attributes())
        core.store.script = [Fail(operation="head", error=UnavailableError("503"))]
        assert told(await verify(core)) == [("a", "unknown")]
        await core.catalog.apply(Change.about(await core.new("b"), Event.LOST))
        (core.tree.root / "b").unlink()
        assert told(await verify(core)) == [("a", "orphan")]
