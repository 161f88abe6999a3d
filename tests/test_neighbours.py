"""Hosts that share a bucket: what one of them did, another takes in; no byte is lost, and a conflict is shown."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import Place, until
from trees import plant

from index.asset import RelPath
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.answers import Selection
from tiering.outcome import DamagedError
from tiering.store import Attributes, UnavailableError
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core import Core

FIRST, SECOND, THIRD = b"as it was", b"as it is since", b"as it will be one day"


@asynccontextmanager
async def two_hosts(directory: Path, **rules: object) -> AsyncIterator[tuple[Core, Core]]:
    """Two daemons with a tree and an index each, and one store."""
    memory = MemoryStore()
    async with AsyncExitStack() as stack:
        both = []
        for host in ("here", "there"):
            (directory / host).mkdir(exist_ok=True)
            both.append(await stack.enter_async_context(Place(directory / host, memory, host).core(**rules)))
        yield both[0], both[1]


async def overwrite(core: Core, path: str, content: bytes) -> None:
    """Write anew, as an owner does, and bring it to the store."""
    plant(core.tree, path, content)
    await core.scan()
    await core.upload_all()


async def look(core: Core) -> None:
    """Look what others did, and let go what is out of date, as the daemon does now and then."""
    await core.neighbours.look()
    await core.neighbours.give_way()


async def retry(core: Core, path: str, *, overwrite: bool = False) -> None:
    """Say that it is to be tried again, as a person does, and let it happen."""
    await core.orders.retry(Selection(paths=(RelPath(path),)), overwrite=overwrite)
    await core.upload_all()


async def test_what_another_host_put_is_there(tmp_path: Path) -> None:
    """Nobody knows it before; after a look it is cold here, and who asks gets it."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        with pytest.raises(UnknownAssetError):
            await here.find("a")
        await look(here)
        assert await here.state("a") is State.COLD
        assert await here.read("a") == FIRST


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("is_hot", [False, True])
async def test_what_another_host_replaced_is_served_as_it_is_now(tmp_path: Path, *, is_hot: bool, pinned: bool) -> None:
    """Cold or on disk: a local copy that is out of date leaves, and a pinned one comes back as it is."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        if is_hot:
            assert await here.read("a") == FIRST
        await here.catalog.set_pinned([(await here.find("a")).id], pinned)
        await overwrite(there, "a", SECOND)
        await look(here)
        if pinned and is_hot:
            await until(lambda: here.on_disk("a") == SECOND)
        else:
            assert here.on_disk("a") is None
        assert await here.read("a") == SECOND
        assert (await here.find("a")).generation == (await there.find("a")).generation


async def test_without_a_look_a_cold_asset_is_never_served_as_it_was(tmp_path: Path) -> None:
    """Who asks is told to ask again, and gets what is there."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await overwrite(there, "a", SECOND)
        with pytest.raises(UnavailableError):
            await here.read("a")
        assert await here.read("a") == SECOND


async def test_a_copy_that_is_out_of_date_leaves_when_its_turn_comes(tmp_path: Path) -> None:
    """The keeper that demotes it finds what has replaced it: it is not uploaded over that."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await here.read("a")
        await overwrite(there, "a", SECOND)
        outcome = await here.demoter.demote(await here.find("a"), reason="request")
        assert outcome.done
        assert outcome.asset.state is State.COLD
        assert await here.read("a") == SECOND


async def test_one_that_is_in_use_stays_until_it_is_not(tmp_path: Path) -> None:
    """A lease is kept; what was out of date goes once it has ended."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        opened = await here.tiers.open(RelPath("a"), wait=10.0)
        await overwrite(there, "a", SECOND)
        await look(here)
        assert (here.on_disk("a"), here.neighbours.out_of_date) == (FIRST, 1)
        assert opened.lease is not None
        here.leases.release(opened.lease.id)
        here.obstacle = "the brake is engaged"
        await here.neighbours.give_way()
        assert here.on_disk("a") == FIRST
        here.obstacle = None
        await here.neighbours.give_way()
        assert (here.on_disk("a"), here.neighbours.out_of_date) == (None, 0)
        assert await here.read("a") == SECOND


async def test_of_two_who_overwrite_the_second_keeps_his_bytes_and_is_told(tmp_path: Path) -> None:
    """Both have counted as far: the number alone would have let him replace what he had never seen."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await here.read("a")
        await overwrite(there, "a", SECOND)
        await overwrite(here, "a", THIRD)
        await look(here)
        loser = await here.find("a")
        assert (loser.state, loser.failure and loser.failure.code) == (State.STUCK, "conflict")
        assert loser.failure is not None
        assert "another host" in loser.failure.message
        assert here.on_disk("a") == THIRD
        assert await there.read("a") == SECOND
        await retry(here, "a", overwrite=True)
        await look(there)
        assert await there.read("a") == THIRD


async def test_what_waits_for_its_upload_replaces_nothing_that_it_never_saw(tmp_path: Path) -> None:
    """A look finds the other host's object before the upload begins: that is no reason to take it for an older one."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await here.new("a", SECOND)
        await here.new("same", FIRST)
        await there.hot("same", FIRST)
        await look(here)
        await here.upload_all()
        assert (await here.state("a"), await here.state("same")) == (State.STUCK, State.REPLICATED)
        assert await there.read("a") == FIRST


