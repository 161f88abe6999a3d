"""Objects change their storage class where they are, as they get older, and are in no danger while they do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from core import a_place, cut_short
from test_rekeyer import LARGE, A, bring, generation_at
from uploads import OPAQUE

from index.lifecycle import State
from tiering import ageing
from tiering.ageing import Ageing
from tiering.classes import Classes, ClassRule
from tiering.label import Label
from tiering.store import Attributes, UnavailableError
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

SMALL = b"a frame"
DAY = 86_400.0
COLDER = Classes((ClassRule("COLDER", above=1, after=30 * DAY), ClassRule("WARM")))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def look(core: Core, days: float) -> int:
    """Look as it would be looked so many days from now."""
    then = time.time() + days * DAY
    return await Ageing(core.catalog, core.store, core.rekeyer, classes=COLDER, clock=lambda: then).look()


async def class_at(core: Core) -> str | None:
    """Return the class that the store has the object in."""
    return (await core.store.head(A)).storage_class


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("state", [State.REPLICATED, State.COLD])
async def test_an_object_changes_its_class_where_it_is(place: Place, state: State, content: bytes) -> None:
    """Its ETag, its label and its proof stay, also where it came in parts; nothing of it is sent or read."""
    async with place.core(classes=COLDER) as core:
        before = await bring(core, state, content)
        assert (await look(core, 29), await class_at(core)) == (0, "WARM")
        gets = core.store.calls["get"]
        assert (await look(core, 31), await class_at(core)) == (1, "COLDER")
        assert core.store.calls["get"] == gets
        after = await core.find(A)
        assert before.proof is not None
        assert after.proof is not None
        assert (after.state, after.is_proven, after.generation) == (state, True, before.generation + 1)
        assert (after.proof.etag, after.proof.sha256) == (before.proof.etag, before.proof.sha256)
        assert await generation_at(core, A) == after.generation
        assert Label.from_metadata((await core.store.head(A)).metadata or {}) == Label(None, {})
        assert await look(core, 31) == 0
        assert await core.read(A) == content


async def test_an_object_whose_etag_would_change_stays(place: Place) -> None:
    """Where ETags are no MD5s, who reads it meanwhile would take it for another."""
    async with place.core(classes=COLDER) as core:
        await bring(core, State.COLD, SMALL)
        core.prober.capabilities = OPAQUE
        assert (await look(core, 31), core.store.calls["copy"]) == (0, 0)


async def test_the_first_look_waits_for_what_the_store_can_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start does not let a day go by because it was too early."""
    monkeypatch.setattr(ageing, "NOT_READY_SECONDS", 0.0)
    async with place.core(classes=COLDER) as core:
        await bring(core, State.COLD, SMALL)
        able, core.prober.capabilities = core.prober.capabilities, None
        then = time.time() + 31 * DAY
        old = Ageing(core.catalog, core.store, core.rekeyer, classes=COLDER, clock=lambda: then)
        looking = asyncio.create_task(old.run())
        for _ in range(5):
            await asyncio.sleep(0)
        assert core.store.calls["list"] == 0
        core.prober.capabilities = able
        while await class_at(core) != "COLDER":
            assert not looking.done()
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait([looking])


async def test_what_is_no_proven_copy_stays(place: Place) -> None:
    """Somebody else's object at the asset's key is left alone, and so is one of which the index knows nothing."""
    async with place.core(classes=COLDER) as core:
        await bring(core, State.REPLICATED, SMALL)
        attributes = Attributes(storage_class="WARM")
        await core.store.put(A, b"somebody else's", attributes)
        await core.store.put("strange", b"x", attributes)
        assert (await look(core, 31), core.store.calls["copy"]) == (0, 0)


async def test_a_store_that_does_not_answer_is_asked_again(place: Place) -> None:
    """That is weather, and no asset's fault."""
    async with place.core(classes=COLDER) as core:
        await bring(core, State.COLD, SMALL)
        core.store.script = [Fail(operation="copy", error=UnavailableError("it is down"))]
        with pytest.raises(UnavailableError):
            await look(core, 31)
        assert await look(core, 31) == 1


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("at", range(1, 11))
async def test_wherever_it_stops_nothing_is_lost(place: Place, content: bytes, at: int) -> None:
    """The asset is as proven as it was, and the next look goes on."""
    async with place.core(classes=COLDER) as core:
        await bring(core, State.COLD, content)
        await cut_short(look(core, 31), at=at)
    async with place.core(classes=COLDER) as core:
        await core.recover()
        asset = await core.find(A)
        assert (asset.state, asset.is_proven) == (State.COLD, True)
        assert asset.proof is not None
        assert (await core.store.head(A)).etag == asset.proof.etag
        assert asset.generation >= await generation_at(core, A)
        await look(core, 31)
        assert await class_at(core) == "COLDER"
        assert await core.read(A) == content
