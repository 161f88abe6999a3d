"""The two tiers as one: what is there is served, what is not is said to be so, and what is unknown is neither."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest
from core import a_place, cut_short, until
from trees import open_descriptors, plant

from index.asset import Failure, RelPath
from index.changes import Change
from index.errors import UnknownAssetError
from index.lifecycle import Event, State
from tiering import demoter as demoter_module
from tiering.answers import ColdContent, HotContent
from tiering.entity import asset_tag
from tiering.outcome import DamagedError
from tiering.store import UnavailableError
from tiering.stores.faulty import Fail, Hold
from tiering.tree import BadNameError, NotRegularError

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

CONTENT = b"what its owner made"
A = RelPath("a.jpg")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def damaged(core: Core, path: str) -> Asset:
    """Have an asset whose remote copy was found wrong."""
    failure = Failure("damaged", "", 1, None)
    return await core.catalog.apply(Change.about(await core.cold(path, CONTENT), Event.MISMATCHED, failure=failure))


# --- finding


async def test_a_file_that_the_index_does_not_know_is_taken_in(place: Place) -> None:
    """At once, before any scan: the files are the truth."""
    async with place.core() as core:
        plant(core.tree, "d/a.jpg", CONTENT)
        assert (await core.tiers.find(RelPath("d/a.jpg"))).state is State.NEW
        assert await core.read("d/a.jpg") == CONTENT


async def test_a_cold_asset_that_its_owner_wrote_anew_is_hot(place: Place) -> None:
    """What he wrote a moment ago is what he gets."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        plant(core.tree, "a.jpg", b"theirs")
        assert (await core.tiers.find(A)).state is State.NEW
        assert await core.read("a.jpg") == b"theirs"


@pytest.mark.parametrize("is_gone", [False, True])
async def test_where_there_is_neither_file_nor_cold_asset_there_is_nothing(place: Place, *, is_gone: bool) -> None:
    """Nor where there once was an asset, and its tombstone is still known."""
    async with place.core() as core:
        if is_gone:
            await core.hot("a.jpg")
            await core.registry.remove(A)
        with pytest.raises(UnknownAssetError):
            await core.tiers.find(A)
        with pytest.raises(UnknownAssetError):
            await core.tiers.open(A, wait=0.0)
        with pytest.raises(UnknownAssetError):
            await core.tiers.content(A, whole=True)
        plant(core.tree, "a.jpg", b"new")
        assert await core.read("a.jpg") == b"new"


async def test_what_is_not_known_yet_is_not_said_to_be_missing(place: Place) -> None:
    """While the store is still being listed it may have it: come again. What is known is served meanwhile."""
    async with place.core() as core:
        await core.cold("known", CONTENT)
        core.discovery.done.clear()
        with pytest.raises(UnavailableError) as caught:
            await core.tiers.find(A)
        assert caught.value.hint
        assert await core.read("known") == CONTENT
        plant(core.tree, "a.jpg", b"here")
        assert await core.read("a.jpg") == b"here"


async def test_an_ignored_name_is_no_asset(place: Place) -> None:
    """Though a file is there."""
    async with place.core() as core:
        plant(core.tree, ".hidden/a.jpg")
        with pytest.raises(UnknownAssetError):
            await core.tiers.find(RelPath(".hidden/a.jpg"))


@pytest.mark.parametrize("path", ["../a", "a/../b", "a//b", "/a", "", ".", "a\0b"])
async def test_a_path_that_no_file_can_have_is_refused(place: Place, path: str) -> None:
    """Whoever asks so is mistaken, or means harm."""
    async with place.core() as core:
        with pytest.raises((BadNameError, UnknownAssetError)):
            await core.tiers.content(RelPath(path), whole=True)


async def test_what_is_no_regular_file_is_not_served(place: Place) -> None:
    """A link might lead anywhere."""
    async with place.core() as core:
        (core.tree.root / "a.jpg").symlink_to("/etc/passwd")
        with pytest.raises(NotRegularError):
            await core.tiers.content(A, whole=True)


# --- opening


async def test_what_is_hot_is_leased_to_whoever_asked(place: Place) -> None:
    """At its place on disk, at once; and it stays there while the lease lasts."""
    async with place.core() as core:
        asset = await core.hot("d/a.jpg", CONTENT)
        opened = await core.tiers.open(asset.path, wait=0.0)
        assert (opened.ready, opened.hit, opened.location) == (True, True, str(core.tree.root / "d/a.jpg"))
        assert opened.lease.asset_id == asset.id
        assert not (await core.demoter.demote(asset, reason="watermark")).done


