"""The installed `tierd serve`, as a child process: started, asked, stopped, and killed without mercy."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from daemon.client import Client, UnreachableError
from demo.child import program, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
DYING_SECONDS: Final = 3
"""A process that ends closes its socket some time before it is gone."""


class DiedError(Exception):
    """The service ended, or did not come up, and nobody had told it to."""


class Service:
    """One daemon in `directory`. `settings` are its `TIERD_` variables by section and key, such as `CACHE__ROOT`."""

    def __init__(
        self, directory: Path, log: Path, *, settings: Mapping[str, str], credentials: Mapping[str, str]
    ) -> None:
        self.directory = directory
        self.root = directory / "media"
        self.root.mkdir(exist_ok=True)
        # Found before any that this machine may have.
        (directory / "config.toml").touch()
        self.log = log
        self.kills = 0
        self.peak_bytes = 0
        socket = directory / "tierd.sock"
        self.client = Client(socket)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIERD_")}
        places = {"CACHE__ROOT": self.root, "INDEX__PATH": directory / "index.db", "API__SOCKET": socket}
        ours = {f"TIERD_{key}": str(value) for key, value in {**places, **settings}.items()}
        self._environment = {**inherited, **credentials, **ours}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> float:
        """Start it, and return after how many seconds it answered."""
        self._process = self._spawn()
        return self._wait_answer()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [program("tierd"), "serve"]
        return spawn(command, environment=self._environment, directory=self.directory, log=self.log)

    def _wait_answer(self) -> float:
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS:
            try:
                self.client.health()
            except UnreachableError:
                self._check_alive()
                time.sleep(0.01)
            else:
                return time.monotonic() - began
        raise DiedError(f"tierd serve did not answer within {START_SECONDS} s; see {self.log}")

    def status(self) -> dict[str, Any]:
        """Return how things stand."""
        try:
            return self.client.status()
        except UnreachableError:
            self._check_alive(patience=DYING_SECONDS)
            raise

    def kill(self) -> float:
        """Kill it with SIGKILL, start it again, and return after how many seconds it answered."""
        self._check_alive()
        self.kills += 1
        self._end()
        return self.start()

    def stop(self) -> float:
        """Stop it with SIGTERM, and return after how many seconds. Raise DiedError where it does not end well."""
        assert self._process is not None
        self._measure()
        began = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise DiedError(f"tierd serve ignored SIGTERM for {STOP_SECONDS} s; see {self.log}") from None
        if code:
            raise DiedError(f"tierd serve ended with {code} on SIGTERM; see {self.log}")
        return time.monotonic() - began

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._measure()
            self._process.kill()
            self._process.wait()

    def _check_alive(self, patience: float = 0) -> None:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(patience)
            raise DiedError(f"tierd serve ended by itself with {code}; see {self.log}")

    def resident(self, line: str = "VmRSS:") -> int:
        """Return the process's resident memory in bytes; 0 where it has ended."""
        assert self._process is not None
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return 1024 * next((int(each.split()[1]) for each in lines if each.startswith(line)), 0)

    def processor_seconds(self) -> float:
        """Return the processor time that it has used since it was started."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _measure(self) -> None:
        """Note the highest resident memory, while the process is still there to be asked."""
        self.peak_bytes = max(self.peak_bytes, self.resident("VmHWM:"))
