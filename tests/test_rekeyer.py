"""What is said of an asset reaches its remote copy; nothing is lost on the way, wherever it stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place, cut_short
from uploads import OPAQUE

from index.asset import ProofMethod, RelPath
from index.lifecycle import State
from tiering.classes import Classes, ClassRule
from tiering.label import Label
from tiering.layouts import named
from tiering.metadata import Passport
from tiering.store import Attributes, RefusedError, UnavailableError
from tiering.stores.faulty import Fail, Hold

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

CONTENT = b"a frame"
LARGE = bytes(range(250)) * 20
A = RelPath("a/f.jpg")
FIELDS = {"kind": "thumbnails", "show": "rhobh", "season": "5", "episode": "2"}
KEY = "artifacts/thumbnails/rhobh/s05/e02/f.jpg"
EPISODIC = named("episodic")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def describe(core: Core, path: str = A, **more: Any) -> Asset:
    """Say that it is a frame of an episode."""
    told: dict[str, Any] = {"type": "artifact", "fields": FIELDS, "tags": {}, **more}
    return await core.registry.describe(RelPath(path), **told)


async def label_at(core: Core, key: str) -> Label:
    """Return what an object says of its asset."""
    return Label.from_metadata((await core.store.head(key)).metadata or {})


async def generation_at(core: Core, key: str) -> int:
    """Return of which generation an object says that it is."""
    passport = Passport.from_metadata((await core.store.head(key)).metadata or {})
    return passport.generation if passport is not None else 0


async def bring(core: Core, state: State, content: bytes = CONTENT) -> Asset:
    """Have an asset in this state, of which nothing was said."""
    return await (core.hot(A, content) if state is State.REPLICATED else core.cold(A, content))


@pytest.mark.parametrize("content", [CONTENT, LARGE])
@pytest.mark.parametrize("state", [State.REPLICATED, State.COLD])
async def test_a_remote_copy_goes_where_its_metadata_say(place: Place, state: State, content: bytes) -> None:
    """Copied within the store and proven; the object before stays, and is of an earlier generation."""
    async with place.core(layout=EPISODIC) as core:
        before = await bring(core, state, content)
        assert before.proof is not None
        assert before.proof.key == f"other/{A}"
        await describe(core)
        assert await core.rekeyer.place_all() is None
        after = await core.find(A)
        assert (after.state, after.is_proven, after.generation) == (state, True, before.generation + 1)
        assert after.proof is not None
        assert after.proof.key == KEY
        assert await label_at(core, KEY) == Label("artifact", FIELDS)
        assert await generation_at(core, KEY) == after.generation > await generation_at(core, before.proof.key)
        assert core.store.calls["put"] == (content is CONTENT)
        assert await core.catalog.count_misplaced() == 0
        assert await core.read(A) == content


async def test_where_no_other_key_is_due_the_object_learns_it_where_it_is(place: Place) -> None:
    """It is copied onto itself: the ETag stays, and so does its proof."""
    async with place.core() as core:
        before = await core.cold(A, CONTENT)
        await describe(core, tags={"mood": "calm"})
        assert await core.rekeyer.place_all() is None
        after = await core.find(A)
        assert before.proof is not None
        assert after.proof is not None
        assert (after.proof.key, after.proof.etag, after.proof.method) == (A, before.proof.etag, before.proof.method)
        assert await label_at(core, A) == Label("artifact", FIELDS, {"mood": "calm"})


@pytest.mark.parametrize(("state", "content"), [(State.REPLICATED, LARGE), (State.COLD, LARGE), (State.COLD, CONTENT)])
async def test_an_object_whose_etag_would_change_is_not_copied_onto_itself(
    place: Place, state: State, content: bytes
) -> None:
    """Who reads it goes by its ETag. On disk, the file is uploaded anew; a cold asset waits until it is there."""
    async with place.core() as core:
        await bring(core, state, content)
        if content is CONTENT:
            core.prober.capabilities = OPAQUE
        await describe(core)
        pause = await core.rekeyer.place_all()
        if state is State.REPLICATED:
            assert pause is None
            assert await core.state(A) is State.NEW
            await core.upload_all()
            assert await label_at(core, A) == Label("artifact", FIELDS)
        else:
            assert pause is not None
            assert core.store.calls["copy"] == 0
            assert await core.catalog.count_misplaced() == 1
        assert await core.read(A) == content


async def test_what_is_said_before_the_upload_goes_with_it(place: Place) -> None:
    """There is nothing to follow: no mark, no copy."""
    async with place.core(layout=EPISODIC) as core:
        await core.new(A, CONTENT)
        await describe(core)
        assert await core.catalog.count_misplaced() == 0
        await core.upload_all()
        assert (await core.find(A)).proof.key == KEY  # type: ignore[union-attr]
        assert core.store.calls["copy"] == 0


async def test_what_is_said_during_the_upload_follows_after_it(place: Place) -> None:
    """The upload took what was known when it began; it is not forgotten that more is known by now."""
    async with place.core(layout=EPISODIC) as core:
        await core.new(A, CONTENT)
        (asset,) = await core.catalog.claim(1, now=core.clock() + 1e6)
        await describe(core)
        assert await core.rekeyer.place_all() is not None
        await core.uploader.upload(asset)
        assert await core.rekeyer.place_all() is None
        assert (await core.find(A)).proof.key == KEY  # type: ignore[union-attr]


async def test_the_copy_has_the_class_of_what_it_is_now(place: Place) -> None:
    """As an upload would choose it."""
    classes = Classes((ClassRule("STANDARD", "artifact"),))
    async with place.core(layout=EPISODIC, classes=classes) as core:
        await core.cold(A, CONTENT)
        await describe(core)
        chosen = []
        copy = core.store.copy

        async def look(*what: Any, **more: Any) -> Any:
            chosen.append(what[2].storage_class)
            return await copy(*what, **more)

        core.store.copy = look
        await core.rekeyer.place_all()
        assert chosen == ["STANDARD"]


async def test_saying_the_same_again_moves_nothing(place: Place) -> None:
    """Applications register what they have registered before."""
    async with place.core(layout=EPISODIC) as core:
        await core.hot(A, CONTENT)
        await describe(core)
        await core.rekeyer.place_all()
        await describe(core)
        assert await core.catalog.count_misplaced() == 0


async def test_what_is_said_meanwhile_is_not_taken_for_done(place: Place) -> None:
    """The mark is of another version by then."""
    async with place.core(layout=EPISODIC) as core:
        await core.cold(A, CONTENT)
        await describe(core)
        ((_, version),) = await core.catalog.to_place(after="", limit=9)
        asset = await describe(core, fields=FIELDS | {"season": "6"})
        await core.catalog.placed(asset.id, version)
        assert await core.rekeyer.place_all() is None
        assert (await core.find(A)).proof.key == KEY.replace("s05", "s06")  # type: ignore[union-attr]


async def test_a_taken_key_is_left_to_whoever_has_it(place: Place) -> None:
    """The second key is; where that is somebody's, too, the copy stays where it is."""
    async with place.core(layout=EPISODIC) as core:
        await core.store.put(KEY, b"x", Attributes())
        await core.cold(A, CONTENT)
        await describe(core)
        await core.rekeyer.place_all()
        second = (await core.find(A)).proof.key  # type: ignore[union-attr]
        assert second.startswith(KEY.removesuffix(".jpg") + "~")
        await core.store.put(KEY.replace("s05", "s06"), b"x", Attributes())
        await core.store.put(second.replace("s05", "s06"), b"x", Attributes())
        await describe(core, fields=FIELDS | {"season": "6"})
        assert await core.rekeyer.place_all() is None
        assert (await core.find(A)).proof.key == second  # type: ignore[union-attr]


