"""The uploader: what is new becomes replicated, whatever happens on the way, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from core import until
from samples import NOW, an_asset
from trees import open_descriptors, plant
from uploads import ABLE, OPAQUE, PART, a_bench

from index.asset import Failure, Fingerprint, ProofMethod, RelPath, Sighting
from index.changes import Change, Observations
from index.lifecycle import Event, State, advance
from tiering.couriers import Delivery
from tiering.drive import drive
from tiering.file_lease import ignore_sigio
from tiering.multipart import PARTS_AT_ONCE
from tiering.observer import SilentObserver
from tiering.pacing import Pacer
from tiering.recovery import recover
from tiering.sender import ForeignObjectError
from tiering.source import AlteredError, NotYetError
from tiering.store import (
    CorruptError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores.faulty import Fail, Hold
from tiering.tree import BusyError, MissingError, NotRegularError, UnreadableError
from tiering.uploader import Uploader, setback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from uploads import Bench

    from index.asset import Asset
    from tiering.probe import Capabilities

SMALL = b"a small file"
LARGE = bytes(range(250)) * 20
CONCURRENCY = 4


# --- what follows from an error

LATER = {
    "unavailable": UnavailableError("no answer"),
    "throttled": ThrottledError("slow down"),
    "corrupt": CorruptError("other bytes"),
    "not-found": NotFoundError("no such upload"),
    "precondition": PreconditionError("another object"),
    "unreadable": UnreadableError("a.jpg", "Input/output error"),
    "missing": MissingError("a.jpg", "No such file"),
}


@pytest.mark.parametrize("code", LATER)
def test_weather_is_tried_again_later_and_for_ever(code: str) -> None:
    """With pauses that grow while it fails the same way, and are bounded."""
    asset = an_asset(state=State.UPLOADING, proof=None)
    for attempts in range(1, 40):
        result, change = setback(asset, LATER[code], now=NOW)
        assert (result, change.event) == ("deferred", Event.DEFERRED)
        assert change.failure is not None
        assert (change.failure.code, change.failure.attempts) == (code, attempts)
        assert change.failure.retry_at is not None
        assert 0 < change.failure.retry_at - NOW <= 300
        asset = replace(asset, failure=change.failure)
    assert change.failure.retry_at - NOW >= 30, "the pauses did not grow"


def test_another_kind_of_failure_counts_anew() -> None:
    """A disk that cannot be read for a moment is not made to wait because the store was away for hours."""
    asset = an_asset(state=State.UPLOADING, failure=Failure("unavailable", "", 30, NOW))
    _, change = setback(asset, LATER["unreadable"], now=NOW)
    assert change.failure is not None
    assert change.failure.attempts == 1


def test_bad_credentials_are_not_the_assets_fault() -> None:
    """The attempt does not count, and it is tried again as soon as the store is."""
    asset = an_asset(state=State.UPLOADING, failure=Failure("unavailable", "", 3, NOW))
    _, change = setback(asset, CredentialsError("who are you"), now=NOW)
    assert change.failure == Failure("credentials", "who are you", 3, NOW + 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("no such bucket", hint="create it"), "refused"),
        (ForeignObjectError("somebody's object", hint="look at it"), "conflict"),
        (NotRegularError("a.jpg", "a FIFO"), "not-regular"),
        (ZeroDivisionError("a bug of ours"), "bug"),
    ],
)
def test_what_only_a_person_can_mend_is_stuck(error: Exception, code: str) -> None:
    """With the reason and the remedy, and no time at which it would be tried by itself."""
    result, change = setback(an_asset(state=State.UPLOADING), error, now=NOW)
    assert (result, change.event) == ("refused", Event.REFUSED)
    assert change.failure is not None
    assert (change.failure.code, change.failure.retry_at) == (code, None)
    assert getattr(error, "hint", "") in change.failure.message


def test_a_writer_at_work_is_looked_at_often() -> None:
    """At first many times a second, in the end every few seconds; where the time is known, exactly then."""
    asset = an_asset(state=State.UPLOADING)
    result, change = setback(asset, NotYetError("busy", after=None), now=NOW)
    assert (result, change.event) == ("busy", Event.DEFERRED)
    assert change.failure is not None
    assert change.failure.retry_at is not None
    assert change.failure.retry_at - NOW < 0.1
    asset = replace(asset, failure=replace(change.failure, attempts=1000))
    _, change = setback(asset, NotYetError("busy", after=None), now=NOW)
    assert change.failure is not None
    assert change.failure.retry_at is not None
    assert 1 < change.failure.retry_at - NOW <= 5
    _, change = setback(asset, NotYetError("settling", after=1.5), now=NOW)
    assert change.failure is not None
    assert change.failure.retry_at == NOW + 1.5


@pytest.mark.parametrize(
    "error",
    [*LATER.values(), RefusedError(""), NotYetError("", after=None), BusyError("a", ""), OSError(5), KeyError()],
)
@pytest.mark.parametrize("has_proof", [True, False])
def test_no_error_loses_an_asset(error: Exception, *, has_proof: bool) -> None:
    """It stays hot: also where its file seems to be missing, for the disk may be."""
    asset = an_asset(state=State.UPLOADING)
    asset = asset if has_proof else replace(asset, proof=None)
    _, change = setback(asset, error, now=NOW)
    assert advance(State.UPLOADING, change.event) in {State.NEW, State.STUCK}


def test_an_altered_file_is_a_new_generation() -> None:
    """Due at once, with what was seen of it."""
    sighting = Sighting(RelPath("a.jpg"), Fingerprint(5, 5, 5), 5, 4096, 0o644, 1, 5)
    result, change = setback(an_asset(state=State.UPLOADING), AlteredError(sighting), now=NOW)
    assert (result, change.event, change.sighting, change.due_at) == ("changed", Event.CHANGED, sighting, NOW)


# --- at work


@dataclass
class Probed:
    """A probe whose answer a test decides."""

    capabilities: Capabilities | None = ABLE


class Log(SilentObserver):
    """Remembers how uploads ended."""

    def __init__(self) -> None:
        self.results: list[str] = []

    def uploaded(self, asset: Asset, result: str, seconds: float, sent_bytes: int) -> None:
        """See Observer."""
        self.results.append(result)


@dataclass
class Work:
    """An uploader that runs, and what is around it."""

    bench: Bench
    pacer: Pacer
    probe: Probed
    log: Log
    uploader: Uploader
    task: asyncio.Task[None] | None = None
    before: set[asyncio.Task[object]] = field(default_factory=set)
    threads: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)

    def start(self) -> asyncio.Task[None]:
        """Let it run."""
        self.before = set(asyncio.all_tasks())
        self.task = asyncio.create_task(self.uploader.run())
        return self.task

    def join_threads(self) -> None:
        """Wait for every thread that was given work, whoever may have lost interest in it; others do what follows."""
        self.threads.shutdown()
        self.threads = ThreadPoolExecutor()
        asyncio.get_running_loop().set_default_executor(self.threads)

    async def becomes(self, path: str, state: State) -> Asset:
        """Wait until the asset is in this state."""
        catalog = self.bench.catalog
        async with asyncio.timeout(20):
            while True:
                newest = await catalog.newest_event()
                asset = await catalog.find(RelPath(path))
                if asset.state is state:
                    return asset
                await catalog.wait_change(newest)

    async def fails(self, path: str) -> Asset:
        """Wait until the asset has a failure."""
        catalog = self.bench.catalog
        async with asyncio.timeout(20):
            while True:
                newest = await catalog.newest_event()
                asset = await catalog.find(RelPath(path))
                if asset.failure is not None:
                    return asset
                await catalog.wait_change(newest)

    async def end(self) -> None:
        """Cancel it."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task


