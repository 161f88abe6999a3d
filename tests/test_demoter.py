"""The demoter: the one part that removes a local copy, and only one that the store has, proven a moment ago."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core import a_place, cut_short, until
from trees import plant

from index.changes import Change
from index.lifecycle import Event, State
from tiering import demoter as module
from tiering import file_lease
from tiering.file_lease import Quiet
from tiering.store import Attributes, CredentialsError, RefusedError, UnavailableError
from tiering.stores.faulty import Fail, Hold

if TYPE_CHECKING:
    from collections.abc import Callable

    from core import Core, Place

    from index.asset import Asset

CONTENT = b"what its owner made"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def refused(core: Core, asset: Asset, *, because: str, result: str = "refused") -> None:
    """Try to demote it, and see that it stays whole, at its name, and is told why."""
    outcome = await core.demoter.demote(asset, reason="request")
    assert outcome.result == result
    assert because in outcome.reason
    assert core.on_disk(asset.path) is not None
    assert core.in_trash() == []
    assert core.witness.demotions.total() == 0


async def test_a_replicated_asset_leaves_the_disk_and_comes_back(place: Place) -> None:
    """The file is gone, the trash empty, the proof kept; and what comes back is what was there."""
    async with place.core() as core:
        asset = await core.hot("d/a.jpg", CONTENT)
        outcome = await core.demoter.demote(asset, reason="age")
        assert (outcome.result, outcome.asset.state, outcome.asset.proof) == ("done", State.COLD, asset.proof)
        assert core.on_disk("d/a.jpg") is None
        assert core.in_trash() == []
        assert core.witness.demotions == {"age": 1}
        assert await core.read("d/a.jpg") == CONTENT


# --- the store is asked afresh, before anything else


async def test_an_object_that_is_gone_is_uploaded_again(place: Place) -> None:
    """The store says that it has none: the proof counts no more, and the local copy is the only one."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        await place.memory.delete(asset.proof.key)
        await refused(core, asset, because="has no a.jpg any more")
        after = await core.find("a.jpg")
        assert (after.state, after.proof, after.sha256) == (State.NEW, None, None)
        assert core.witness.mismatches == 1
        await core.upload_all()
        assert await core.state("a.jpg") is State.REPLICATED


@pytest.mark.parametrize("body", [b"x" * len(CONTENT), CONTENT + b"x"])
async def test_an_object_of_somebody_else_is_no_copy_of_ours(place: Place, body: bytes) -> None:
    """Of the same size or another: the local copy stays, and waits for a proof of its own."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        await place.memory.put(asset.proof.key, body, Attributes())
        await refused(core, asset, because="another one than was proven")
        assert await core.state("a.jpg") is State.NEW


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (UnavailableError("503"), "failed"),
        (CredentialsError("403"), "failed"),
        (RefusedError("not this one"), "refused"),
    ],
)
async def test_a_store_that_does_not_answer_says_nothing(place: Place, error: Exception, result: str) -> None:
    """No answer is no proof, and no loss either: nothing leaves, and nothing is believed otherwise."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        core.store.script = [Fail(operation="head", error=error, times=None)]
        await refused(core, asset, because=str(error), result=result)
        assert await core.find("a.jpg") == asset


async def test_the_store_is_asked_before_the_intent_is_written(place: Place) -> None:
    """While the answer is awaited the asset is as it was; and an answer of last week is never enough."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        held = Hold(operation="head", first=core.store.calls["head"] + 1)
        core.store.script = [held]
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await held.reached.wait()
        assert await core.find("a.jpg") == asset
        held.release.set()
        assert (await demotion).done


# --- whoever wants it keeps it


async def test_a_lease_that_comes_between_choice_and_intent_spares_it(place: Place) -> None:
    """Whoever was given the path uses it: the asset is replicated again, its file untouched."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        core.leases.grant(asset.id)
        await refused(core, asset, because="leased")
        assert await core.state("a.jpg") is State.REPLICATED


