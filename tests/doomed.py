"""A daemon that is killed again and again: each of its processes is forked from one that has imported everything.

That is the real daemon in a process of its own, for a tenth of what a start costs otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deadly
from daemon_process import PATIENCE_SECONDS, Daemon

from daemon.client import TierdError, UnreachableError
from demo.service import DiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.context import ForkServerProcess

Wound = tuple[str, str, int, Path]
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

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """End it with SIGTERM."""
        self._process.terminate()


class Doomed(Daemon):
    """May be given a wound for its next start: at the n-th passage of a point it dies, fails or hangs."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.deaths: list[str] = []
        """Where its processes died, in order."""
        self._note = self.directory / "reached"
        self._wound: Wound | None = None
        self._last_wound: Wound = ("kill", "", 0, self._note)
        self._installed = False
        self._is_a_day_later = False

    def _spawn(self) -> Any:
        if self._installed:
            return super()._spawn()
        arguments = (self._environment, self.directory, self.log, self._wound, self._is_a_day_later)
        self._wound = None
        return Forked(FORKS.Process(target=deadly.serve, args=arguments))

    def tell(self, environment: Mapping[str, str]) -> None:
        """Set variables for its next starts."""
        self._environment |= environment

    @contextmanager
    def once(self, **settings: str) -> Iterator[None]:
        """Change settings for one start."""
        before = dict(self._environment)
        self.set(**settings)
        yield
        self._environment = before

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

    def start_wounded(self, point: str, nth: int = 1, *, act: str = "kill") -> None:
        """Start it, and return once it answers, or is dead already."""
        self._wound = self._last_wound = (act, point, nth, self._note)
        self._note.unlink(missing_ok=True)
        self._process = self._spawn()
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

    def ended(self, *, seconds: float) -> int:
        """Wait until its process has ended; return how."""
        assert self._process is not None
        return self._process.wait(seconds)

    def is_struck(self) -> bool:
        """Whether the point of its last wound was reached."""
        return self._note.exists() and self._note.read_text(encoding="utf-8") == self._last_wound[1]

    def strike(self, act: Callable[[], object]) -> None:
        """Act again and again until it has ended, or the point of its wound was reached."""
        _, point, nth, _ = self._last_wound
        deadline = time.monotonic() + PATIENCE_SECONDS / 2
        while self.is_alive() and not self.is_struck():
            assert time.monotonic() < deadline, f"{nth} times {point}: never came about after {self.deaths}"
            try:
                act()
            except (TierdError, DiedError, OSError):
                time.sleep(0.01)
        assert self.is_struck(), f"waiting for {point}, it ended by itself after {self.deaths}"

    def die(self, act: Callable[[], object]) -> None:
        """Act again and again until it has died, of its wound and nothing else."""
        self.strike(act)
        assert self.ended(seconds=5) == -9
        self.deaths.append(self._last_wound[1])
