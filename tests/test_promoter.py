"""The promoter: what comes back is whole, proven and durable, comes once, and never over its owner's file."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place, cut_short, until
from trees import open_descriptors, plant

from index.changes import Change
from index.errors import StaleTransitionError
from index.lifecycle import Event, State
from tiering.arrival import HELD_BACK, Arrival
from tiering.landing import ContentError, Landing
from tiering.outcome import DamagedError, NoSpaceError
from tiering.store import (
    Attributes,
    CorruptError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    UnavailableError,
)
from tiering.stores.faulty import Damage, Fail, Hold
from tiering.tree import ChangedError, DiskFullError, NotRegularError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core import Core, Place

    from tiering.arrival import Stream

CONTENT = b"what its owner made"
LARGE = bytes(range(256)) * 2400
"""More than is held back, and more than one chunk."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def spoilt(body: bytes) -> bytes:
    """Return a body of the same length in which the last byte is another."""
    return body[:-1] + bytes([body[-1] ^ 1])


# --- what comes back


async def test_what_comes_back_is_what_left(place: Place) -> None:
    """Content, mode and mtime; replicated, with the proof that it had, and it counts as just used."""
    async with place.core() as core:
        await core.new("d/a.jpg", CONTENT)
        (core.tree.root / "d/a.jpg").chmod(0o640)
        os.utime(core.tree.root / "d/a.jpg", ns=(1, 1_600_000_000_123_456_789))
        await core.scan()
        await core.upload_all()
        hot = await core.find("d/a.jpg")
        await core.demoter.demote(hot, reason="request")
        asset = await core.promoter.begin(await core.find("d/a.jpg")).wait()
        seen = core.tree.sight("d/a.jpg")
        assert core.on_disk("d/a.jpg") == CONTENT
        assert (seen.mode & 0o777, seen.fingerprint.mtime_ns) == (0o640, 1_600_000_000_123_456_789)
        assert (asset.state, asset.proof, asset.sha256) == (State.REPLICATED, hot.proof, hot.sha256)
        assert (asset.fingerprint, asset.ctime_ns) == (seen.fingerprint, seen.ctime_ns)
        assert asset.last_access == asset.promoted_at > hot.last_access
        assert core.witness.promotions == {"restored": 1}
        await core.scan()
        assert await core.state("d/a.jpg") is State.REPLICATED


async def test_an_empty_file_comes_back_too(place: Place) -> None:
    """There is nothing to hold back, and nothing to wait for."""
    async with place.core() as core:
        await core.cold("a.jpg", b"")
        assert await core.read("a.jpg") == b""
    assert (place.directory / "media/a.jpg").read_bytes() == b""


# --- once, for all who ask


async def test_fifty_who_ask_are_one_download(place: Place) -> None:
    """And each gets the asset."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        found = await asyncio.gather(*(core.promoter.begin(asset).wait() for _ in range(50)))
        assert {each.state for each in found} == {State.REPLICATED}
        assert core.store.calls["get"] == 1
        assert core.witness.promotions == {"restored": 1}
        assert len(core.promoter) == 0


async def test_who_goes_away_disturbs_nobody(place: Place) -> None:
    """Not even the one who asked first: the work is not his."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        held = Hold(operation="get")
        core.store.script = [held]
        callers = [asyncio.create_task(core.promoter.begin(asset).wait()) for _ in range(5)]
        await held.reached.wait()
        for caller in callers[:4]:
            caller.cancel()
        await asyncio.sleep(0)
        held.release.set()
        assert (await callers[4]).state is State.REPLICATED
        assert [caller.cancelled() for caller in callers] == [True] * 4 + [False]


