"""The registry: what people say about assets; an asset is removed from both tiers, or from neither."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place, cut_short, until
from trees import plant

from index.asset import Failure, RelPath
from index.changes import Change
from index.errors import UnknownAssetError
from index.lifecycle import HOT, IN_FLIGHT, Event, State
from tiering import file_lease
from tiering import registry as module
from tiering.file_lease import Quiet
from tiering.outcome import ConflictError, IgnoredError
from tiering.store import Attributes, NotFoundError, UnavailableError
from tiering.stores.faulty import Fail, Hold
from tiering.trash import move_to_trash
from tiering.tree import DiskFullError
from tiering.vocabulary import MeaningError

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset
    from tiering.tree import Tree

CONTENT = b"what its owner made"
A = RelPath("a.jpg")
A_FAILURE = Failure("conflict", "", 1, None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def bring_to(core: Core, state: State) -> Asset:
    """Have an asset in this state, with a true file and object where there should be some."""
    if state in {State.NEW, State.UPLOADING, State.VERIFYING, State.STUCK}:
        asset = await core.new(A, CONTENT)
    elif state in {State.REPLICATED, State.DEMOTING}:
        asset = await core.hot(A, CONTENT)
    else:
        asset = await core.cold(A, CONTENT)
    ways = {
        State.UPLOADING: [Event.CLAIMED],
        State.VERIFYING: [Event.CLAIMED, Event.SENT],
        State.STUCK: [Event.REFUSED],
        State.DEMOTING: [Event.CHOSEN],
        State.PROMOTING: [Event.WANTED],
        State.DAMAGED: [Event.MISMATCHED],
    }
    for event in ways.get(state, []):
        failure = A_FAILURE if event in {Event.REFUSED, Event.MISMATCHED} else None
        asset = await core.catalog.apply(Change.about(asset, event, failure=failure))
    assert asset.state is state
    return asset


async def purge(core: Core) -> None:
    """Let the registry remove remote copies until nothing is left to do."""
    assert await core.registry._purge_all() is None


# --- what is said of an asset


async def test_a_file_is_registered_before_anybody_saw_it(place: Place) -> None:
    """What is not said stays as it is; what is said replaces it whole."""
    async with place.core() as core:
        plant(core.tree, A)
        asset = await core.registry.register(A, type="plate", fields={"shot": "7"}, tags=None)
        assert (asset.state, asset.type, asset.fields, asset.tags) == (State.NEW, "plate", {"shot": "7"}, {})
        asset = await core.registry.register(A, type=None, fields=None, tags={"show": "x"})
        assert (asset.type, asset.fields, asset.tags) == ("plate", {"shot": "7"}, {"show": "x"})
        asset = await core.registry.describe(A, type=None, fields={}, tags={})
        assert (asset.type, asset.fields, asset.tags) == (None, {}, {})


async def test_what_a_type_does_not_allow_is_not_taken(place: Place) -> None:
    """Neither when a file is registered nor when it is described; what was known before stays."""
    async with place.core() as core:
        plant(core.tree, A)
        asset = await core.registry.register(A, type="artifact", fields={"season": "05"}, tags=None)
        assert asset.fields == {"season": "5"}
        with pytest.raises(MeaningError, match="season"):
            await core.registry.register(A, type=None, fields={"season": "first"}, tags=None)
        with pytest.raises(MeaningError, match="md5"):
            await core.registry.describe(A, type="media", fields={"md5": "?"}, tags={})
        with pytest.raises(MeaningError, match="object metadata"):
            await core.registry.describe(A, type=None, fields={"note": "n" * 2000}, tags={})
        with pytest.raises(MeaningError, match="tag"):
            await core.registry.describe(A, type=None, fields={}, tags={"a": "50%"})
        assert (await core.find(A)).fields == {"season": "5"}


async def test_what_is_no_asset_cannot_be_registered(place: Place) -> None:
    """A name that is left out, and a name without a file."""
    async with place.core() as core:
        plant(core.tree, ".hidden")
        with pytest.raises(IgnoredError):
            await core.registry.register(RelPath(".hidden"), type=None, fields=None, tags=None)
        with pytest.raises(UnknownAssetError):
            await core.registry.register(A, type=None, fields=None, tags=None)


# --- removal


@pytest.mark.parametrize("state", sorted(set(State) - IN_FLIGHT - {State.GONE}))
async def test_what_is_removed_is_nowhere_any_more(place: Place, state: State) -> None:
    """Neither on disk nor in the trash nor in the store, and no scan brings it back; a new file there is another."""
    async with place.core() as core:
        await bring_to(core, state)
        gone = await core.registry.remove(A)
        assert gone.state is State.GONE
        assert (core.on_disk(A), core.in_trash()) == (None, [])
        await purge(core)
        with pytest.raises(NotFoundError):
            await place.memory.head("a.jpg")
        await core.scan()
        with pytest.raises(UnknownAssetError):
            await core.tiers.find(A)
        await core.hot(A, b"new")
        assert await core.read(A) == b"new"


@pytest.mark.parametrize("way", ["scan", "look", "take_in"])
async def test_what_is_removed_while_it_is_looked_at_stays_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The look saw a file that is not there any more; a file that is made later comes in as ever."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        looks = {
            "scan": ("between", core.scan),
            "look": ("below", lambda: core.reconciler.look([A])),
            "take_in": ("below", lambda: core.reconciler.take_in(A)),
        }
        name, look = looks[way]
        rows = getattr(core.catalog, name)

        async def late(*place: Any) -> Any:
            monkeypatch.undo()
            await core.registry.remove(A)
            return await rows(*place)

        monkeypatch.setattr(core.catalog, name, late)
        await look()
        assert await core.state(A) is State.GONE
        plant(core.tree, A, b"another")
        await look()
        assert await core.state(A) is State.NEW


async def test_what_is_removed_is_removed_though_its_trash_cannot_be_cleared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removed it is not told that he has not; the next start clears the trash."""

    def fail(*_: object) -> None:
        raise DiskFullError(A, "no space left")

    async with place.core() as core:
        await core.hot(A, CONTENT)
        monkeypatch.setattr(module, "discard", fail)
        assert (await core.registry.remove(A)).state is State.GONE
        assert core.in_trash() == [CONTENT]
        await purge(core)
        with pytest.raises(NotFoundError):
            await place.memory.head("a.jpg")
        await core.recover()
        assert core.in_trash() == []


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
async def test_what_a_mover_has_in_hand_is_not_removed(place: Place, state: State) -> None:
    """Nothing of it is touched."""
    async with place.core() as core:
        asset = await bring_to(core, state)
        with pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert await core.find(A) == asset
        assert core.on_disk(A) == (CONTENT if state in HOT else None)


