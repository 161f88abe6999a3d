"""How the daemon ends: real signals, real processes, and an end whatever hangs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from virtual_time import run_virtually, settle

from daemon.stopping import CUT_SECONDS, DRAIN_SECONDS, Stopping

if TYPE_CHECKING:
    from collections.abc import Iterator

DAEMON = """
import asyncio, os, signal, sys, threading, time
from daemon.stopping import Stopping

def say(word):
    os.write(1, (word + "\\n").encode())

async def main():
    stopping = Stopping(drain_seconds={drain}, cut_seconds={cut})
    stopping.install(reload=lambda: say("reloaded"))
    say("ready")
    {body}

asyncio.run(main())
say("ended")
"""

WAIT_REQUESTED = 'await stopping.requested.wait(); say("requested")'
WAIT_CUT = f'{WAIT_REQUESTED}; await stopping.cut.wait(); say("cut")'


@contextmanager
def a_daemon(body: str, *, drain: float = 60, cut: float = 60) -> Iterator[subprocess.Popen[str]]:
    """Run a process that stops as the daemon does."""
    script = DAEMON.format(body=body, drain=drain, cut=cut)
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) as process:
        try:
            assert hear(process) == "ready"
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> str:
    """Return the next word that the process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop_and_the_end_is_orderly(number: signal.Signals) -> None:
    """Exit code 0, and nothing on stderr."""
    with a_daemon(WAIT_REQUESTED) as process:
        process.send_signal(number)
        assert process.communicate() == ("requested\nended\n", "")
        assert process.returncode == 0


def test_a_second_signal_cuts() -> None:
    """Who is in a hurry need not wait for the drain."""
    with a_daemon(WAIT_CUT) as process:
        process.send_signal(signal.SIGTERM)
        assert hear(process) == "requested"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("cut\nended\n", "")
        assert process.returncode == 0


def test_draining_ends_by_itself() -> None:
    """What is under way may go on for so long, and is then cut."""
    with a_daemon(WAIT_CUT, drain=0.1) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("requested\ncut\nended\n", "")
        assert process.returncode == 0


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("time.sleep(60)", id="the loop is blocked in the kernel before the signal"),
        pytest.param("while True: pass", id="the loop is busy before the signal"),
        pytest.param(f"{WAIT_REQUESTED}; time.sleep(60)", id="the loop is blocked after the signal"),
        pytest.param(f"{WAIT_REQUESTED}; await asyncio.sleep(60)", id="something waits for ever"),
        pytest.param(f"{WAIT_REQUESTED}; await asyncio.to_thread(time.sleep, 60)", id="a thread hangs"),
        pytest.param(
            f"threading.Thread(target=time.sleep, args=(60,)).start(); {WAIT_REQUESTED}",
            id="a thread outlives the loop",
        ),
        pytest.param(
            f"os.dup2(os.pipe()[1], 2); {WAIT_REQUESTED}; sys.stderr.write('x' * 10**6)",
            id="nobody reads stderr any more",
        ),
    ],
)
def test_whatever_hangs_the_process_ends_at_the_deadline(body: str) -> None:
    """With exit code 0: a stop that hangs is worse than a kill, and a kill loses nothing."""
    with a_daemon(body, drain=0.1, cut=0.3) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert 0.3 <= time.monotonic() - began < 20


def test_what_hung_is_told() -> None:
    """The stack of every thread is in the log, for whoever has to find out."""
    with a_daemon("time.sleep(60)", cut=0.1) as process:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
        assert "the next start recovers" in told
        assert "in main" in told


def test_hup_reloads_and_nothing_stops() -> None:
    """As often as it comes."""
    with a_daemon(WAIT_REQUESTED) as process:
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            assert hear(process) == "reloaded"
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("requested\nended\n", "")


def test_a_signal_after_the_loop_has_ended_changes_nothing() -> None:
    """The exit code stays 0."""
    with a_daemon("pass\nimport atexit; atexit.register(lambda: (say('late'), time.sleep(0.5)))") as process:
        assert [hear(process), hear(process)] == ["ended", "late"]
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("", "")
        assert process.returncode == 0


def test_a_storm_of_signals_is_one_stop() -> None:
    """A handler that is interrupted by its own kind does not hang, and one that comes late spoils nothing."""
    with a_daemon(f"{WAIT_CUT}; stopping.hear_no_more()") as process:
        process.send_signal(signal.SIGTERM)
        assert hear(process) == "requested"
        for _ in range(500):
            process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30) == ("cut\nended\n", "")
        assert process.returncode == 0


def test_asked_for_by_the_program_it_drains_as_long() -> None:
    """A reason from within is as good as a signal."""

    async def main() -> None:
        stopping = Stopping()
        stopping.request()
        await settle()
        assert stopping.requested.is_set()
        assert not stopping.cut.is_set()
        await stopping.cut.wait()
        assert asyncio.get_running_loop().time() == pytest.approx(DRAIN_SECONDS)

    run_virtually(main())


def test_the_deadlines_keep_the_promise() -> None:
    """SIGTERM ends the daemon within 20 seconds, and draining leaves time for an orderly end."""
    assert DRAIN_SECONDS < CUT_SECONDS < 20 - 2