@pytest.mark.parametrize("is_hot", [False, True])
async def test_who_took_the_same_content_in_by_himself_follows_too(tmp_path: Path, *, is_hot: bool) -> None:
    """The two know it under different ids."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await (here.hot if is_hot else here.cold)("a", FIRST)
        assert (await here.find("a")).id != (await there.find("a")).id
        for writer, reader, content in ((there, here, SECOND), (here, there, THIRD), (there, here, FIRST)):
            await overwrite(writer, "a", content)
            await look(reader)
            assert await reader.read("a") == content


async def test_what_was_removed_is_told_and_can_be_made_anew(tmp_path: Path) -> None:
    """A cold asset is gone here, too. What another host makes of that name later is there again."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await there.registry.remove(RelPath("a"))
        await there.registry._purge_all()
        await here.neighbours.removed("a")
        assert await here.state("a") is State.GONE
        with pytest.raises(UnknownAssetError):
            await here.read("a")
        await there.hot("a", FIRST)
        await look(here)
        assert await here.read("a") == FIRST


async def test_what_was_removed_elsewhere_and_is_on_disk_stays(tmp_path: Path) -> None:
    """Nothing that a message says takes the last copy away, or brings it back to the store: a person decides."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await here.read("a")
        await there.registry.remove(RelPath("a"))
        await there.registry._purge_all()
        await here.neighbours.removed("a")
        asset = await here.find("a")
        assert (asset.state, asset.failure and asset.failure.code) == (State.STUCK, "removed")
        assert here.on_disk("a") == FIRST
        await here.scan()
        await here.upload_all()
        assert here.store.calls["put"] == 0
        await look(there)
        assert await there.state("a") is State.GONE
        await retry(here, "a")
        await look(there)
        assert await there.read("a") == FIRST


async def test_a_removal_that_is_not_true_any_more_removes_nothing(tmp_path: Path) -> None:
    """Messages come late, twice, and in no order: the store is asked."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await here.neighbours.removed("a")
        await here.neighbours.removed("b")
        assert await here.state("a") is State.COLD


async def test_without_a_message_what_is_missing_is_damaged_and_says_so(tmp_path: Path) -> None:
    """Absence concludes nothing by itself; who asks is told that somebody may have removed it."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await there.registry.remove(RelPath("a"))
        await there.registry._purge_all()
        await look(here)
        assert await here.state("a") is State.COLD
        with pytest.raises(DamagedError) as told:
            await here.read("a")
        assert "tierd rm" in told.value.hint


async def test_what_is_nobodys_costs_one_question(tmp_path: Path) -> None:
    """However often is looked."""
    async with two_hosts(tmp_path) as (here, there):
        await there.store.put("foreign", b"body", Attributes())
        await there.hot("a", FIRST)
        for _ in range(3):
            await look(here)
        assert here.store.calls["head"] == 2


async def test_nobody_prunes_what_another_host_sent(tmp_path: Path) -> None:
    """That it is superseded is what one host believes."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await here.registry.remove(RelPath("a"))
        await there.store.put("b", b"body", Attributes(metadata=(await there.store.head("a")).metadata))
        async for done in here.migration._pruner.prune(dry_run=True):
            assert done.removed == 0


async def test_who_has_counted_further_has_not_seen_more(tmp_path: Path) -> None:
    """Written twice here since, and of a higher number than what the other host sent: that is still a conflict."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await here.read("a")
        await overwrite(there, "a", SECOND)
        for content in (FIRST + b"!", THIRD):
            plant(here.tree, "a", content)
            await here.scan()
        await here.upload_all()
        loser = await here.find("a")
        assert (loser.state, loser.failure and loser.failure.code) == (State.STUCK, "conflict")


async def test_who_gives_his_own_bytes_up_gets_the_others(tmp_path: Path) -> None:
    """Also where he says so with `rm`, which leaves alone what the other host has sent."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await look(here)
        await overwrite(there, "a", SECOND)
        await overwrite(here, "a", THIRD)
        assert await here.state("a") is State.STUCK
        await here.registry.remove(RelPath("a"))
        await here.registry._purge_all()
        await look(here)
        assert await here.read("a") == SECOND
        assert await there.read("a") == SECOND


async def test_what_is_there_again_as_it_was_is_mended(tmp_path: Path) -> None:
    """Removed, found missing, and put anew by the host that had it: nobody need say so. What is wrong stays wrong."""
    async with two_hosts(tmp_path) as (here, there):
        for path in ("a", "rotten"):
            await there.hot(path, FIRST)
        await look(here)
        objects = there.store._store._objects
        papers = (await there.store.head("a")).metadata
        await there.store.delete("a")
        objects["rotten"] = replace(objects["rotten"], body=SECOND[: len(FIRST)])
        for path in ("a", "rotten"):
            with pytest.raises(DamagedError):
                await here.tiers.open(RelPath(path), wait=10.0)
        await there.store.put("a", FIRST, Attributes(metadata=papers))
        await look(here)
        assert await here.read("a") == FIRST
        assert await here.state("rotten") is State.DAMAGED
