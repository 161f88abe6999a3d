"""The scrubber: what rots is found, what only seems so is not believed, and everything gets its turn."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

import pytest
from core import a_place, until
from samples import DAY
from servers import CREDENTIALS
from trees import plant

from index.asset import RelPath
from index.errors import CatalogError, CorruptIndexError
from index.lifecycle import State
from tiering.scrub import REST, WEEK
from tiering.scrubber import AGAIN_SECONDS, DOUBT_SECONDS
from tiering.store import Attributes, CorruptError, RefusedError, UnavailableError
from tiering.stores.faulty import Damage, Fail
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

CONTENT = b"what its owner made"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def later(core: Core, seconds: float = WEEK) -> None:
    """Let time pass, then ask for what is due; where a page is less than all of it, again."""
    core.clock.ahead += seconds
    for _ in range(20):
        await core.scrubber.ask()


def silence(core: Core, times: int = 1) -> Fail:
    """Return the fault of a store that does not answer the next questions."""
    return Fail(operation="head", first=core.store.calls["head"] + 1, times=times, error=UnavailableError("503"))


# Heads


async def test_every_cold_asset_is_asked_for_once_a_week(place: Place) -> None:
    """Not sooner than it is due, and not again."""
    async with place.core() as core:
        for name in "abc":
            await core.cold(name, CONTENT)
        asked = core.store.calls["head"]
        await later(core, REST - 60)
        assert core.store.calls["head"] == asked
        await later(core, 120)
        assert core.store.calls["head"] == asked + 3
        assert core.witness.checks == {("head", "right"): 3}
        await core.inspector.sample()
        assert core.inspector.status().scrub.oldest_seconds < 10
        assert core.inspector.status().scrub.suspects == 0


async def test_a_restart_forgets_no_turn(place: Place) -> None:
    """When an asset was looked at is in the index."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        await later(core)
        assert core.witness.checks == {("head", "right"): 1}
    async with place.core() as core:
        core.clock.ahead = WEEK + REST - 60
        await core.scrubber.ask()
        assert core.witness.checks == {}
        await later(core, 120)
        assert core.witness.checks == {("head", "right"): 1}


@pytest.mark.parametrize("what", ["missing", "mismatched"])
async def test_what_is_wrong_is_damaged_at_the_second_look(place: Place, what: str) -> None:
    """Not at the first."""
    async with place.core() as core:
        asset = await core.cold("a", CONTENT)
        if what == "missing":
            await place.memory.delete("a")
        else:
            await place.memory.put("a", CONTENT.upper(), Attributes())
        await later(core)
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 1)
        await later(core, AGAIN_SECONDS)
        assert (await core.state("a"), core.scrubber.suspects) == (State.DAMAGED, 0)
        assert core.witness.checks == {("head", what): 2}
        assert core.witness.mismatches == 1
        failure = (await core.find("a")).failure
        assert failure is not None
        assert (failure.code, failure.message) == ("damaged", f"its remote copy was found {what}, twice")
        assert (await core.find("a")).proof == asset.proof


async def test_what_is_back_at_the_second_look_was_nothing(place: Place) -> None:
    """A store that forgets for a moment damages nothing."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        kept = await place.memory.head("a")
        await place.memory.delete("a")
        await later(core)
        assert core.scrubber.suspects == 1
        await place.memory.put("a", CONTENT, Attributes(metadata=kept.metadata or {}))
        await later(core, AGAIN_SECONDS)
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 0)


async def test_an_asset_that_moved_on_is_no_suspect(place: Place) -> None:
    """Its owner wrote it anew before the second look."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        await place.memory.delete("a")
        await later(core)
        await core.new("a", b"anew")
        await later(core, AGAIN_SECONDS)
        assert (await core.state("a"), core.scrubber.suspects) == (State.NEW, 0)


async def test_another_copy_is_another_suspicion(place: Place) -> None:
    """It was uploaded and demoted anew before the second look: that look is the first at this copy."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        await place.memory.delete("a")
        await later(core)
        await core.cold("a", b"anew")
        await place.memory.delete("a")
        core.clock.ahead += AGAIN_SECONDS
        await core.scrubber.ask()
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 0)


async def test_silence_says_nothing(place: Place) -> None:
    """Neither at the first look nor at the second; when the store is back the look is made up for."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        core.store.script = [silence(core)]
        core.clock.ahead = WEEK
        with pytest.raises(UnavailableError):
            await core.scrubber.ask()
        core.store.script = []
        await place.memory.delete("a")
        await core.scrubber.ask()
        assert core.scrubber.suspects == 1
        core.store.script = [silence(core)]
        core.clock.ahead += AGAIN_SECONDS
        with pytest.raises(UnavailableError):
            await core.scrubber.ask()
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 1)