async def test_a_pin_that_comes_between_choice_and_intent_spares_it(place: Place) -> None:
    """A plan of a thousand assets takes its time, and a person may change their mind meanwhile."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        await core.catalog.set_pinned([asset.id], pinned=True)
        await refused(core, asset, because="pinned")
        assert await core.state("a.jpg") is State.REPLICATED


@pytest.mark.parametrize("mode", ["rb", "ab"])
async def test_a_file_that_is_open_stays(place: Place, mode: str) -> None:
    """For reading or for writing: its user would be left with a file that has no name."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        with (core.tree.root / "a.jpg").open(mode):
            await refused(core, asset, because="open")
        assert await core.state("a.jpg") is State.REPLICATED
        assert (await core.demoter.demote(await core.find("a.jpg"), reason="request")).done


async def test_a_file_that_another_process_has_open_stays(place: Place) -> None:
    """The kernel knows of all of them."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        script = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        file = str(core.tree.root / "a.jpg")
        reader = await asyncio.create_subprocess_exec(sys.executable, "-c", script, file, **pipes)
        assert await reader.stdout.readline() == b"open\n"
        await refused(core, asset, because="open")
        await reader.communicate(b"")


async def test_an_asset_is_demoted_by_one_at_a_time(place: Place) -> None:
    """Two who chose the same asset: one does it, the other is told."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        both = [core.demoter.demote(asset, reason="request") for _ in range(2)]
        assert sorted(outcome.result for outcome in await asyncio.gather(*both)) == ["done", "refused"]


async def test_recall_waits_until_the_demotion_is_over(place: Place) -> None:
    """Who is to open a file that is just leaving learns first whether it left."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        held = Hold(operation="head", first=core.store.calls["head"] + 1)
        core.store.script = [held]
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await held.reached.wait()
        recall = asyncio.create_task(core.demoter.recall(asset.id))
        await asyncio.sleep(0)
        assert not recall.done()
        held.release.set()
        await recall
        assert demotion.done() or await core.state("a.jpg") is State.COLD
        await demotion
        await core.demoter.recall(asset.id)


# --- the file must be what was proven


async def test_a_file_that_changed_stays(place: Place) -> None:
    """Its owner wrote since the last scan: what the store has is the old content."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        plant(core.tree, "a.jpg", b"new content")
        await refused(core, asset, because="changed")
        assert core.on_disk("a.jpg") == b"new content"


async def test_a_file_of_several_names_stays(place: Place) -> None:
    """To remove one name would free nothing."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        os.link(core.tree.root / "a.jpg", core.tree.root / ".second")
        await refused(core, asset, because="hard links")
        assert await core.state("a.jpg") is State.REPLICATED


async def test_a_new_mode_needs_only_another_look(place: Place) -> None:
    """The file was touched, its content is the same: it is read again, and leaves."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        (core.tree.root / "a.jpg").chmod(0o600)
        outcome = await core.demoter.demote(asset, reason="request")
        assert (outcome.result, outcome.asset.generation) == ("done", asset.generation)


async def test_other_content_under_the_old_time_is_seen(place: Place) -> None:
    """Same size, same mtime, other bytes: it is a new generation, to be uploaded, and nothing of it is lost."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        file = core.tree.root / "a.jpg"
        times = file.stat()
        with file.open("r+b") as writer:
            writer.write(b"WHAT")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        await refused(core, asset, because="other content")
        after = await core.find("a.jpg")
        assert (after.state, after.generation) == (State.NEW, asset.generation + 1)
        await core.upload_all()
        await core.demoter.demote(await core.find("a.jpg"), reason="request")
        assert await core.read("a.jpg") == b"WHAT" + CONTENT[4:]


async def test_a_file_that_is_written_while_it_is_read_again_stays(place: Place) -> None:
    """A mode and a writer at once: the writer comes first."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        (core.tree.root / "a.jpg").chmod(0o600)
        with (core.tree.root / "a.jpg").open("ab"):
            await refused(core, asset, because="writer")
        assert await core.find("a.jpg") == asset