async def test_the_work_goes_on_when_all_have_gone(place: Place) -> None:
    """The next one who asks finds it on disk."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        caller = asyncio.create_task(core.promoter.begin(asset).wait())
        await asyncio.sleep(0)
        caller.cancel()
    assert (place.directory / "media/a.jpg").read_bytes() == CONTENT


async def test_no_more_at_once_than_allowed(place: Place) -> None:
    """The others wait for their turn."""
    async with place.core(promotions=2) as core:
        assets = [await core.cold(f"{number}", CONTENT) for number in range(4)]
        held = Hold(operation="get", times=None)
        core.store.script = [held]
        arrivals = [core.promoter.begin(asset) for asset in assets]
        await until(lambda: core.store.calls["get"] == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (core.store.calls["get"], len(core.promoter)) == (2, 4)
        held.release.set()
        await asyncio.gather(*(arrival.wait() for arrival in arrivals))


# --- room


async def test_two_promotions_never_take_the_same_room(place: Place) -> None:
    """There is room for one of the two, and nothing may leave: one comes back, the other is refused, at once."""
    async with place.core(size_limit=12_000) as core:
        assets = [await core.cold(name, b"x" * 8000) for name in ("a", "b")]
        core.obstacle = "a test says so"
        held = Hold(operation="get", times=None)
        core.store.script = [held]
        first, second = (core.promoter.begin(asset) for asset in assets)
        await held.reached.wait()
        with pytest.raises(NoSpaceError, match="b needs 8000 bytes"):
            await second.wait()
        held.release.set()
        assert (await first.wait()).state is State.REPLICATED
        assert await core.state("b") is State.COLD
        assert core.witness.promotions == {"restored": 1, "no-space": 1}
        assert core.space.usage().used == 8192


async def test_a_disk_without_room_says_so_before_a_byte_flows(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold again, with what to do; and what was spoken for is free again."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)

        def full(self: Landing) -> None:
            raise DiskFullError(self.path, "No space left on device")

        with monkeypatch.context() as patches:
            patches.setattr(Landing, "_reserve", full)
            with pytest.raises(NoSpaceError, match="No space left") as caught:
                await core.promoter.begin(asset).wait()
        assert caught.value.hint
        assert core.store.calls["get"] == 0
        assert await core.state("a.jpg") is State.COLD
        assert core.space._reserved == 0
        assert await core.read("a.jpg") == CONTENT


# --- the remote copy is wrong, or not to be had


async def test_a_broken_wire_is_not_a_broken_object(place: Place) -> None:
    """The first body is wrong, the second right: the asset is back, and nothing wrong was ever at its name."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        core.store.script = [Damage(change=spoilt)]
        await core.promoter.begin(asset).wait()
        assert core.on_disk("a.jpg") == CONTENT
        assert core.store.calls["get"] == 2
        assert core.witness.mismatches == 0


@pytest.mark.parametrize("error", [NotFoundError("no such object"), PreconditionError("another ETag")])
async def test_one_word_that_it_is_gone_is_not_believed(place: Place, error: Exception) -> None:
    """The second answer counts: whoever reads along does not even notice."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        core.store.script = [Fail(operation="get", error=error)]
        assert await core.read("a.jpg") == CONTENT
        assert core.store.calls["get"] == 2
        assert core.witness.mismatches == 0


@pytest.mark.parametrize("change", [spoilt, lambda body: body[:-1], lambda body: body + b"x", lambda _body: b""])
async def test_an_object_that_is_wrong_twice_is_damage(place: Place, change: Callable[[bytes], bytes]) -> None:
    """Nothing is at its name, the asset says what is wrong with it, and a person can have it tried again."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        core.store.script = [Damage(change=change, times=None)]
        with pytest.raises(DamagedError, match=r"a\.jpg"):
            await core.promoter.begin(asset).wait()
        after = await core.find("a.jpg")
        assert (after.state, after.proof) == (State.DAMAGED, asset.proof)
        assert after.failure is not None
        assert core.on_disk("a.jpg") is None
        assert core.store.calls["get"] == 2
        assert (core.witness.mismatches, core.witness.promotions) == (1, {"damaged": 1})
        core.store.script = []
        retried = await core.catalog.apply(Change.about(after, Event.RETRIED))
        assert (await core.promoter.begin(retried).wait()).state is State.REPLICATED