async def test_what_somebody_has_open_is_not_removed(place: Place) -> None:
    """He would be left with a file that has no name."""
    async with place.core() as core:
        asset = await core.hot(A, CONTENT)
        with (core.tree.root / A).open("rb"), pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert (await core.find(A), core.on_disk(A), core.in_trash()) == (asset, CONTENT, [])


async def test_what_its_owner_just_changed_is_not_removed(place: Place) -> None:
    """The one who removes it has not seen that content; a new mode is no new content."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        plant(core.tree, A, b"other content")
        with pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert core.on_disk(A) == b"other content"
        await core.scan()
        (core.tree.root / A).chmod(0o600)
        assert (await core.registry.remove(A)).state is State.GONE


async def test_what_its_owner_wrote_under_the_old_date_is_not_removed(place: Place) -> None:
    """Size and time say nothing of it, and it is in no store."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        file = core.tree.root / A
        dates = file.stat()
        file.write_bytes(CONTENT[::-1])
        os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        with pytest.raises(ConflictError, match="other content"):
            await core.registry.remove(A)
        assert core.on_disk(A) == CONTENT[::-1]
        assert await core.state(A) is State.NEW, "it is uploaded"


@pytest.mark.parametrize("state", [State.NEW, State.STUCK])
async def test_what_is_written_after_it_was_looked_at_is_not_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    """Whoever asked for the removal did not mean that."""
    async with place.core() as core:
        await bring_to(core, state)
        file = core.tree.root / A

        def write_late(tree: Tree, asset: Asset) -> object:
            dates = file.stat()
            file.write_bytes(CONTENT[::-1])
            os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))
            return move_to_trash(tree, asset)

        monkeypatch.setattr(module, "move_to_trash", write_late)
        with pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert core.on_disk(A) == CONTENT[::-1]


