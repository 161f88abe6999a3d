"""A daemon that is killed again and again: each of its processes is forked from one that has imported everything.

That is the real daemon in a process of its own, for a tenth of what a start costs otherwise.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from typing import TYPE_CHECKING, Any

import deadly
from daemon_process import PATIENCE_SECONDS, Daemon

from daemon.client import TierdError, UnreachableError
from demo.service import DiedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["deadly", "daemon.life", "daemon.cli_operations"])


class Forked:
    """A process as subprocess.Popen shows it."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("tierd", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()

    def terminate(self) -> None:
        """End it with SIGTERM."""
        self._process.terminate()


class Doomed(Daemon):
    """Starts with a wound: at the n-th passage of a point, its process kills itself."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.deaths: list[str] = []
        """Where its processes died, in order."""
        self._note = self.directory / "died"
        self._wound: tuple[str, int, Any] | None = None
        self._dying_of = ("", 0, self._note)
        self._installed = False
        self._is_a_day_later = False

    def _spawn(self) -> Any:
        if self._installed:
            return super()._spawn()
        arguments = (self._environment, self.directory, self.log, self._wound, self._is_a_day_later)
        return Forked(FORKS.Process(target=deadly.serve, args=arguments))

    def start_installed(self) -> None:
        """Start it unhurt, as it is installed."""
        self._installed = True
        self.start()
        self._installed = False

    def start_a_day_later(self) -> None:
        """Start it unhurt, when uploads that nobody has finished are old."""
        self._is_a_day_later = True
        self.start()
        self._is_a_day_later = False

    def start_wounded(self, point: str, nth: int) -> None:
        """Start it, and return once it answers, or is dead already."""
        self._wound = self._dying_of = (point, nth, self._note)
        self._note.unlink(missing_ok=True)
        self._process = self._spawn()
        self._wound = None
        while self.is_alive() and not self._answers():
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            self.client.health()
        except UnreachableError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """Return how things stand; unlike one that nobody means to kill, it may have died meanwhile."""
        return self.client.status()

    def is_alive(self) -> bool:
        """Whether its process runs."""
        assert self._process is not None
        return self._process.poll() is None

    def die(self, act: Callable[[], object]) -> None:
        """Act again and again until it has died, of its wound and nothing else."""
        point, nth, note = self._dying_of
        deadline = time.monotonic() + PATIENCE_SECONDS / 2
        while self.is_alive():
            assert time.monotonic() < deadline, f"{nth} times {point}: never came about after {self.deaths}"
            try:
                act()
            except (TierdError, DiedError, OSError):
                time.sleep(0.01)
        assert note.exists(), f"waiting for {point}, it died by itself after {self.deaths}"
        assert note.read_text(encoding="utf-8") == point
        assert self._process is not None
        assert self._process.wait(1) == -9
        self.deaths.append(point)