async def test_an_object_that_is_gone_is_damage(place: Place) -> None:
    """The store said so, for this very key."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        await place.memory.delete(asset.proof.key)
        with pytest.raises(DamagedError, match="no such object"):
            await core.promoter.begin(asset).wait()
        assert await core.state("a.jpg") is State.DAMAGED


@pytest.mark.parametrize("body", [CONTENT.upper(), b"another size"])
async def test_an_object_of_somebody_else_is_damage(place: Place, body: bytes) -> None:
    """It is not the one that was proven, whatever it is: not a byte of it comes to the disk."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        await place.memory.put(asset.proof.key, body, Attributes())
        with pytest.raises(DamagedError):
            await core.promoter.begin(asset).wait()
        assert await core.state("a.jpg") is State.DAMAGED
        assert core.on_disk("a.jpg") is None
        assert core.store.calls["get"] == 2


async def test_an_object_of_another_size_is_not_even_read(place: Place) -> None:
    """The answer's head tells, whatever its ETag says."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        there = place.memory._objects[asset.proof.key]
        place.memory._objects[asset.proof.key] = replace(there, info=replace(there.info, size=5))
        with pytest.raises(DamagedError, match=f"has 5 bytes, not {len(CONTENT)}"):
            await core.promoter.begin(asset).wait()


@pytest.mark.parametrize(
    "error", [UnavailableError("timed out"), CredentialsError("403"), RefusedError("no such bucket")]
)
@pytest.mark.parametrize("in_body", [False, True])
async def test_a_store_that_does_not_answer_says_nothing(place: Place, error: Exception, *, in_body: bool) -> None:
    """The asset is cold as before, whoever asked is told, and the next one may have luck."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        struck = Damage(change=lambda body: body[:4], error=error) if in_body else Fail(operation="get", error=error)
        core.store.script = [struck]
        with pytest.raises(type(error), match=str(error)):
            await core.promoter.begin(asset).wait()
        after = await core.find("a.jpg")
        assert (after.state, after.proof) == (State.COLD, asset.proof)
        assert core.witness.promotions == {"deferred": 1}
        assert await core.read("a.jpg") == CONTENT


async def test_a_disk_that_does_not_answer_says_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold again, and the reason is told."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)

        def broken(self: Landing, **_proof: object) -> None:
            raise UnreadableError(self.path, "Input/output error")

        monkeypatch.setattr(Landing, "land", broken)
        with pytest.raises(UnreadableError):
            await core.promoter.begin(asset).wait()
        assert await core.state("a.jpg") is State.COLD


async def test_only_what_the_index_still_believes_is_promoted(place: Place) -> None:
    """Its caller looked a while ago; the asset has come back since."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        await core.promoter.begin(asset).wait()
        with pytest.raises(StaleTransitionError):
            await core.promoter.begin(asset).wait()
        assert await core.state("a.jpg") is State.REPLICATED
        assert core.on_disk("a.jpg") == CONTENT


# --- its owner may act at any moment


async def test_a_file_that_its_owner_writes_meanwhile_stays(place: Place) -> None:
    """It is a new generation, to be uploaded; the download goes nowhere."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        held = Hold(operation="get")
        core.store.script = [held]
        arrival = core.promoter.begin(asset)
        await held.reached.wait()
        plant(core.tree, "a.jpg", b"theirs")
        held.release.set()
        after = await arrival.wait()
        assert (after.state, after.generation) == (State.NEW, asset.generation + 1)
        assert core.on_disk("a.jpg") == b"theirs"
        assert core.witness.promotions == {"overtaken": 1}
        await core.upload_all()
        assert await core.state("a.jpg") is State.REPLICATED