@pytest.mark.parametrize("late", [CONTENT[::-1], b"longer: " + CONTENT], ids=["size and time kept", "longer"])
async def test_what_is_written_while_it_leaves_is_put_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, late: bytes
) -> None:
    """Where no file lease can be had, nothing keeps its owner off: what is in the trash must be what was meant."""
    monkeypatch.setattr(file_lease, "_ask", lambda _fd, _kind: Quiet.UNKNOWN)
    async with place.core() as core:
        await core.hot(A, CONTENT)
        file = core.tree.root / A

        def write_late(tree: Tree, asset: Asset) -> object:
            with file.open("r+b") as opened:
                dates = file.stat()
                safety = move_to_trash(tree, asset)
                opened.write(late)
                opened.flush()
                os.utime(opened.fileno(), ns=(dates.st_atime_ns, dates.st_mtime_ns))
            return safety

        monkeypatch.setattr(module, "move_to_trash", write_late)
        with pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert (core.on_disk(A), core.in_trash()) == (late, [])


async def test_a_demotion_under_way_is_waited_for(place: Place) -> None:
    """And the cold asset is removed then."""
    async with place.core() as core:
        asset = await core.hot(A, CONTENT)
        held = Hold(operation="head", first=core.store.calls["head"] + 1)
        core.store.script = [held]
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="age"))
        await held.reached.wait()
        removal = asyncio.create_task(core.registry.remove(A))
        await asyncio.sleep(0)
        held.release.set()
        assert (await demotion).done
        assert (await removal).state is State.GONE


