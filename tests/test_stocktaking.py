"""What the store has and the index lacks: told without a change, taken in on a person's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from core import a_place

from index.asset import ProofMethod
from index.lifecycle import State
from tiering.layouts import named
from tiering.store import Attributes, UnavailableError
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from tiering.answers import Inventory

KEY = "artifacts/thumbnails/rhobh/s05/e02/f.jpg"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def forget(place: Place) -> None:
    """Lose the index."""
    for file in place.directory.glob("index.db*"):
        file.unlink()


async def take(core: Core, *, sync: bool = False, foreign: bool = False) -> Inventory:
    """Look through the whole store."""
    found = [step async for step in core.stocktaking.take(sync=sync, foreign=foreign)]
    assert [step.is_done for step in found] == [False] * (len(found) - 1) + [True]
    return found[-1]


async def test_an_empty_host_gets_its_index_back(place: Place) -> None:
    """Told first, and nothing is changed by that; a second time there is nothing left."""
    async with place.core() as core:
        await core.cold("a.jpg", b"one")
        await core.cold("b.jpg", b"two")
        assert (await take(core)).assets == 0
    forget(place)
    async with place.core() as core:
        told = await take(core)
        assert (told.objects, told.assets, told.bytes, told.taken) == (2, 2, 6, 0)
        assert [(stray.key, stray.path) for stray in told.lacking] == [("a.jpg", "a.jpg"), ("b.jpg", "b.jpg")]
        assert sum(core.catalog.totals.assets.values()) == 0
        assert (await take(core, sync=True)).taken == 2
        assert await core.read("a.jpg") == b"one"
        assert (await take(core, sync=True)).assets == 0


async def test_an_asset_with_several_objects_is_one(place: Place) -> None:
    """What it superseded is no second one."""
    async with place.core() as core:
        await core.cold("a.jpg", b"one")
        head = await core.store.head("a.jpg")
        await core.store.put("z.jpg", b"old", Attributes(metadata={**head.metadata, "tierd-generation": "0"}))
    forget(place)
    async with place.core() as core:
        found = await take(core, sync=True)
        assert (found.assets, found.taken) == (1, 1)
        assert await core.read("a.jpg") == b"one"


@pytest.mark.parametrize("layout", ["mirror", "episodic"])
async def test_what_another_program_stored_is_read_once(place: Place, layout: str) -> None:
    """Its key says what it means, and its bytes what they are; where the key says nothing it stays alone."""
    async with place.core(layout=named(layout)) as core:
        await core.store.put(KEY, b"a frame", Attributes("image/jpeg"))
        await core.store.put("manifest.json", b"{}", Attributes())
        await core.store.put("part.tmp", b"ignored", Attributes())
        assert (await take(core, sync=True)).strangers == 3
        told = await take(core, foreign=True)
        assert core.store.calls["get"] == 0
        found = await take(core, sync=True, foreign=True)
        count = 2 if layout == "mirror" else 1
        assert (told.assets, found.assets, found.taken) == (count, count, count)
        assert found.strangers == 3 - count
        asset = await core.find(KEY)
        assert asset.proof is not None
        assert (asset.state, asset.proof.method) == (State.COLD, ProofMethod.READ_BACK)
        assert (asset.type, asset.fields.get("show")) == ((None, None) if layout == "mirror" else ("artifact", "rhobh"))
        assert await core.read(KEY) == b"a frame"
        assert (await take(core, sync=True, foreign=True)).taken == 0


async def test_a_file_at_the_path_is_never_overruled(place: Place) -> None:
    """A stranger's object of the same name is not what the file is."""
    async with place.core() as core:
        await core.new("a.jpg", b"its owner's")
        await core.store.put("a.jpg", b"a stranger's", Attributes())
        await take(core, sync=True, foreign=True)
        assert await core.state("a.jpg") is State.NEW
        assert await core.read("a.jpg") == b"its owner's"


async def test_a_store_that_does_not_answer_ends_it(place: Place) -> None:
    """What was not looked at is not said to be lacking."""
    async with place.core() as core:
        await core.store.put("a.jpg", b"x", Attributes())
        core.store.script = [Fail(operation="head", error=UnavailableError("it is down"))]
        with pytest.raises(UnavailableError):
            await take(core, sync=True)