async def test_another_etag_is_read_back(place: Place) -> None:
    """A store that copies a file of many parts gives it another ETag: only the bytes can tell."""
    async with place.core(layout=EPISODIC) as core:
        await core.cold(A, LARGE)
        await describe(core)
        await core.rekeyer.place_all()
        proof = (await core.find(A)).proof
        assert proof is not None
        assert (proof.key, proof.method) == (KEY, ProofMethod.READ_BACK)


async def test_a_store_that_does_not_answer_is_asked_again(place: Place) -> None:
    """Nothing is taken for done, and everything is as it was."""
    async with place.core(layout=EPISODIC) as core:
        await core.cold(A, CONTENT)
        await describe(core)
        core.store.script = [Fail(operation="copy", error=UnavailableError("it is down"))]
        with pytest.raises(UnavailableError):
            await core.rekeyer.place_all()
        assert (await core.find(A)).proof.key == f"other/{A}"  # type: ignore[union-attr]
        assert await core.rekeyer.place_all() is None
        assert await core.read(A) == CONTENT


async def test_what_is_refused_holds_nobody_up(place: Place) -> None:
    """One object that lies in an archive is no reason to leave all others."""
    async with place.core(layout=EPISODIC) as core:
        for path in (A, "b/f.jpg"):
            await core.cold(path, CONTENT)
            await describe(core, path)
        core.store.script = [Fail(operation="copy", error=RefusedError("it lies in an archive"))]
        assert await core.rekeyer.place_all() is not None
        assert await core.catalog.count_misplaced() == 1
        assert await core.rekeyer.place_all() is None


@pytest.mark.parametrize("state", [State.REPLICATED, State.COLD])
async def test_whatever_happens_to_it_meanwhile_counts(place: Place, state: State) -> None:
    """The copy is nobody's then: whoever comes next is of a higher generation than it."""
    async with place.core(layout=EPISODIC) as core:
        await bring(core, state)
        await describe(core)
        hold = Hold(operation="copy")
        core.store.script = [hold]
        placing = asyncio.ensure_future(core.rekeyer.place_all())
        await hold.reached.wait()
        await core.new(A, b"its owner's newer content")
        hold.release.set()
        assert await placing is not None
        await core.upload_all()
        asset = await core.find(A)
        assert asset.state is State.REPLICATED
        assert await generation_at(core, KEY) == asset.generation
        assert await core.read(A) == b"its owner's newer content"
        assert await core.rekeyer.place_all() is None


@pytest.mark.parametrize("state", [State.REPLICATED, State.COLD])
@pytest.mark.parametrize("at", range(1, 13))
async def test_wherever_it_stops_the_next_start_goes_on(place: Place, state: State, at: int) -> None:
    """And until then the asset is as safe as it was."""
    async with place.core(layout=EPISODIC) as core:
        await bring(core, state)
        await describe(core)
        await cut_short(core.rekeyer.place_all(), at=at)
    async with place.core(layout=EPISODIC) as core:
        await core.recover()
        asset = await core.find(A)
        assert asset.state is state
        assert asset.proof is not None
        assert (await core.store.head(asset.proof.key)).etag == asset.proof.etag
        assert await core.rekeyer.place_all() is None
        asset = await core.find(A)
        assert (asset.state, asset.proof and asset.proof.key) == (state, KEY)
        assert await generation_at(core, KEY) == asset.generation
        assert await core.catalog.count_misplaced() == 0
        assert await core.read(A) == CONTENT