# --- its owner may act at any moment


def before(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Have something happen right before the demoter does this to the disk."""
    call = getattr(module, name)

    def both(*args: object) -> object:
        act()
        return call(*args)

    monkeypatch.setattr(module, name, both)


@pytest.mark.parametrize("step", ["move_to_trash", "recheck", "discard"])
async def test_a_new_file_of_that_name_is_its_owners(place: Place, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whenever it appears it stays, is taken in and uploaded; the old content is in the store or superseded."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        (core.tree.root / ".new").write_bytes(b"theirs")
        before(monkeypatch, step, lambda: (core.tree.root / ".new").rename(core.tree.root / "a.jpg"))
        await core.demoter.demote(asset, reason="request")
        assert core.on_disk("a.jpg") == b"theirs"
        assert await place.memory.head(asset.proof.key)
        await core.scan()
        await core.upload_all()
        assert await core.state("a.jpg") is State.REPLICATED
        assert core.on_disk("a.jpg") == b"theirs"
        assert core.in_trash() == []


async def test_an_older_copy_in_the_trash_is_not_brought_back_for_a_file_that_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left there by a disk that failed; nothing leaves before it is cleared away, and so nothing is mixed up."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        (core.tree.root / ".tierd/trash" / asset.id).write_bytes(b"older")
        before(monkeypatch, "move_to_trash", (core.tree.root / "a.jpg").unlink)
        outcome = await core.demoter.demote(asset, reason="request")
        assert (outcome.result, outcome.reason) == ("refused", "a.jpg: an older copy of it is still in the trash")
        assert core.on_disk("a.jpg") == CONTENT
        assert await core.state("a.jpg") is State.REPLICATED
        assert core.in_trash() == [b"older"]
        await core.recover()
        assert core.on_disk("a.jpg") == CONTENT


@pytest.mark.parametrize("theirs", [None, b"theirs"])
async def test_what_is_written_by_who_had_it_open_is_never_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch, theirs: bytes | None
) -> None:
    """The copy in the trash was changed: it gets its name back, and where that is taken it is kept, and reported."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)

        def meddle() -> None:
            kept = core.tree.root / ".tierd/trash" / asset.id
            with kept.open("ab") as late:
                late.write(b" and more")
            if theirs is not None:
                plant(core.tree, "a.jpg", theirs)

        before(monkeypatch, "recheck", meddle)
        outcome = await core.demoter.demote(asset, reason="request")
        assert (outcome.result, outcome.asset.state) == ("refused", State.REPLICATED)
        assert core.on_disk("a.jpg") == (theirs or CONTENT + b" and more")
        assert core.in_trash() == ([CONTENT + b" and more"] if theirs else [])


async def test_a_copy_that_cannot_be_unlinked_is_demoted_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset is cold, and says so; what is left in the trash goes at the next start."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        with monkeypatch.context() as patches:
            before(patches, "discard", fail_to_unlink)
            outcome = await core.demoter.demote(asset, reason="age")
        assert (outcome.result, outcome.asset.state) == ("done", State.COLD)
        assert core.witness.demotions == {"age": 1}
    async with place.core() as core:
        await core.recover()
        assert core.in_trash() == []
        assert await core.read("a.jpg") == CONTENT


def fail_to_unlink() -> None:
    """Stand for a disk with a fault."""
    raise module.FileError("a.jpg", "Input/output error")


# --- where the kernel grants no file lease


@pytest.fixture
def no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel say nothing about who has a file open."""
    monkeypatch.setattr(file_lease, "_ask", lambda _fd, _kind: Quiet.UNKNOWN)


@pytest.mark.usefixtures("no_lease")
async def test_without_a_file_lease_it_waits_and_is_hashed(place: Place) -> None:
    """For as long as was set the copy can still be had back; then its content decides."""
    async with place.core(grace=0.2) as core:
        asset = await core.hot("a.jpg", CONTENT)
        await asyncio.sleep(0.2)  # no file lease tells when its writer is done: it must have been left alone so long
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await until(lambda: core.in_trash() == [CONTENT])
        assert await core.state("a.jpg") is State.DEMOTING
        assert (await demotion).done
        assert core.in_trash() == []


@pytest.mark.usefixtures("no_lease")
async def test_a_late_write_is_found_by_its_hash(place: Place) -> None:
    """Even where it left size and time as they were."""
    async with place.core(grace=0.2) as core:
        asset = await core.hot("a.jpg", CONTENT)
        file = core.tree.root / "a.jpg"
        times = file.stat()
        with file.open("r+b") as late:
            demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
            await until(lambda: core.in_trash() == [CONTENT])
            late.write(b"LATE")
            late.flush()
            os.utime(late.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            outcome = await demotion
        assert outcome.result == "refused"
        assert "changed" in outcome.reason
        assert core.on_disk("a.jpg") == b"LATE" + CONTENT[4:]


@pytest.mark.usefixtures("no_lease")
async def test_who_asks_for_it_meanwhile_gets_it_back_at_once(place: Place) -> None:
    """The time of grace is not one to wait for."""
    async with place.core(grace=3600.0) as core:
        asset = await core.hot("a.jpg", CONTENT)
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await until(lambda: core.in_trash() == [CONTENT])
        async with asyncio.timeout(10):
            opened = await core.tiers.open(asset.path, wait=0.0)
        assert opened.ready
        assert core.on_disk("a.jpg") == CONTENT
        assert (await demotion).reason == "was asked for meanwhile"
        assert await core.state("a.jpg") is State.REPLICATED


FOREIGN = """
import asyncio, os, sys
from pathlib import Path
from core import a_place, until
from index.asset import RelPath
from index.lifecycle import State
from tiering import file_lease
from tiering.answers import Selection

async def demote(directory):
    async with a_place(directory).core(grace=0.5) as core:
        await core.new("f")
        if os.geteuid() == 0:
            os.chown(core.tree.root / "f", 4242, 4242)
        else:  # nobody else's file can be had: the kernel's answer is all that is made up
            file_lease._ask = lambda _fd, _kind: file_lease.Quiet.UNKNOWN
        await core.reconciler._scan()
        await asyncio.sleep(0.5)  # no file lease tells when its writer is done: it must have been left alone so long
        await core.upload_all()
        (result,) = await core.orders.demote(Selection(paths=(RelPath("f"),)))
        told = await core.inspector.explain(RelPath("f"))
        print(result.outcome, result.state, result.reason, sep="|")
        print(told.next, *told.reasons, sep="|")
        print(core.on_disk("f"), core.in_trash())
        await until(lambda: core.catalog.totals.assets[State.COLD] == 1)
        await until(lambda: not core.in_trash())
        print((await core.inspector.explain(RelPath("f"))).next)

file_lease.ignore_sigio()
asyncio.run(demote(Path(sys.argv[1])))
"""


def test_who_demotes_another_users_file_is_told_that_it_waits(tmp_path: Path) -> None:
    """Without CAP_LEASE: at once, until when and why, by the answer and by explain; and it ends as it should."""
    tests = Path(__file__).parent
    drop = [shutil.which("setpriv"), "--bounding-set", "-lease", "--inh-caps", "-lease"] if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*drop, sys.executable, "-c", FOREIGN, str(tmp_path / "place")],
        cwd=tests.parent,
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    answer, explained, places, after = ran.stdout.splitlines()
    outcome, state, reason = answer.split("|")
    assert (outcome, state) == ("started", "demoting")
    assert re.match(r"its local copy waits in the trash until \d{4}-\d\d-\d\dT[\d:]{8}\+00:00: .*CAP_LEASE", reason)
    assert explained == f"is demoted|{reason}"
    assert places == "None [b'content']"
    assert after == "is promoted when it is asked for"


# --- a stop


async def test_a_stop_at_any_point_loses_nothing(tmp_path: Path) -> None:
    """Wherever it is cancelled: after the next start the asset is hot or cold, at rest, and reads as it was."""
    at, was_cut = 0, True
    states = set()
    while was_cut:
        at += 1
        place = a_place(tmp_path / str(at))
        async with place.core() as core:
            asset = await core.hot("a.jpg", CONTENT)
            was_cut = await cut_short(core.demoter.demote(asset, reason="request"), at=at)
            assert core.on_disk("a.jpg") == CONTENT or await core.state("a.jpg") is State.COLD
        async with place.core() as core:
            await core.recover()
            after = await core.find("a.jpg")
            states.add(after.state)
            assert (core.on_disk("a.jpg") == CONTENT) == (after.state is State.REPLICATED)
            assert core.in_trash() == []
            assert await core.read("a.jpg") == CONTENT
    assert states == {State.REPLICATED, State.COLD}


async def test_a_stop_while_it_waits_gives_the_file_its_name_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, no_lease: None
) -> None:
    """At once, not at the next start: its users may go on while the daemon is away."""
    async with place.core(grace=3600.0) as core:
        asset = await core.hot("a.jpg", CONTENT)
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await until(lambda: core.in_trash() == [CONTENT])
        demotion.cancel()
        with pytest.raises(asyncio.CancelledError):
            await demotion
        assert core.on_disk("a.jpg") == CONTENT
        assert core.in_trash() == []
        await core.recover()
        assert await core.state("a.jpg") is State.REPLICATED
        await core.demoter.recall(asset.id)


async def test_a_stop_waits_for_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename under way cannot be called back: only once it is over is it known that there is something to undo."""
    reached, release = threading.Event(), threading.Event()
    before(monkeypatch, "move_to_trash", lambda: (reached.set(), release.wait(20)))
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        demotion = asyncio.create_task(core.demoter.demote(asset, reason="request"))
        await until(reached.is_set)
        for _ in range(2):
            demotion.cancel()
            await asyncio.wait([demotion], timeout=0.05)
            assert not demotion.done()
        release.set()
        await asyncio.wait([demotion])
        assert demotion.cancelled()
        assert (core.on_disk("a.jpg"), core.in_trash()) == (CONTENT, [])


async def test_only_what_the_index_still_believes_is_demoted(place: Place) -> None:
    """The choice was made a while ago; the asset has moved on since."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        await core.catalog.apply(Change.about(asset, Event.CHANGED, sighting=core.tree.sight("a.jpg")))
        await refused(core, asset, because="generation")
        assert await core.state("a.jpg") is State.NEW
        events = await core.catalog.events(0, limit=100)
        assert Event.CHOSEN not in {record.event for record in events}


# --- who read it without asking


async def test_a_file_that_was_read_since_the_last_scan_stays(place: Place) -> None:
    """Its access time is looked at once more, and remembered: it is not the coldest any more."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        read_at = asset.last_access + 5
        os.utime(core.tree.root / "a.jpg", ns=(int(read_at * 1e9), asset.fingerprint.mtime_ns))
        outcome = await core.demoter.demote(asset, reason="watermark")
        assert (outcome.result, outcome.reason) == ("refused", "it was read since the last scan")
        assert (await core.find("a.jpg")).last_access == pytest.approx(read_at)
        assert core.on_disk("a.jpg") == CONTENT


async def test_a_person_decides_over_access_times(place: Place) -> None:
    """What somebody orders is done, however warm it is."""
    async with place.core() as core:
        asset = await core.hot("a.jpg", CONTENT)
        os.utime(core.tree.root / "a.jpg", ns=(int((asset.last_access + 5) * 1e9), asset.fingerprint.mtime_ns))
        outcome = await core.demoter.demote(asset, reason="request")
        assert outcome.done