async def test_one_that_cannot_be_looked_at_is_in_nobodys_way(place: Place) -> None:
    """The store refuses it, whatever that means: it is unknown, and the others get their turn."""
    async with place.core() as core:
        for name in "ab":
            await core.cold(name, CONTENT)
        core.store.script = [
            Fail(operation="head", times=1, error=RefusedError("403"), first=core.store.calls["head"] + 1)
        ]
        await later(core)
        assert core.witness.checks == {("head", "unknown"): 1, ("head", "right"): 1}
        assert core.scrubber.suspects == 0


async def test_a_store_that_has_lost_everything_is_doubted(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """All of ten at once: another bucket, or an empty disk behind it. Nothing is marked, and it is said."""
    async with place.core() as core:
        for number in range(10):
            await core.cold(f"{number}", CONTENT)
        kept = {key: await place.memory.head(key) for key in map(str, range(10))}
        for key in kept:
            await place.memory.delete(key)
        await later(core)
        with caplog.at_level(logging.ERROR):
            await later(core, AGAIN_SECONDS)
            await later(core, DOUBT_SECONDS)
        assert core.catalog.totals.assets[State.COLD] == 10
        doubt = "10 of 10 cold assets seem missing or wrong in the store at once"
        assert core.inspector.status().scrub.doubt == doubt
        assert caplog.text.count("the store is doubted") == 1
        for key, info in kept.items():
            await place.memory.put(key, CONTENT, Attributes(metadata=info.metadata or {}))
        await later(core, DOUBT_SECONDS)
        assert (core.scrubber.doubt, core.scrubber.suspects) == ("", 0)
        assert core.catalog.totals.assets[State.COLD] == 10


async def test_while_the_store_is_doubted_no_more_is_looked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be millions: they would all be suspects."""
    async with place.core() as core:
        monkeypatch.setattr("tiering.scrubber.looks_a_round", lambda _: 1)
        for number in range(14):
            await core.cold(f"{number:02}", CONTENT)
            await place.memory.delete(f"{number:02}")
        await later(core)
        assert core.scrubber.suspects == 11


async def test_few_of_many_are_damaged(place: Place) -> None:
    """As many as may be wrong at once; the others are cold."""
    async with place.core() as core:
        for number in range(12):
            await core.cold(f"{number:02}", CONTENT)
        for number in range(10):
            await place.memory.delete(f"{number:02}")
        await later(core)
        await later(core, AGAIN_SECONDS)
        assert core.catalog.totals.assets[State.DAMAGED] == 10
        assert core.catalog.totals.assets[State.COLD] == 2


# Bodies


async def test_one_is_read_back_a_day_and_each_in_turn(place: Place) -> None:
    """In the order in which they came, round and round, across restarts."""
    reads = 0
    for day in range(4):
        async with place.core() as core:
            if day == 0:
                for name in "abc":
                    await core.cold(name, CONTENT)
            core.clock.ahead = (day + 1) * DAY
            core.store.calls.clear()
            await core.scrubber.read_back()
            await core.scrubber.read_back()
            reads += core.store.calls["get"]
            assert core.witness.checks == {("read-back", "right"): 1}
    assert reads == 4


@pytest.mark.parametrize("error", [None, CorruptError("short")])
async def test_wrong_bytes_are_damage_at_the_second_look(place: Place, error: Exception | None) -> None:
    """The ETag is right and the bytes are not, and so they are when they are read again."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        core.store.script = [Damage(change=bytes.upper, error=error, times=None)]
        await core.scrubber.read_back()
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 1)
        await later(core, AGAIN_SECONDS)
        assert await core.state("a") is State.DAMAGED
        assert core.witness.checks == {("read-back", "corrupt"): 2}