async def _as_it_is(asset: Asset) -> Asset:
    return asset


@asynccontextmanager
async def at_work(directory: Path, *, small: int = -1) -> AsyncIterator[Work]:
    """Make an uploader; `start` lets it run. Couriers take files of at most `small` bytes."""
    ignore_sigio()
    async with a_bench(directory, small=small) as bench:
        pacer, probe, log = Pacer(CONCURRENCY, clock=time.time), Probed(), Log()
        uploader = Uploader(
            bench.catalog,
            bench.tree,
            bench.sender,
            describe=_as_it_is,
            couriers=bench.couriers,
            prober=probe,  # type: ignore[arg-type]
            pacer=pacer,
            observer=log,
            clock=time.time,
            settle=0.0,
        )
        work = Work(bench, pacer, probe, log, uploader)
        work.join_threads()
        try:
            yield work
        finally:
            await work.end()
            work.threads.shutdown()


@pytest.fixture
async def work(tmp_path: Path) -> AsyncIterator[Work]:
    """An uploader that does not run yet."""
    async with at_work(tmp_path) as work:
        yield work


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_what_is_new_becomes_replicated(work: Work, content: bytes) -> None:
    """With its proof, its digest and its type, whether it was there before or comes later."""
    await work.bench.found("before.txt", content)
    work.start()
    await work.becomes("before.txt", State.REPLICATED)
    await work.bench.found("later.txt", content)
    asset = await work.becomes("later.txt", State.REPLICATED)
    assert asset.is_proven
    assert asset.proof is not None
    assert asset.sha256 == asset.proof.sha256
    assert asset.content_type == "text/plain"
    assert asset.failure is None
    assert await work.bench.holds("later.txt") == content
    assert work.log.results == ["sent", "sent"]