@pytest.mark.parametrize("content", [CONTENT, b""])
async def test_who_reads_along_is_told_that_its_owner_wrote_meanwhile(place: Place, content: bytes) -> None:
    """The rest of what he was shown will never come, and nobody is left waiting for it; nothing at all is no answer."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", content)
        held = Hold(operation="get")
        core.store.script = [held]
        arrival = core.promoter.begin(asset)
        stream = await arrival.wait_stream()
        assert stream is not None
        reader = stream.follow()
        assert reader is not None
        await held.reached.wait()
        plant(core.tree, "a.jpg", b"theirs")
        held.release.set()
        async with asyncio.timeout(20):
            with pytest.raises(ChangedError, match="written anew"):
                await anext(reader)
        await reader.aclose()
        assert (await arrival.wait()).state is State.NEW


async def test_a_directory_in_its_place_is_no_file(place: Place) -> None:
    """Nothing to take in, and no place to put it: cold as before, for as often as somebody asks."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        (core.tree.root / "a.jpg").mkdir()
        for _ in range(2):
            with pytest.raises(NotRegularError):
                await core.promoter.begin(await core.find("a.jpg")).wait()
            assert await core.state("a.jpg") is State.COLD
        (core.tree.root / "a.jpg").rmdir()
        assert await core.read("a.jpg") == CONTENT


# --- reading along


async def streamed(core: Core, path: str) -> tuple[Arrival, Stream]:
    """Begin to promote it, and return the stream once there is one."""
    arrival = core.promoter.begin(await core.find(path))
    stream = await arrival.wait_stream()
    assert stream is not None
    return arrival, stream


