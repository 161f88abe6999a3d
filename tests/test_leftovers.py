"""A file that is renamed, and another one that its owner puts at the old name: both end up in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place
from trees import plant

from index.asset import RelPath
from index.lifecycle import State
from tiering.answers import Selection
from tiering.metadata import Passport
from tiering.store import Attributes

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

OLD, NEW = b"the first content", b"what came after it"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def renamed(core: Core, content: bytes = NEW) -> None:
    """Rename a proven asset, and put another file at its old name once that was seen."""
    await core.hot("a", OLD)
    (core.tree.root / "a").rename(core.tree.root / "b")
    await core.scan()
    plant(core.tree, "a", content)
    await core.scan()


async def held(core: Core, key: str) -> bytes:
    """Return what the store holds at this key."""
    async with core.store.get(key) as download:
        return b"".join([chunk async for chunk in download.chunks()])


@pytest.mark.parametrize("first", ["a", "b"])
async def test_the_old_name_is_free_for_another_file(place: Place, first: str) -> None:
    """Whichever is uploaded first: what is at the old key goes once its content is proven at the new one."""
    async with place.core() as core:
        await renamed(core)
        claimed = await core.catalog.claim(2, now=core.clock())
        for asset in sorted(claimed, key=lambda asset: asset.path != first):
            await core.uploader.upload(asset)
        await core.upload_all()
        assert {path: await core.state(path) for path in "ab"} == dict.fromkeys("ab", State.REPLICATED)
        assert (await held(core, "a"), await held(core, "b")) == (NEW, OLD)


async def test_the_same_content_at_the_old_name_has_an_object_of_its_own(place: Place) -> None:
    """What was left there says that it is an older one of the other: a rebuilt index would not know of this file."""
    async with place.core() as core:
        await renamed(core, OLD)
        for _ in range(2):
            await core.upload_all()
        for path in "ab":
            asset, there = await core.find(path), await core.store.head(path)
            assert (asset.state, (there.metadata or {})["tierd-id"]) == (State.REPLICATED, asset.id)


async def test_what_is_still_needed_is_waited_for(place: Place) -> None:
    """As long as the old key has the only remote copy: the new file waits, and is not stuck."""
    async with place.core() as core:
        await renamed(core)
        claimed = await core.catalog.claim(2, now=core.clock())
        (new,) = (asset for asset in claimed if asset.path == "a")
        await core.uploader.upload(new)
        asset = await core.find("a")
        assert (asset.state, asset.failure and asset.failure.code) == (State.NEW, "precondition")
        assert await held(core, "a") == OLD


async def test_an_object_of_an_asset_whose_copy_is_not_right_is_kept(place: Place) -> None:
    """What was proven elsewhere is asked for freshly: where it is gone, the old one may be all that there is."""
    async with place.core() as core:
        await renamed(core)
        for asset in await core.catalog.claim(2, now=core.clock()):
            if asset.path == "b":
                await core.uploader.upload(asset)
        await core.store.put("b", b"spoilt", Attributes())
        await core.recover()
        await core.upload_all()
        asset = await core.find("a")
        assert (asset.state, asset.failure and asset.failure.code) == (State.STUCK, "conflict")
        assert await held(core, "a") == OLD


async def test_an_object_that_says_it_is_of_the_present_generation_is_kept(place: Place) -> None:
    """It is no older one of the asset that it names, whatever it is."""
    async with place.core() as core:
        await core.hot("b", OLD)
        there = await core.store.head("b")
        await core.store.put("a", OLD, Attributes(metadata=there.metadata or {}))
        plant(core.tree, "a", NEW)
        await core.scan()
        await core.upload_all()
        assert await core.state("a") == State.STUCK
        stranger = {**(there.metadata or {}), "tierd-id": "0" * len((await core.find("b")).id)}
        await core.store.put("c", OLD, replace(Attributes(), metadata=stranger))
        await core.new("c", NEW)
        await core.upload_all()
        assert (await core.find("c")).path == RelPath("c")
        assert await core.state("c") == State.STUCK


# --- renamed, and gone before it was uploaded under its new name: its only copy lies at the key of the old one


async def renamed_and_gone(core: Core) -> None:
    """Leave a cold asset `b` at the key `a`."""
    await core.hot("a", OLD)
    (core.tree.root / "a").rename(core.tree.root / "b")
    await core.scan()
    (core.tree.root / "b").unlink()
    await core.scan()
    assert await core.state("b") is State.COLD


async def test_its_copy_goes_to_its_own_key(place: Place) -> None:
    """Then the old name is free for another file, even where the index is lost."""
    async with place.core() as core:
        await renamed_and_gone(core)
        assert await core.rekeyer.place_all() is None
        assert await core.catalog.count_misplaced() == 0
    (place.directory / "index.db").unlink()
    async with place.core() as core:
        plant(core.tree, "a", NEW)
        await core.scan()
        await core.discovery.discover()
        await core.upload_all()
        assert (await core.read("a"), await core.read("b")) == (NEW, OLD)


async def test_another_file_of_the_old_name_waits_until_it_is_there(place: Place) -> None:
    """However it is asked for, and whatever its content is."""
    async with place.core() as core:
        for content in (NEW, OLD):
            await renamed_and_gone(core)
            plant(core.tree, "a", content)
            await core.scan()
            await core.upload_all()
            asset = await core.find("a")
            assert (asset.state, asset.failure and asset.failure.code) == (State.NEW, "precondition")
            await core.orders.retry(Selection(paths=(RelPath("a"),)), overwrite=True)
            await core.upload_all()
            assert await held(core, "a") == OLD
            assert await core.rekeyer.place_all() is None
            await core.upload_all()
            assert (await core.read("a"), await core.read("b")) == (content, OLD)
            await core.registry.remove(RelPath("a"))
            await core.registry.remove(RelPath("b"))
            await core.registry._purge_all()


async def test_what_was_written_anew_and_is_gone_stays_where_it_is(place: Place) -> None:
    """Its object is at its own key: nothing is to follow."""
    async with place.core() as core:
        await core.hot("a", OLD)
        plant(core.tree, "a", NEW)
        await core.scan()
        (core.tree.root / "a").unlink()
        await core.scan()
        assert (await core.state("a"), await core.catalog.count_misplaced()) == (State.COLD, 0)


async def taken(core: Core) -> None:
    """Leave a cold asset `b` at the key `a`, for somebody else's object is at the key `b`."""
    await renamed_and_gone(core)
    await core.store.put("b", b"a stranger", Attributes())
    assert await core.rekeyer.place_all() is None