async def test_no_more_are_claimed_than_may_be_under_way(work: Work) -> None:
    """The others stay new, where whoever looks sees them waiting."""
    hold = Hold(operation="put", times=None)
    work.bench.store.script = [hold]
    for number in range(3 * CONCURRENCY):
        await work.bench.found(f"{number}.txt", SMALL)
    work.start()
    await hold.reached.wait()
    assert work.bench.catalog.totals.assets[State.UPLOADING] == CONCURRENCY
    assert work.uploader.under_way == CONCURRENCY
    assert work.bench.store.calls["put"] <= CONCURRENCY
    hold.release.set()
    for number in range(3 * CONCURRENCY):
        await work.becomes(f"{number}.txt", State.REPLICATED)


async def test_nothing_is_claimed_before_the_store_has_shown_what_it_can_do(work: Work) -> None:
    """And everything at once when it has."""
    work.probe.capabilities = None
    await work.bench.found("a.txt", SMALL)
    before = await work.bench.catalog.newest_event()
    work.start()
    await _idle(work)
    assert await work.bench.catalog.newest_event() == before
    work.probe.capabilities = OPAQUE
    work.bench.catalog.work.set()
    await work.becomes("a.txt", State.REPLICATED)


async def test_nothing_is_claimed_during_a_pause(work: Work) -> None:
    """A store that does not answer is not asked for each asset anew."""
    work.pacer.failed("no answer")
    work.pacer.resume_at = time.time() + 0.3
    await work.bench.found("a.txt", SMALL)
    before = await work.bench.catalog.newest_event()
    work.start()
    await _idle(work)
    assert await work.bench.catalog.newest_event() == before
    asset = await work.becomes("a.txt", State.REPLICATED)
    assert asset.proof is not None
    assert asset.proof.at >= work.pacer.resume_at
    assert work.pacer.is_reachable


async def test_a_clock_that_is_set_back_does_not_prolong_a_pause(work: Work) -> None:
    """The pacer has a clock of its own: what time it is for the index is nothing to it."""
    ahead = time.time() + 1000
    work.pacer._clock = lambda: ahead
    work.pacer.resume_at = ahead
    await work.bench.found("a.txt", SMALL)
    work.start()
    await work.becomes("a.txt", State.REPLICATED)


async def test_a_clock_that_was_set_back_puts_nothing_off(work: Work) -> None:
    """What is due in a year was due in a moment when that was written."""
    plant(work.bench.tree, "a.txt", SMALL)
    sighting = work.bench.tree.sight("a.txt")
    await work.bench.catalog.observe(Observations(discovered=[(sighting, time.time() + 365 * 86400)]))
    work.start()
    await work.becomes("a.txt", State.REPLICATED)


async def _idle(work: Work) -> None:
    """Wait until the uploader waits for work: everything it asked the index before was answered."""
    for _ in range(5):
        await work.bench.catalog.next_due()
        await asyncio.sleep(0)


async def test_throttling_halves_what_is_under_way(work: Work) -> None:
    """And the asset waits its turn."""
    work.bench.store.script = [Fail(operation="put", error=ThrottledError("slow down"))]
    await work.bench.found("a.txt", SMALL)
    work.start()
    asset = await _failed(work, "a.txt")
    assert asset.failure is not None
    assert asset.failure.code == "throttled"
    assert work.pacer.limit == CONCURRENCY // 2


