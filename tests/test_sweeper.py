"""The sweeper: what costs money and serves nobody goes; what may be somebody's work under way stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from core import a_place, until

from index.asset import RelPath
from index.changes import Change
from index.lifecycle import Event, State
from index.uploads import Upload
from tiering import sweeper as module
from tiering.store import Attributes, UnavailableError
from tiering.stores.faulty import Fail
from tiering.sweeper import ORPHAN_SECONDS, TOMBSTONE_SECONDS, Sweeper

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def sweeper(core: Core) -> Sweeper:
    """Return who sweeps."""
    return Sweeper(core.catalog, core.store, clock=core.clock)


async def pending(core: Core) -> set[str]:
    """Return the keys of the multipart uploads that the store has begun."""
    return {upload.key async for page in core.store.list_uploads() for upload in page}


async def begun(core: Core, path: str) -> None:
    """Have an asset whose upload in parts was begun."""
    asset = await core.new(path)
    upload_id = await core.store.create_upload(path, Attributes())
    upload = Upload(asset.id, path, upload_id, 1000, asset.generation, ())
    await core.catalog.uploads.begin(asset.id, upload)


async def test_an_upload_that_its_asset_needs_is_left_alone(place: Place) -> None:
    """However old it is: it is resumed."""
    async with place.core() as core:
        for name in ("new", "stuck", "uploading"):
            await begun(core, name)
        await core.catalog.apply(Change.about(await core.find("stuck"), Event.REFUSED))
        await core.catalog.apply(Change.about(await core.find("uploading"), Event.CLAIMED))
        core.clock.ahead = 10 * ORPHAN_SECONDS
        assert await sweeper(core).sweep() == 0
        assert await pending(core) == {"new", "stuck", "uploading"}
        assert len(await core.catalog.uploads.all()) == 3


async def test_an_upload_that_no_asset_needs_is_aborted(place: Place) -> None:
    """At once, since it is ours: its parts cost money, and no listing shows them."""
    async with place.core() as core:
        await begun(core, "a")
        await core.catalog.apply(Change.about(await core.find("a"), Event.LOST))
        await sweeper(core).sweep()
        assert await pending(core) == set()
        assert await core.catalog.uploads.all() == []


async def test_an_upload_that_the_index_does_not_know_may_be_anothers(place: Place) -> None:
    """Another host may be at it: only after a day is it taken for forgotten."""
    async with place.core() as core:
        await core.store.create_upload("theirs", Attributes())
        core.clock.ahead = ORPHAN_SECONDS - 60
        assert await sweeper(core).sweep() == 0
        assert await pending(core) == {"theirs"}
        core.clock.ahead = ORPHAN_SECONDS + 60
        assert await sweeper(core).sweep() == 1
        assert await pending(core) == set()


async def test_it_goes_on_and_tidies_the_index(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not let us is asked again; old events and tombstones go all the same."""
    sleep, pauses = asyncio.sleep, []

    async def pass_time(seconds: float) -> None:
        if seconds > 1:
            pauses.append(seconds)
        await (asyncio.Event().wait() if len(pauses) == 2 and seconds > 1 else sleep(0))

    monkeypatch.setattr(module.asyncio, "sleep", pass_time)
    monkeypatch.setattr(module, "EVENTS_KEPT", 2)
    async with place.core() as core:
        await core.catalog.apply(Change.about(await core.new("gone"), Event.LOST))
        await core.new("here")
        core.clock.ahead = TOMBSTONE_SECONDS + 60
        calls = core.store.calls["list_uploads"]
        core.store.script = [Fail(operation="list_uploads", first=calls + 1, error=UnavailableError("503"))]
        running = asyncio.create_task(sweeper(core).run())
        await until(lambda: len(pauses) == 2)
        running.cancel()
        await asyncio.wait([running])
        assert pauses == [module.RETRY_SECONDS, module.INTERVAL_SECONDS]
        assert len(await core.catalog.events(0, limit=10)) == 2
        assert [asset.path for asset in await core.catalog.in_states(list(State), limit=9)] == [RelPath("here")]