async def test_where_its_own_key_is_taken_the_object_says_whose_it_is(place: Place) -> None:
    """A rebuilt index goes by that: another file at the old name is another asset, and overwrites nothing."""
    async with place.core() as core:
        await taken(core)
        passport = Passport.from_metadata((await core.store.head("a")).metadata or {})
        assert passport is not None
        assert passport.path == "b"
    (place.directory / "index.db").unlink()
    async with place.core() as core:
        plant(core.tree, "a", NEW)
        await core.scan()
        await core.discovery.discover()
        await core.upload_all()
        assert (await core.state("a"), await core.read("b")) == (State.STUCK, OLD)


@pytest.mark.parametrize("content", [OLD, NEW])
async def test_the_only_copy_of_another_asset_is_never_overwritten(place: Place, content: bytes) -> None:
    """Nor shared with it; and a person who says that it be overwritten is told of what it is the only copy."""
    async with place.core() as core:
        await taken(core)
        await core.new("a", content)
        await core.upload_all()
        said = "the object a is the only copy in the store of b"
        (result,) = await core.orders.retry(Selection(paths=(RelPath("a"),)), overwrite=True)
        assert (result.outcome, result.state, said in result.reason) == ("refused", State.STUCK, True)
        assert "`tierd rm`" in result.reason
        # Whoever said so before it was known is not obeyed either.
        core.orders._require_overwritable = _nothing
        await core.orders.retry(Selection(paths=(RelPath("a"),)), overwrite=True)
        await core.upload_all()
        asset = await core.find("a")
        assert asset.failure is not None
        assert (asset.state, said in asset.failure.message) == (State.STUCK, True)
        assert (await held(core, "a"), await core.read("b")) == (OLD, OLD)


async def _nothing(_: object) -> None:
    pass
