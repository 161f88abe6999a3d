"""Discovery: an index that was lost comes back from the store, and absence concludes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from core import a_place, until
from trees import plant

from index.asset import AssetId, Failure, ProofMethod, RelPath
from index.changes import Change
from index.lifecycle import Event, State
from tiering import discovery as module
from tiering.discovery import Discovery
from tiering.keys import MirrorLayout
from tiering.metadata import Passport
from tiering.store import Attributes, CredentialsError, NotFoundError, RefusedError, UnavailableError
from tiering.stores import memory
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

CONTENT = b"what its owner made"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def forget(place: Place) -> None:
    """Lose the index."""
    for file in place.directory.glob("index.db*"):
        file.unlink()


async def discover(core: Core) -> int:
    """Let it run to its end."""
    core.discovery.done.clear()
    return await core.discovery.discover()


async def test_an_index_that_was_lost_comes_back(place: Place) -> None:
    """Path, id, generation, size, digest, time and mode; enough to bring the bytes back, never to demote by."""
    async with place.core() as core:
        cold = await core.cold("d/ü.jpg", CONTENT)
        hot = await core.hot("hot.jpg", CONTENT)
    forget(place)
    async with place.core() as core:
        await core.scan()
        assert await discover(core) == 2
        found = await core.find("d/ü.jpg")
        assert (found.state, found.id, found.generation) == (State.COLD, cold.id, cold.generation)
        known, told = cold.proof, found.proof
        assert (told.key, told.etag, told.size, told.sha256) == (known.key, known.etag, known.size, known.sha256)
        assert (told.mtime_ns, told.mode, told.method) == (known.mtime_ns, known.mode, ProofMethod.CLAIMED)
        assert await core.read("d/ü.jpg") == CONTENT
        again = await core.find("hot.jpg")
        assert (again.state, again.id) == (State.NEW, hot.id)
        await core.upload_all()
        assert (await core.find("hot.jpg")).proof.etag == hot.proof.etag
        assert await discover(core) == 0


async def test_what_people_said_comes_back(place: Place) -> None:
    """Type, fields and tags; but for a file of which somebody has said something else since."""
    fields, tags = {"season": "5", "note": "a&b=c"}, {"mood": "calm"}
    async with place.core() as core:
        for path in ("cold.jpg", "hot.jpg", "said.jpg"):
            asset = await core.new(path, CONTENT)
            await core.registry.describe(asset.path, type="artifact", fields=fields, tags=tags)
            await core.upload_all()
        await core.demoter.demote(await core.find("cold.jpg"), reason="request")
    forget(place)
    async with place.core() as core:
        await core.scan()
        await core.registry.describe(RelPath("said.jpg"), type="plate", fields={}, tags={})
        await discover(core)
        for path in ("cold.jpg", "hot.jpg"):
            asset = await core.find(path)
            assert (asset.type, asset.fields, asset.tags) == ("artifact", fields, tags)
        asset = await core.find("said.jpg")
        assert (asset.type, asset.fields, asset.tags) == ("plate", {}, {})


async def test_the_newest_generation_wins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several objects of one asset, wherever in the listing they are; the others are left alone."""
    monkeypatch.setattr(memory, "PAGE", 1)
    for key, generation in (("a", 2), ("b", 3), ("c", 1)):
        passport = Passport(AssetId("f" * 32), generation, RelPath(key), "0" * 64, 1, 0o644)
        await place.memory.put(key, b"body", Attributes(metadata=passport.to_metadata()))
    async with place.core() as core:
        await discover(core)
        (asset,) = await core.assets()
        assert (asset.path, asset.generation, asset.proof.key) == ("b", 3, "b")
        assert place.memory._objects.keys() == {"a", "b", "c"}


async def test_what_is_not_ours_is_left_out(place: Place) -> None:
    """No papers, half of them, or somebody's own; what has gone since the listing, too."""
    await place.memory.put("none", b"body", Attributes())
    await place.memory.put("half", b"body", Attributes(metadata={"tierd-id": "f" * 32}))
    async with place.core() as core:
        await core.cold("ours", CONTENT)
    forget(place)
    async with place.core() as core:
        core.store.script = [Fail(operation="head", error=NotFoundError("gone since"))]
        assert await discover(core) in {0, 1}
        core.store.script = []
        await discover(core)
        assert [asset.path for asset in await core.assets()] == ["ours"]