async def test_what_is_cold_is_brought_back_and_leased(place: Place) -> None:
    """A miss, and told as one."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        opened = await core.tiers.open(A, wait=10.0)
        assert (opened.ready, opened.hit, opened.asset.state) == (True, False, State.REPLICATED)
        assert core.on_disk("a.jpg") == CONTENT
        assert core.leases.is_held(opened.asset.id)


async def test_who_waits_in_vain_is_told_to_come_again(place: Place) -> None:
    """Without a lease: there is nothing yet to be kept. The promotion goes on."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        held = Hold(operation="get")
        core.store.script = [held]
        opened = await core.tiers.open(A, wait=0.05)
        assert (opened.ready, opened.lease, opened.hit) == (False, None, False)
        assert not core.leases.is_held(asset.id)
        held.release.set()
        await until(lambda: len(core.promoter) == 0)
        assert (await core.tiers.open(A, wait=0.0)).ready


@pytest.mark.parametrize("proven", [True, False])
async def test_a_file_that_vanished_behind_our_back_is_looked_for(place: Place, *, proven: bool) -> None:
    """The index thinks that it is hot: where there is a proof it comes back, where there is none it is unknown."""
    async with place.core() as core:
        asset = await (core.hot if proven else core.new)("a.jpg", CONTENT)
        (core.tree.root / "a.jpg").unlink()
        if proven:
            opened = await core.tiers.open(A, wait=10.0)
            assert opened.ready
            assert core.on_disk("a.jpg") == CONTENT
        else:
            with pytest.raises(UnknownAssetError):
                await core.tiers.open(A, wait=10.0)
            assert not core.leases.is_held(asset.id)
            with pytest.raises(UnknownAssetError):
                await core.tiers.content(A, whole=True)


async def test_a_store_that_is_away_is_told_and_leaves_no_lease(place: Place) -> None:
    """And hot files are served all the same."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        await core.hot("hot", CONTENT)
        core.store.script = [Fail(operation="get", error=UnavailableError("503"), times=None)]
        with pytest.raises(UnavailableError):
            await core.tiers.open(A, wait=10.0)
        assert not core.leases.is_held(asset.id)
        assert (await core.tiers.open(RelPath("hot"), wait=0.0)).ready


async def test_what_is_damaged_is_never_served(place: Place) -> None:
    """By any way, and nothing is asked of the store for it."""
    async with place.core() as core:
        await damaged(core, "a.jpg")
        for ask in (core.tiers.open(A, wait=1.0), core.tiers.content(A, whole=True)):
            with pytest.raises(DamagedError) as caught:
                await ask
            assert caught.value.hint
        assert core.store.calls["get"] == 0
        plant(core.tree, "a.jpg", b"written anew")
        assert await core.read("a.jpg") == b"written anew"


async def test_who_asks_while_it_leaves_gets_it(place: Place) -> None:
    """Demotions and openings at once, again and again: whoever has a lease has a file."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)

        async def demote() -> None:
            while core.witness.demotions.total() < 10:
                await core.demoter.demote(await core.find("a.jpg"), reason="request")

        async def use() -> None:
            while core.witness.demotions.total() < 10:
                opened = await core.tiers.open(asset.path, wait=20.0)
                assert opened.ready
                assert core.on_disk("a.jpg") == CONTENT
                core.leases.release(opened.lease.id)
                assert await core.read("a.jpg") == CONTENT

        await asyncio.gather(demote(), use(), use())


async def test_a_demotion_that_cannot_be_stopped_any_more_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is still there, and will not be in a moment: whoever asks then gets it back from the store."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        reached, release = threading.Event(), threading.Event()
        move = demoter_module.move_to_trash

        def slow(*args: object) -> object:
            reached.set()
            release.wait(20)
            return move(*args)

        monkeypatch.setattr(demoter_module, "move_to_trash", slow)
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="watermark"))
        await until(reached.is_set)
        opening = asyncio.create_task(core.tiers.open(A, wait=20.0))
        await asyncio.wait([opening], timeout=0.1)
        release.set()
        opened = await opening
        assert (await demotion).done
        assert opened.ready
        assert core.on_disk("a.jpg") == CONTENT


