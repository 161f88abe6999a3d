"""The watchdog is fed while everything goes on, and by nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from daemon.watchdog import TIMES_AN_INTERVAL, Pulse, Watchdog
from index.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTERVAL = 0.4


class Told:
    """A notifier that keeps what it is told."""

    watchdog_seconds = INTERVAL

    def __init__(self) -> None:
        self.fed = 0
        self.said: list[str] = []

    def alive(self) -> None:
        """Count."""
        self.fed += 1

    def status(self, text: str) -> None:
        """Keep."""
        self.said.append(text)


async def watch(pulse: Pulse, told: Any, while_it_runs: Callable[[], Any]) -> None:
    """Run a watchdog while something goes on."""
    task = asyncio.ensure_future(Watchdog(told, [pulse], status=lambda: "well").run())
    try:
        await while_it_runs()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def fed_meanwhile(told: Told, *, intervals: int = 2) -> int:
    """Return how often it is fed in so many intervals, not counting the one that begins."""
    await asyncio.sleep(INTERVAL)
    before = told.fed
    await asyncio.sleep(intervals * INTERVAL)
    return told.fed - before


@pytest.fixture
def files() -> ThreadPoolExecutor:
    """One thread for everybody."""
    with ThreadPoolExecutor(1, thread_name_prefix="files") as pool:
        yield pool


def pulse_of(pool: ThreadPoolExecutor) -> Pulse:
    """Return the pulse of its threads."""
    return Pulse("files", lambda: asyncio.wrap_future(pool.submit(int)))


async def test_fed_while_threads_answer(files: ThreadPoolExecutor) -> None:
    """Several times an interval."""
    told = Told()

    async def go_on() -> None:
        assert await fed_meanwhile(told) >= TIMES_AN_INTERVAL

    await watch(pulse_of(files), told, go_on)
    assert "well" in told.said


async def test_not_fed_while_all_threads_hang_and_fed_again_after(
    files: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said what hangs."""
    told, release = Told(), threading.Event()

    async def hang_and_go_on() -> None:
        hanging = files.submit(release.wait)
        assert await fed_meanwhile(told) == 0
        assert told.said[-1] == "hanging: files"
        release.set()
        await asyncio.wrap_future(hanging)
        assert await fed_meanwhile(told) > 0

    await watch(pulse_of(files), told, hang_and_go_on)
    assert [message for message in said_in(caplog) if "stood still" not in message] == [
        "no progress any more in: files; the watchdog is not fed meanwhile: see whether their disk still answers",
        "progress again in: files",
    ]


def said_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the watchdog said."""
    return [record.message for record in caplog.records if record.name == "daemon.watchdog"]


async def test_a_stop_for_which_it_would_have_fired_is_told(
    files: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """In a line, with how long, and what helps."""
    told = Told()

    async def stand_still() -> None:
        await asyncio.sleep(0.01)
        time.sleep(1.5 * INTERVAL)  # noqa: ASYNC251 - that is what is wrong
        await asyncio.sleep(0.01)

    await watch(pulse_of(files), told, stand_still)
    (said,) = said_in(caplog)
    assert "everything stood still for 0." in said
    assert "after 0.4 s the service manager may end tierd: give it more" in said


async def test_long_work_is_no_hang(files: ThreadPoolExecutor) -> None:
    """Who hashes a large file does not answer, and is alive."""
    told, enough = Told(), threading.Event()

    def work() -> None:
        while not enough.is_set():
            sum(range(1000))
            time.sleep(0.001)

    async def work_long() -> None:
        working = files.submit(work)
        assert await fed_meanwhile(told) >= TIMES_AN_INTERVAL
        enough.set()
        await asyncio.wrap_future(working)

    await watch(pulse_of(files), told, work_long)


async def test_the_thread_of_the_index_is_watched(tmp_path: Path) -> None:
    """It is the one whose name is asked for."""
    told, release = Told(), threading.Event()
    catalog = await Catalog.open(tmp_path / "index.db")

    async def hang() -> None:
        assert await fed_meanwhile(told) > 0
        hanging = asyncio.ensure_future(catalog._connection.submit(lambda _: release.wait()))
        assert await fed_meanwhile(told) == 0
        assert told.said[-1] == "hanging: index"
        release.set()
        await hanging

    try:
        await watch(Pulse("index", catalog.beat), told, hang)
    finally:
        await catalog.close()


async def test_what_a_pulse_raises_ends_the_watchdog() -> None:
    """It is the daemon's end, too: nothing is swallowed."""

    async def fail() -> None:
        raise RuntimeError("planted")

    told: Any = Told()
    with pytest.raises(RuntimeError, match="planted"):
        await Watchdog(told, [Pulse("files", fail)], status=str).run()