async def test_an_outage_pauses_everything(work: Work) -> None:
    """Nothing is lost by it, and the reason is kept."""
    work.bench.store.script = [Fail(operation="put", times=None, error=UnavailableError("no answer"))]
    await work.bench.found("a.txt", SMALL)
    work.start()
    asset = await _failed(work, "a.txt")
    assert asset.state is State.NEW
    assert not work.pacer.is_reachable
    assert work.pacer.resume_at > time.time()
    assert work.pacer.reason == "no answer"


async def _failed(work: Work, path: str) -> Asset:
    async with asyncio.timeout(20):
        while True:
            newest = await work.bench.catalog.newest_event()
            asset = await work.bench.catalog.find(RelPath(path))
            if asset.failure is not None:
                return asset
            await work.bench.catalog.wait_change(newest)


async def test_one_assets_trouble_is_not_anothers(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """Not even a bug of ours: it is stuck with its name in the log, and the rest goes on."""
    work.bench.store.script = [Fail(operation="put", error=ZeroDivisionError("a bug of ours"))]
    await work.bench.found("a.txt", SMALL)
    work.start()
    asset = await work.becomes("a.txt", State.STUCK)
    assert asset.failure is not None
    assert asset.failure.code == "bug"
    assert "a.txt" in caplog.text
    assert "Traceback" in caplog.text
    await work.bench.found("b.txt", SMALL)
    await work.becomes("b.txt", State.REPLICATED)


async def test_a_foreign_object_makes_it_stuck_until_a_person_allows_it(work: Work) -> None:
    """Then it is replaced."""
    await work.bench.put("a.txt", b"precious")
    await work.bench.found("a.txt", SMALL)
    work.start()
    asset = await work.becomes("a.txt", State.STUCK)
    assert asset.failure is not None
    assert asset.failure.code == "conflict"
    await work.bench.catalog.apply(Change.about(asset, Event.RETRIED, overwrite=True))
    await work.becomes("a.txt", State.REPLICATED)
    assert await work.bench.holds("a.txt") == SMALL


async def test_a_file_that_changes_under_way_is_sent_anew(work: Work) -> None:
    """As another generation; the one that was torn is never reported replicated."""
    hold = Hold(operation="put", after=True)
    work.bench.store.script = [hold]
    await work.bench.found("a.txt", SMALL)
    work.start()
    await hold.reached.wait()
    (work.bench.tree.root / "a.txt").write_bytes(b"another content")
    hold.release.set()
    asset = await work.becomes("a.txt", State.REPLICATED)
    assert asset.generation == 2
    assert await work.bench.holds("a.txt") == b"another content"
    assert work.log.results == ["changed", "sent"]


@pytest.mark.parametrize("content", [b"another content", LARGE[::-1]])
async def test_a_newer_generation_ends_the_older_ones_upload(work: Work, content: bytes) -> None:
    """Nobody wants it any more: it is given up before the next begins, and leaves nothing in the store."""
    bench = work.bench
    bench.store.script = [Hold(operation="put_part", first=2, times=PARTS_AT_ONCE)]
    await bench.found("a.txt", LARGE)
    work.start()
    # One part is there, and the others that may be sent at once are held: nothing reads the file any more.
    await until(lambda: bench.store.calls["put_part"] == 1 + PARTS_AT_ONCE)
    (bench.tree.root / "a.txt").write_bytes(content)
    uploading = await bench.catalog.find(RelPath("a.txt"))
    now = bench.tree.sight("a.txt")
    await bench.catalog.apply(Change.about(uploading, Event.CHANGED, sighting=now, due_at=0.0))
    asset = await work.becomes("a.txt", State.REPLICATED)
    assert asset.generation == 2
    assert await bench.holds("a.txt") == content
    assert await bench.pending_uploads() == 0
    assert await bench.catalog.uploads.all() == []
    await until(lambda: work.uploader.under_way == 0)


async def test_a_missing_file_is_left_to_the_reconciler(work: Work) -> None:
    """The whole disk may be missing: only who sees all of it may conclude anything."""
    await work.bench.found("a.txt", SMALL)
    (work.bench.tree.root / "a.txt").unlink()
    work.start()
    asset = await _failed(work, "a.txt")
    assert (asset.state, asset.failure and asset.failure.code) == (State.NEW, "missing")


async def test_what_was_overtaken_is_let_go_or_tried_again(work: Work) -> None:
    """The index has moved on: the outcome is nobody's any more, and no error. Else it is due again."""
    asset = await work.bench.claimed("a.txt", SMALL)
    await work.bench.catalog.apply(Change.about(asset, Event.CHANGED))
    assert await work.uploader.upload(asset) is None
    large = await work.bench.claimed("b.txt", LARGE)
    hold = Hold(operation="put_part")
    work.bench.store.script = [hold]
    sending = asyncio.create_task(work.uploader.upload(large))
    await hold.reached.wait()
    await work.bench.catalog.uploads.end(large.id)
    hold.release.set()
    deferred = await sending
    assert deferred is not None
    assert (deferred.state, deferred.failure and deferred.failure.code) == (State.NEW, "overtaken")


async def test_told_to_stop_it_finishes_what_it_has(work: Work) -> None:
    """And claims nothing more."""
    hold = Hold(operation="put", times=None)
    work.bench.store.script = [hold]
    for number in range(CONCURRENCY + 2):
        await work.bench.found(f"{number}.txt", SMALL)
    task = work.start()
    await hold.reached.wait()
    work.uploader.stop()
    hold.release.set()
    async with asyncio.timeout(20):
        await task
    totals = work.bench.catalog.totals.assets
    assert (totals[State.REPLICATED], totals[State.NEW]) == (CONCURRENCY, 2)


@pytest.mark.parametrize("idle", ["before the probe", "without work"])
async def test_told_to_stop_while_idle_it_ends_at_once(work: Work, idle: str) -> None:
    """Nobody waits for a minute that had nothing to do."""
    if idle == "before the probe":
        work.probe.capabilities = None
    task = work.start()
    await _idle(work)
    work.uploader.stop()
    async with asyncio.timeout(5):
        await task


# --- cancelled at every await

MOMENTS = [
    (SMALL, ABLE, "put"),
    (SMALL, OPAQUE, "get"),
    (LARGE, ABLE, "create_upload"),
    (LARGE, ABLE, "put_part"),
    (LARGE, ABLE, "complete"),
    (LARGE, OPAQUE, "get"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("content", "able", "operation"), MOMENTS)
async def test_cancelled_at_any_request_it_leaves_nothing_behind(
    work: Work, content: bytes, able: Capabilities, operation: str, *, after: bool
) -> None:
    """No task, no descriptor, no memory; and after recovery the asset is replicated as if nothing had been."""
    work.probe.capabilities = able
    hold = Hold(operation=operation, after=after)
    work.bench.store.script = [hold]
    await work.bench.found("a.txt", content)
    descriptors = open_descriptors()
    work.start()
    await hold.reached.wait()
    await work.end()
    await _left_nothing(work, descriptors)
    await _recovers(work, content)


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_cancelled_at_any_turn_of_the_loop_it_leaves_nothing_behind(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Whatever it was waiting for: a thread, the index, memory, or the store."""
    for turns in [*range(12), *range(12, 120, 9)]:
        async with at_work(tmp_path_factory.mktemp("turn")) as work:
            await work.bench.found("a.txt", content)
            descriptors = open_descriptors()
            work.start()
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 12 else 0.0002)
            await work.end()
            await _left_nothing(work, descriptors)
            await _recovers(work, content)


async def _left_nothing(work: Work, descriptors: int) -> None:
    assert asyncio.all_tasks() == work.before
    assert work.uploader.under_way == 0
    assert f"0 of {1 << 20}" in repr(work.bench.budget)
    # A thread that was reading closes the file at its next step.
    work.join_threads()
    assert open_descriptors() == descriptors


async def _recovers(work: Work, content: bytes) -> None:
    work.bench.store.script = []
    await recover(work.bench.catalog, work.bench.tree, clock=time.time)
    work.start()
    asset = await work.becomes("a.txt", State.REPLICATED)
    assert asset.generation == 1
    assert await work.bench.holds("a.txt") == content
    assert await work.bench.pending_uploads() <= 1


# --- small files, which threads upload


class Gate:
    """Holds every write of a small object until it is opened."""

    def __init__(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting = threading.Semaphore(0)
        self._open = threading.Event()
        put = work.bench.store.put_blocking

        def wait(*args: Any) -> Any:
            self.waiting.release()
            assert self._open.wait(20)
            return put(*args)

        monkeypatch.setattr(work.bench.store, "put_blocking", wait)

    async def passed_by(self, count: int) -> None:
        """Wait until so many wait."""
        for _ in range(count):
            assert await asyncio.to_thread(self.waiting.acquire, timeout=20)

    def open(self) -> None:
        """Let everything through."""
        self._open.set()


@pytest.fixture
async def small_work(tmp_path: Path) -> AsyncIterator[Work]:
    """An uploader that does not run yet, whose couriers take files of one part."""
    async with at_work(tmp_path, small=2 * PART) as work:
        yield work


async def test_small_files_are_uploaded_by_threads(small_work: Work) -> None:
    """With the same proof as all others; no task of the loop is made for one."""
    before = await small_work.bench.catalog.newest_event()
    for number in range(50):
        await small_work.bench.found(f"{number}.txt", b"%d" % number)
    small_work.start()
    tasks = set()
    for number in range(50):
        asset = await small_work.becomes(f"{number}.txt", State.REPLICATED)
        tasks |= {task.get_name() for task in asyncio.all_tasks()}
        assert asset.proof is not None
        assert (asset.proof.method, asset.proof.key) == (ProofMethod.ETAG_MD5, f"{number}.txt")
        assert await small_work.bench.holds(f"{number}.txt") == b"%d" % number
    assert not [name for name in tasks if name.startswith("upload ")]
    assert small_work.log.results == ["sent"] * 50
    events = Counter(each.event for each in await small_work.bench.catalog.events(before, limit=1000))
    assert {events[event] for event in (Event.CLAIMED, Event.SENT, Event.VERIFIED)} == {50}


async def test_small_ones_count_as_under_way_until_they_are_committed(
    small_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more are claimed than may be, and a stop waits for those that were."""
    gate = Gate(small_work, monkeypatch)
    for number in range(3 * CONCURRENCY):
        await small_work.bench.found(f"{number}.txt", SMALL)
    task = small_work.start()
    await gate.passed_by(CONCURRENCY)
    assert small_work.bench.catalog.totals.assets[State.UPLOADING] == CONCURRENCY
    assert small_work.uploader.under_way == CONCURRENCY
    small_work.uploader.stop()
    await _idle(small_work)
    assert not task.done()
    gate.open()
    await task
    assert small_work.uploader.under_way == 0
    assert small_work.bench.catalog.totals.assets[State.REPLICATED] == CONCURRENCY


async def test_what_is_more_than_one_write_is_done_over_by_the_loop(small_work: Work) -> None:
    """The object is there already: whether it has the content must be asked."""
    await small_work.bench.put("a.txt", SMALL)
    await small_work.bench.put("b.txt", b"somebody's")
    for path in ("a.txt", "b.txt"):
        await small_work.bench.found(path, SMALL)
    small_work.start()
    await small_work.becomes("a.txt", State.REPLICATED)
    asset = await small_work.becomes("b.txt", State.STUCK)
    assert asset.failure is not None
    assert asset.failure.code == "conflict"
    assert sorted(small_work.log.results) == ["adopted", "refused"]
    assert await small_work.bench.holds("b.txt") == b"somebody's"


async def test_where_somebody_else_writes_no_thread_does(small_work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who copies within the store looks first whether the key is free: nobody may come between, neither way."""
    gate = Gate(small_work, monkeypatch)
    await small_work.bench.found("a.txt", SMALL)
    async with small_work.bench.keys.take("a.txt"):
        small_work.start()
        await until(lambda: small_work.bench.keys.is_awaited("a.txt"))
        assert "put" not in small_work.bench.store.calls
    await small_work.becomes("a.txt", State.REPLICATED)
    await small_work.bench.found("b.txt", SMALL)
    await gate.passed_by(1)
    assert not small_work.bench.keys.take_now("b.txt")
    gate.open()
    await small_work.becomes("b.txt", State.REPLICATED)
    assert small_work.bench.keys.take_now("b.txt")


async def test_what_is_overtaken_is_not_done_over(small_work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer generation is under way, and waits only until the thread of the older one has let go of the key."""
    bench = small_work.bench
    gate = Gate(small_work, monkeypatch)
    await bench.put("a.txt", b"somebody's")
    await bench.found("a.txt", SMALL)
    small_work.start()
    await gate.passed_by(1)
    (bench.tree.root / "a.txt").write_bytes(b"another content")
    uploading = await bench.catalog.find(RelPath("a.txt"))
    now = bench.tree.sight("a.txt")
    await bench.catalog.apply(Change.about(uploading, Event.CHANGED, sighting=now, due_at=0.0))
    await until(lambda: bench.keys.is_awaited("a.txt"))
    gate.open()
    assert (await small_work.becomes("a.txt", State.STUCK)).generation == 2
    await _idle(small_work)
    assert small_work.log.results == ["refused"]
    assert small_work.uploader.under_way == 0


async def test_only_what_is_one_write_is_for_a_thread(small_work: Work) -> None:
    """Not what is large, has a copy, goes to a store that must be asked first, or has to keep to a rate."""
    bench = small_work.bench
    asset = await bench.claimed("a.txt", SMALL)
    proven = an_asset(state=State.UPLOADING)
    assert not bench.couriers.take(replace(asset, fingerprint=asset.fingerprint._replace(size=2 * PART + 1)), ABLE)
    assert not bench.couriers.take(replace(asset, proof=proven.proof), ABLE)
    assert not bench.couriers.take(replace(asset, generation=2), ABLE)
    assert not bench.couriers.take(asset, OPAQUE)
    assert not bench.couriers.take(asset, replace(ABLE, create_only=False))
    bench.couriers._bandwidth.rate = 1
    assert not bench.couriers.take(asset, ABLE)
    bench.couriers._bandwidth.rate = None
    assert bench.couriers.take(asset, ABLE)


@pytest.mark.parametrize("error", [ThrottledError("slow down"), UnavailableError("no answer"), RefusedError("no")])
async def test_a_small_one_that_fails_is_set_back_as_every_other(small_work: Work, error: StoreError) -> None:
    """And the store's word is heard: it is asked for less, or not for a while."""
    small_work.bench.store.script = [Fail(operation="put", error=error)]
    await small_work.bench.found("a.txt", SMALL)
    small_work.start()
    asset = await small_work.fails("a.txt")
    assert asset.state is (State.STUCK if isinstance(error, RefusedError) else State.NEW)
    assert asset.failure is not None
    assert asset.failure.code == error.code
    assert (small_work.pacer.limit < CONCURRENCY) is isinstance(error, ThrottledError)
    assert small_work.pacer.is_reachable is (error.code != "unavailable")


async def test_a_small_file_that_changes_under_way_is_no_success(
    small_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a new generation, and uploaded again."""
    gate = Gate(small_work, monkeypatch)
    await small_work.bench.found("a.txt", SMALL)
    small_work.start()
    await gate.passed_by(1)
    plant(small_work.bench.tree, "a.txt", b"another content")
    gate.open()
    asset = await small_work.becomes("a.txt", State.REPLICATED)
    assert asset.generation == 2
    assert await small_work.bench.holds("a.txt") == b"another content"
    assert small_work.log.results == ["changed", "sent"]


async def test_an_asset_that_moved_on_spoils_no_others_commit(small_work: Work) -> None:
    """What is stale is left out; the others are committed."""
    bench = small_work.bench
    deliveries = []
    for path in ("a.txt", "b.txt"):
        asset = await bench.claimed(path, SMALL)
        deliveries.append(Delivery(asset, await bench.send(asset), 0.0))
    moved_on = deliveries[0].asset
    await bench.catalog.apply(Change.about(moved_on, Event.CHANGED, sighting=bench.tree.sight("a.txt")))
    assert await small_work.uploader.settle(deliveries) == []
    assert (await bench.catalog.find(RelPath("a.txt"))).state is State.NEW
    assert (await bench.catalog.find(RelPath("b.txt"))).state is State.REPLICATED


async def test_what_ends_after_the_loop_is_nobodys(tmp_path: Path) -> None:
    """A thread that comes back when the daemon is over finds nobody, and ends."""
    async with at_work(tmp_path, small=2 * PART) as work:
        couriers = work.bench.couriers
        asset = await work.bench.claimed("a.txt", SMALL)
        couriers._loop = asyncio.new_event_loop()
        couriers._loop.close()
        couriers._carry(asset, ABLE, time.time())
        assert repr(couriers) == "<Couriers 1 deliveries>"


def test_who_has_to_wait_is_no_work_for_a_thread() -> None:
    """It would wait for ever: that is a bug, and is said."""
    with pytest.raises(RuntimeError, match="not to wait"):
        drive(asyncio.sleep(0))