async def test_bytes_that_were_wrong_once_are_not_damaged(place: Place) -> None:
    """The way was bad, not the object."""
    async with place.core() as core:
        await core.cold("a", CONTENT)
        core.store.script = [Damage(change=bytes.upper, times=1)]
        await core.scrubber.read_back()
        await later(core, AGAIN_SECONDS)
        assert (await core.state("a"), core.scrubber.suspects) == (State.COLD, 0)


# Files


async def test_every_file_is_hashed_in_its_turn(place: Place) -> None:
    """One that rotted is told, by its name; nothing is uploaded over the remote copy, which is right."""
    async with place.core() as core:
        await core.hot("a", CONTENT * 200_000)
        rotten = await core.hot("b", CONTENT)
        await core.rot("b", b"WHAT")
        for _ in range(2):
            await core.scrubber.hash_files()
            core.clock.ahead += 15 * DAY
        assert core.witness.checks == {("hash", "right"): 1, ("hash", "rotten"): 1}
        assert (await core.find("b")).proof == rotten.proof
        assert await core.state("b") is State.REPLICATED


async def test_what_was_touched_is_left_to_others(place: Place) -> None:
    """New content under an old time, or a new mode: the reconciler reads it again by itself."""
    async with place.core() as core:
        await core.hot("a", CONTENT)
        (core.tree.root / "a").chmod(0o600)
        await core.scrubber.hash_files()
        assert core.witness.checks == {("hash", "changed"): 1}


async def test_a_file_in_work_is_left_alone(place: Place) -> None:
    """Its owner writes it, or has removed it: the next scan says more."""
    async with place.core() as core:
        await core.hot("a", CONTENT)
        plant(core.tree, "a", b"other")
        await core.scrubber.hash_files()
        await core.hot("b", CONTENT)
        (core.tree.root / "b").unlink()
        core.clock.ahead = 30 * DAY
        await core.scrubber.hash_files()
        assert core.witness.checks == {("hash", "changed"): 2}


async def test_it_goes_on_whatever_the_store_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three walks, for ever, and after a store that was away."""
    monkeypatch.setattr("tiering.scrubber.ROUND_SECONDS", 0.001)
    async with place.core() as core:
        await core.cold("a", CONTENT)
        await core.hot("b", CONTENT)
        core.clock.ahead = WEEK
        core.store.script = [silence(core, times=3)]
        task = asyncio.create_task(core.scrubber.run())
        await until(lambda: core.witness.checks.keys() >= {("head", "right"), ("hash", "right")})
        task.cancel()
        assert core.witness.checks["head", "unknown"] >= 1


async def test_an_index_that_cannot_be_written_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: the scrubber waits, and goes on when there is room; one that is broken is not its to bear."""
    monkeypatch.setattr("tiering.scrubber.ROUND_SECONDS", 0.001)
    async with place.core() as core:
        await core.cold("a", CONTENT)
        core.clock.ahead = WEEK
        errors = [CatalogError("disk full"), CatalogError("disk full"), CorruptIndexError("malformed")]
        remember = core.catalog.remember

        async def fail(name: str, value: str) -> None:
            if errors:
                raise errors.pop(0)
            await remember(name, value)

        monkeypatch.setattr(core.catalog, "remember", fail)
        with pytest.raises(ExceptionGroup, match="unhandled errors") as ended:
            async with asyncio.timeout(20):
                await core.scrubber.run()
        assert ended.group_contains(CorruptIndexError)
        assert not errors


# On a real server


async def test_on_seaweedfs(place: Place, seaweed_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that are gone, others, and right, as a real server tells them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings = S3Settings(bucket=f"scrub-{uuid.uuid4().hex[:8]}", endpoint=seaweed_endpoint, region="us-east-1")
    store = await S3Store.connect(settings)
    await store._requests._connection.client.create_bucket(Bucket=settings.bucket)
    place.memory = store
    async with place.core() as core:
        for name in ("gone", "other", "right"):
            await core.cold(name, CONTENT)
        await store.delete("gone")
        await store.put("other", CONTENT.upper(), Attributes())
        await later(core)
        await later(core, AGAIN_SECONDS)
        await core.scrubber.read_back()
        states = {name: await core.state(name) for name in ("gone", "other", "right")}
        assert states == {"gone": State.DAMAGED, "other": State.DAMAGED, "right": State.COLD}
        assert core.witness.checks["read-back", "right"] == 1
        assert await core.read("right") == CONTENT
        assert await core.find(RelPath("right"))
    await store.close()