async def test_the_last_bytes_come_only_with_the_proof(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that flowed but the end is shown at once; the end when the digest of the whole agreed."""
    proven = asyncio.Event()
    loop = asyncio.get_running_loop()
    land = Landing.land

    def slow(self: Landing, **proof: object) -> object:
        asyncio.run_coroutine_threadsafe(proven.wait(), loop).result()
        return land(self, **proof)

    monkeypatch.setattr(Landing, "land", slow)
    async with place.core() as core:
        await core.cold("a.jpg", LARGE)
        arrival, stream = await streamed(core, "a.jpg")
        async with aclosing(stream.follow()) as reader:
            got = b""
            while len(got) < len(LARGE) - HELD_BACK:
                got += await anext(reader)
            assert len(got) == len(LARGE) - HELD_BACK
            rest = asyncio.ensure_future(anext(reader))
            await until(lambda: stream._landing.written == len(LARGE))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not rest.done()
            proven.set()
            got += await rest
            got += b"".join([chunk async for chunk in reader])
        assert got == LARGE
        await arrival.wait()


async def test_of_a_small_asset_nothing_is_shown_before_the_proof(place: Place) -> None:
    """Wrong bytes never reach anybody."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        core.store.script = [Damage(change=spoilt, times=None)]
        arrival, stream = await streamed(core, "a.jpg")
        async with aclosing(stream.follow()) as reader:
            with pytest.raises((ContentError, DamagedError), match=r"proof|wrong"):
                await anext(reader)
        with pytest.raises(DamagedError):
            await arrival.wait()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Damage(change=spoilt, times=None), ContentError),
        (Damage(change=lambda body: body[:-1], error=UnavailableError("reset")), UnavailableError),
        (Damage(change=lambda body: body[: len(LARGE) // 2], times=None), CorruptError),
    ],
)
async def test_who_reads_along_is_told_when_it_goes_wrong(place: Place, fault: Damage, error: type[Exception]) -> None:
    """By an error, and before the last bytes: a body that just ended would look whole."""
    async with place.core() as core:
        await core.cold("a.jpg", LARGE)
        core.store.script = [fault]
        arrival, stream = await streamed(core, "a.jpg")
        got = b""
        async with aclosing(stream.follow()) as reader:
            with pytest.raises(error):  # noqa: PT012 - it breaks in the midst
                async for chunk in reader:
                    got += chunk
        assert len(got) <= len(LARGE) - HELD_BACK
        await asyncio.wait([arrival._done])


async def test_a_store_that_has_nothing_is_told_to_readers_as_damage(place: Place) -> None:
    """Whoever reads along hears the verdict, not the raw answer that led to it."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        core.store.script = [Fail(operation="get", error=NotFoundError("no such object"), times=None)]
        arrival = core.promoter.begin(asset)
        stream = await arrival.wait_stream()
        reader = stream.follow() if stream is not None else None
        if reader is not None:
            async with aclosing(reader):
                with pytest.raises(DamagedError):
                    await anext(reader)
        with pytest.raises(DamagedError):
            await arrival.wait()


async def test_who_reads_along_is_told_of_a_stop(place: Place) -> None:
    """He would wait for ever otherwise."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        core.store.script = [Hold(operation="get")]
        arrival = core.promoter._arrivals[asset.id] = Arrival(asset)
        flight = asyncio.create_task(core.promoter._fly(arrival))
        stream = await arrival.wait_stream()
        async with aclosing(stream.follow()) as reader:
            flight.cancel()
            await asyncio.wait([flight])
            with pytest.raises(UnavailableError, match="stopped"):
                await anext(reader)
        with pytest.raises(asyncio.CancelledError):
            await arrival.wait()


async def test_a_stop_before_the_first_step_is_told_too(place: Place) -> None:
    """Nobody waits for what never began, and who asks again begins it."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", CONTENT)
        arrival = core.promoter.begin(asset)
        (task,) = (each for each in asyncio.all_tasks() if each.get_name() == f"promote {asset.id}")
        task.cancel()
        async with asyncio.timeout(20):
            assert await arrival.wait_stream() is None
        with pytest.raises(asyncio.CancelledError):
            await arrival.wait()
        assert len(core.promoter) == 0
        assert (await core.promoter.begin(asset).wait()).state is State.REPLICATED


async def test_a_reader_who_leaves_early_leaves_nothing_open(place: Place) -> None:
    """Nor does one who comes too late; and the promotion goes on without them."""
    async with place.core() as core:
        await core.cold("a.jpg", LARGE)
        before = open_descriptors()
        arrival, stream = await streamed(core, "a.jpg")
        readers = [stream.follow() for _ in range(5)]
        await anext(readers[0])
        for reader in readers:
            await reader.aclose()
            await reader.aclose()
        await arrival.wait()
        assert stream.follow() is None
        assert open_descriptors() == before
        assert core.on_disk("a.jpg") == LARGE


def patched(path: Path) -> None:
    """Write some bytes into a file, whose size stays."""
    with path.open("r+b") as file:
        file.write(b"theirs")


@pytest.mark.parametrize("write", [lambda path: os.truncate(path, 10), patched], ids=["cut short", "patched"])
async def test_who_reads_along_never_takes_what_its_owner_writes_for_the_whole(
    place: Place, write: Callable[[Path], None]
) -> None:
    """The file has its name, and is its owner's, while a slow reader has not come to its end."""
    async with place.core() as core:
        await core.cold("a.jpg", LARGE)
        arrival, stream = await streamed(core, "a.jpg")
        async with aclosing(stream.follow()) as reader:
            await arrival.wait()
            write(core.tree.root / "a.jpg")
            with pytest.raises(ChangedError, match="was written while it was read"):
                async for _ in reader:
                    pass


# --- a stop


async def test_a_stop_at_any_point_loses_nothing(tmp_path: Path) -> None:
    """Wherever it is cancelled: after the next start the asset is cold or back, at rest, and reads as it was."""
    at, was_cut = 0, True
    states = set()
    while was_cut:
        at += 1
        place = a_place(tmp_path / str(at))
        async with place.core() as core:
            asset = await core.cold("a.jpg", CONTENT)
            arrival = core.promoter._arrivals[asset.id] = Arrival(asset)
            was_cut = await cut_short(core.promoter._fly(arrival), at=at)
            assert len(core.promoter) == 0
            assert core.space._reserved == 0
        async with place.core() as core:
            await core.recover()
            after = await core.find("a.jpg")
            states.add(after.state)
            assert (core.on_disk("a.jpg") == CONTENT) == (after.state is State.REPLICATED)
            assert await core.read("a.jpg") == CONTENT
    assert states == {State.COLD, State.REPLICATED}