@pytest.mark.parametrize("state", [State.NEW, State.REPLICATED, State.STUCK])
async def test_a_scan_that_sees_it_leave_does_not_matter(
    place: Place, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    """The file is out of its place before the index knows why: a scan in between takes it for lost."""
    async with place.core() as core:
        asset = await bring_to(core, state)
        event = Event.VANISHED if asset.proof else Event.LOST
        meanwhile(monkeypatch, core, Change.about(asset, event))
        assert (await core.registry.remove(A)).state is State.GONE
        await purge(core)
        assert (core.on_disk(A), core.in_trash()) == (None, [])
        with pytest.raises(NotFoundError):
            await place.memory.head("a.jpg")


async def test_a_mover_that_was_faster_has_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploader claimed it in the same moment: its file is back at its name."""
    async with place.core() as core:
        asset = await core.new(A, CONTENT)
        meanwhile(monkeypatch, core, Change.about(asset, Event.CLAIMED))
        with pytest.raises(ConflictError):
            await core.registry.remove(A)
        assert (core.on_disk(A), core.in_trash()) == (CONTENT, [])
        assert await core.state(A) is State.UPLOADING


def meanwhile(monkeypatch: pytest.MonkeyPatch, core: Core, change: Change) -> None:
    """Have this happen to the asset right after its file was taken from its name."""
    loop, move = asyncio.get_running_loop(), module.move_to_trash

    def both(*args: object) -> object:
        moved = move(*args)
        asyncio.run_coroutine_threadsafe(core.catalog.apply(change), loop).result()
        return moved

    monkeypatch.setattr(module, "move_to_trash", both)


@pytest.mark.parametrize("state", [State.NEW, State.REPLICATED])
async def test_who_leaves_while_it_is_removed_leaves_nothing_half(tmp_path: Path, state: State) -> None:
    """A client that hangs up: what had begun is carried to its end, what had not is not begun."""
    at, was_cut = 0, True
    states = set()
    while was_cut:
        at += 1
        async with a_place(tmp_path / str(at)).core() as core:
            await bring_to(core, state)
            was_cut = await cut_short(core.registry.remove(A), at=at)
            after = await core.state(A)
            states.add(after)
            assert (core.on_disk(A), core.in_trash()) == (None if after is State.GONE else CONTENT, [])
    assert states == {state, State.GONE}


@pytest.mark.parametrize("state", [State.NEW, State.REPLICATED])
@pytest.mark.parametrize("theirs", [None, b"theirs"])
async def test_a_stop_before_the_tombstone_gives_the_file_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, state: State, theirs: bytes | None
) -> None:
    """The next start finds it in the trash; where a new file has its name meanwhile, that one stays, and it starts."""

    async def die(*_args: object, **_named: object) -> None:
        raise OSError("power cut")

    async with place.core() as core:
        await bring_to(core, state)
        with monkeypatch.context() as patches:
            patches.setattr(core.catalog, "apply", die)
            with pytest.raises(OSError, match="power cut"):
                await core.registry.remove(A)
        assert core.in_trash() == [CONTENT]
        if theirs is not None:
            plant(core.tree, A, theirs)
    async with place.core() as core:
        await core.recover()
        assert core.on_disk(A) == (theirs or CONTENT)
        # With a proof the old content is in the store; without, it is kept: nobody has said for sure that it may go.
        assert core.in_trash() == ([CONTENT] if theirs is not None and state is State.NEW else [])


async def test_a_stop_after_the_tombstone_finishes_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start discards the local copy, and removes the remote one."""

    def die(*_args: object) -> None:
        raise OSError("power cut")

    async with place.core() as core:
        await core.hot(A, CONTENT)
        with monkeypatch.context() as patches:
            patches.setattr(module, "discard", die)
            with pytest.raises(OSError, match="power cut"):
                await core.registry.remove(A)
    async with place.core() as core:
        await core.recover()
        assert (core.on_disk(A), core.in_trash()) == (None, [])
        running = asyncio.create_task(core.registry.run())
        await until(lambda: core.store.calls["delete"] == 1)
        running.cancel()
        await asyncio.wait([running])
    with pytest.raises(NotFoundError):
        await place.memory.head("a.jpg")


async def test_a_purge_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is away: the tombstone remembers, and another removal does not have to happen first."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        await core.registry.remove(A)
        core.store.script = [Fail(operation="delete", error=UnavailableError("503"))]
        assert await core.registry._purge_all() == 30.0
        assert (await core.find(A)).purge
        await purge(core)
        assert not (await core.find(A)).purge


async def test_a_purge_ends_only_when_nothing_is_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tombstones than fit into a page, as after a day without the store, go without another removal."""
    monkeypatch.setattr("tiering.registry.PAGE", 2)
    async with place.core() as core:
        for name in "abc":
            await core.hot(RelPath(name), CONTENT)
            await core.registry.remove(RelPath(name))
        await purge(core)
        assert await core.catalog.to_purge(limit=10) == []


async def test_a_removal_wakes_the_purge(place: Place) -> None:
    """The remote copy goes at once, not at the next start."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        running = asyncio.create_task(core.registry.run())
        await asyncio.sleep(0)
        await core.registry.remove(A)
        await until(lambda: core.store.calls["delete"] == 1)
        running.cancel()
        await asyncio.wait([running])


async def test_another_object_at_its_key_is_somebodys(place: Place) -> None:
    """Only the very object that was proven is removed."""
    async with place.core() as core:
        asset = await core.hot(A, CONTENT)
        await core.registry.remove(A)
        await place.memory.put(asset.proof.key, b"theirs", Attributes())
        await purge(core)
        assert (await place.memory.head(asset.proof.key)).size == len(b"theirs")
        assert not (await core.find(A)).purge


async def test_a_file_written_at_a_tombstone_is_not_purged(place: Place) -> None:
    """Its upload may take the same key: what goes is gone before, or is not touched."""
    async with place.core() as core:
        await core.hot(A, CONTENT)
        await core.registry.remove(A)
        await core.hot(A, b"new")
        await purge(core)
        assert (await core.demoter.demote(await core.find(A), reason="request")).done
        assert await core.read(A) == b"new"