@pytest.mark.parametrize("operation", ["list", "head"])
@pytest.mark.parametrize("error", [UnavailableError("503"), CredentialsError("403"), RefusedError("no such bucket")])
async def test_it_is_tried_until_it_was_done(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    error: Exception,
) -> None:
    """Whatever is wrong with the store is said once, and the daemon lives on; until then no asset is unknown."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
    forget(place)
    sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda _seconds: sleep(0))
    async with place.core() as core:
        core.discovery.done.clear()
        core.store.script = [Fail(operation=operation, times=None, error=error)]
        running = asyncio.create_task(core.discovery.run())
        await until(lambda: core.store.calls[operation] > 2)
        assert not core.discovery.done.is_set()
        assert not core.pacer.is_reachable
        with pytest.raises((UnavailableError, type(error))):
            await core.tiers.find(RelPath("a"))
        assert len([record for record in caplog.records if "cannot be listed" in record.message]) == 1
        core.store.script = []
        await running
        assert core.discovery.done.is_set()
        assert await core.read("a") == CONTENT


async def test_it_is_done_once_for_an_index_and_its_store(place: Place) -> None:
    """A store of a million objects is not listed at each start; another store is."""
    for listings in (2, 0):
        async with place.core() as core:
            core.discovery.done.clear()
            await core.discovery.run()
            assert core.discovery.done.is_set()
            assert core.store.calls["list"] == listings
    place.memory._url = "memory://another"
    async with place.core() as core:
        core.discovery.done.clear()
        await core.discovery.run()
        assert core.store.calls["list"] == 2


async def test_what_an_old_index_has_missed(place: Place) -> None:
    """An old copy that is put back learns the newest of all; what it knows costs no question."""
    async with place.core() as core:
        for path in ("cold", "damaged", "same"):
            await core.cold(path, CONTENT)
        await core.hot("hot", CONTENT)
    old = (place.directory / "index.db").read_bytes()
    newer = b"written anew since"
    async with place.core() as core:
        for path in ("cold", "damaged", "hot"):
            await core.hot(path, newer)
        for path in ("cold", "damaged", "unknown"):
            await core.cold(path, newer + b"er")
        plant(core.tree, "hot", newer + b"est")
    (place.directory / "index.db").write_bytes(old)
    async with place.core() as core:
        failure = Failure("damaged", "it was missing", 1, None)
        await core.catalog.apply(Change.about(await core.find("damaged"), Event.MISMATCHED, failure=failure))
        await core.scan()
        before = core.store.calls["head"]
        assert await discover(core) == 4
        assert core.store.calls["head"] - before == 4
        for path in ("cold", "damaged", "unknown"):
            assert await core.read(path) == newer + b"er"
        await core.upload_all()
        hot = await core.find("hot")
        assert (hot.state, hot.generation) == (State.REPLICATED, 3)
        assert await core.read("same") == CONTENT


async def test_an_index_that_is_doubted_learns_again(place: Place) -> None:
    """What was done once is done once more."""
    async with place.core() as core:
        core.discovery.done.clear()
        await core.discovery.run()
        assert not await core.discovery.is_due()
        doubting = Discovery(
            core.catalog,
            core.store,
            MirrorLayout(),
            is_ignored=core.tree.is_ignored,
            host="root",
            doubted=True,
            pacer=core.pacer,
            clock=core.clock,
        )
        assert await doubting.is_due()
        listed = core.store.calls["list"]
        await doubting.run()
        assert core.store.calls["list"] == listed + 1


async def listing(core: Core) -> int:
    """Go through the store's list, and nothing else; return how many assets came of it."""
    core.discovery.done.clear()
    return [step.taken async for step in core.discovery.enlist()][-1]


async def test_what_keys_tell_is_there_before_any_object_was_asked(place: Place) -> None:
    """It is listed, and read by asking its own object; no event tells of what may never have been."""
    async with place.core() as core:
        for path in ("a", "b", "c"):
            await core.cold(path, CONTENT + path.encode())
    forget(place)
    async with place.core() as core:
        assert await listing(core) == 3
        assert core.store.calls["head"] == 0
        assert [(asset.path, asset.state, asset.is_proven) for asset in await core.assets()] == [
            (path, State.COLD, False) for path in ("a", "b", "c")
        ]
        assert await core.catalog.events(0, limit=10) == []
        await core.catalog.set_pinned([(await core.catalog.find(RelPath("c"))).id], pinned=True)
        assert await core.read("a") == CONTENT + b"a"
        assert core.store.calls["head"] == 1
        with pytest.raises(UnavailableError, match="still being learnt"):
            await core.promoter.begin(await core.catalog.find(RelPath("b"))).wait()
        await core.discovery.run()
        assert not [asset for asset in await core.assets() if asset.is_listed]
        assert (await core.find("c")).pinned
        assert core.store.calls["head"] == 3
        assert await core.read("b") == CONTENT + b"b"


async def test_what_only_looked_like_an_asset_is_forgotten(place: Place) -> None:
    """A stranger's object, a former name, what was removed since: each is found out by its object, or at the end."""
    async with place.core() as core:
        await core.hot("old", CONTENT)
        (core.tree.root / "old").rename(core.tree.root / "new")
        await core.scan()
        await core.upload_all()
        renamed = await core.find("new")
        await core.demoter.demote(renamed, reason="request")
    forget(place)
    await place.memory.put("stranger", b"body", Attributes())
    await place.memory.put("part.tmp", b"ignored", Attributes())
    async with place.core() as core:
        await place.memory.put("gone", b"body", Attributes())
        assert await listing(core) == 4
        await place.memory.delete("gone")
        with pytest.raises(UnavailableError):
            await core.tiers.find(RelPath("stranger"))
        await core.discovery.run()
        assert [(asset.path, asset.id) for asset in await core.assets()] == [("new", renamed.id)]


async def test_a_file_that_is_written_meanwhile_is_what_it_is(place: Place) -> None:
    """Its content counts, not the listing; and it gets the identity of its object."""
    async with place.core() as core:
        known = await core.cold("a", CONTENT)
    forget(place)
    await place.memory.put("b", b"a stranger's", Attributes())
    async with place.core() as core:
        await listing(core)
        plant(core.tree, "a", b"its owner's")
        plant(core.tree, "b", b"its owner's, too")
        await core.scan()
        await core.discovery.run()
        await core.upload_all()
        found = await core.find("a")
        assert (found.id, found.generation, found.state) == (known.id, 2, State.REPLICATED)
        stuck = await core.find("b")
        assert (stuck.state, stuck.proof) == (State.STUCK, None)
        assert await core.read("a") == b"its owner's"