async def test_an_asset_that_came_back_since_it_was_looked_at_is_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else had it promoted in between: that is no reason to fail."""
    async with place.core() as core:
        cold = await core.cold("a.jpg", CONTENT)
        await core.promoter.begin(cold).wait()
        find = core.tiers.find
        answers = iter([cold])

        async def late(path: RelPath) -> Asset:
            return next(answers, None) or await find(path)

        monkeypatch.setattr(core.tiers, "find", late)
        assert (await core.tiers.open(A, wait=10.0)).ready


# --- contents


async def test_hot_bytes_come_from_the_file(place: Place) -> None:
    """An open file, and what it is; a hit."""
    async with place.core() as core:
        await core.hot("a.jpg", CONTENT)
        content = await core.tiers.content(A, whole=True)
        assert isinstance(content, HotContent)
        assert (content.hit, content.sighting) == (True, core.tree.sight_fd(A, content.fd))
        with os.fdopen(content.fd, "rb") as file:
            assert file.read() == CONTENT


async def test_cold_bytes_come_while_they_arrive(place: Place) -> None:
    """The whole of a cold asset is read along; a part of it waits until all is there."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        content = await core.tiers.content(A, whole=True)
        assert isinstance(content, ColdContent)
        assert (content.size, content.sha256) == (len(CONTENT), asset.proof.sha256)
        assert b"".join([chunk async for chunk in content.chunks]) == CONTENT
        await content.chunks.aclose()
        await until(lambda: len(core.promoter) == 0)
        await core.demoter.demote(await core.find("a.jpg"), reason="request")
        part = await core.tiers.content(A, whole=False)
        assert isinstance(part, HotContent)
        assert not part.hit
        os.close(part.fd)


async def test_every_way_of_asking_counts_as_an_access(place: Place) -> None:
    """Once each; a HEAD is none."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        await core.read("a.jpg")
        await until(lambda: len(core.promoter) == 0)
        await core.read("a.jpg")
        await core.tiers.open(A, wait=0.0)
        await core.tiers.peek(A)
        await core.accesses.flush()
        assert (await core.find("a.jpg")).access_count == 3


async def test_who_leaves_while_a_file_is_opened_leaves_nothing_open(place: Place) -> None:
    """At any point: a browser that stops loading must not cost a descriptor."""
    async with place.core() as core:
        await core.hot("a.jpg", CONTENT)
        at, was_cut = 0, True
        while was_cut:
            at += 1
            before = open_descriptors()
            was_cut = await cut_short(_read_and_close(core), at=at)
            for _ in range(5):
                await asyncio.sleep(0)
            assert open_descriptors() == before
        assert at > 1


async def _read_and_close(core: Core) -> None:
    os.close((await core.tiers.content(A, whole=True)).fd)


async def test_who_leaves_while_a_lease_is_granted_leaves_none(place: Place) -> None:
    """Nobody would release it."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        for at in range(1, 4):
            if await cut_short(core.tiers.open(A, wait=1.0), at=at):
                assert not core.leases.is_held(asset.id)


# --- heads


async def test_a_peek_moves_nothing(place: Place) -> None:
    """Cold or hot: size, time and tag, and not a byte from the store."""
    async with place.core() as core:
        hot = await core.hot("a.jpg", CONTENT)
        peek = await core.tiers.peek(A)
        assert (peek.etag, peek.size) == (asset_tag(hot), len(CONTENT))
        await core.demoter.demote(hot, reason="request")
        cold = await core.tiers.peek(A)
        assert (cold.etag, cold.size, cold.mtime_ns) == (peek.etag, peek.size, peek.mtime_ns)
        assert await core.state("a.jpg") is State.COLD
        assert core.store.calls["get"] == 0


async def test_a_peek_at_a_changed_file_does_not_tell_the_old_tag(place: Place) -> None:
    """What is on disk is not what the index knows: its digest is unknown."""
    async with place.core() as core:
        hot = await core.hot("a.jpg", CONTENT)
        plant(core.tree, "a.jpg", b"new content")
        peek = await core.tiers.peek(A)
        assert peek.etag != asset_tag(hot)
        assert peek.size == len(b"new content")


@pytest.mark.parametrize("how", ["content", "open"])
async def test_a_reader_is_told_of_the_brake(place: Place, how: str) -> None:
    """What is missing is not taken for gone, and so never fetched: he learns why, and what a person can do."""
    async with place.core() as core:
        for number in range(12):
            await core.hot(f"{number}", CONTENT)
        for number in range(12):
            (core.tree.root / f"{number}").unlink()
        await core.scan()
        with pytest.raises(UnavailableError, match="the brake is engaged: 12 of 12 files are missing") as caught:
            await (core.tiers.open(RelPath("3"), wait=5) if how == "open" else core.read("3"))
        assert "tierd resume --confirm" in caught.value.hint
