"""The installed `tierd serve` for one test: a real process with a root, an index, a socket and a port of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from daemon.wire import decode
from demo.child import free_ports, program
from demo.seaweed import CREDENTIALS
from demo.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from signal import Signals

    from buckets import Bucket

MIB = 1024**2
PATIENCE_SECONDS = 90
IN_FLIGHT = ("new", "uploading", "verifying", "demoting", "promoting")
QUICK = {
    "TIERING__COOL_DOWN": "0s",
    "TIERING__MIN_RESIDENCE": "0s",
    "TIERING__INTERVAL": "1s",
    "UPLOAD__PART_SIZE": "5 MiB",
    "UPLOAD__MULTIPART_ABOVE": "8 MiB",
    "LOG__FORMAT": "text",
}
"""What nobody waits for in a test; in force unless a test says otherwise."""


class Daemon(Service):
    """The demo's service, on a bucket; and everything else that a test may want to do to it, or ask of it."""

    def __init__(self, directory: Path, bucket: Bucket, settings: Mapping[str, str | None]) -> None:
        self.bucket = bucket
        self._port = free_ports(1)[0]
        ours = {
            "STORE__URL": bucket.url,
            "STORE__ENDPOINT": bucket.endpoint,
            "METRICS__LISTEN": f"127.0.0.1:{self._port}",
        }
        given = {key: value for key, value in {**QUICK, **ours, **settings}.items() if value is not None}
        super().__init__(directory, directory / "tierd.log", settings=given, credentials=CREDENTIALS)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def set(self, **settings: str) -> None:
        """Change settings for its next start."""
        self._environment |= {f"TIERD_{key}": value for key, value in settings.items()}

    @property
    def said(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8")

    def crash(self) -> None:
        """Kill it with SIGKILL; it stays down."""
        self._end()

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def check_runs(self) -> None:
        """Raise DiedError unless it runs."""
        self._check_alive()

    def refuse_to_start(self) -> tuple[int, str]:
        """Start another process with the same settings, which must end by itself; return its code and what it said."""
        done = subprocess.run(
            [program("tierd"), "serve"],
            env=self._environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against it."""
        return subprocess.run(
            [program("tierd"), *words],
            env=self._environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def drop(self, files: Mapping[str, bytes], *, mode: int = 0o644, mtime_ns: int | None = None) -> None:
        """Write files into the root, each whole before it has its name: else an unfinished one is a generation too."""
        fresh = self.root / ".fresh"
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content)
            fresh.chmod(mode)
            if mtime_ns is not None:
                os.utime(fresh, ns=(1, mtime_ns))
            fresh.rename(target)

    def assets(self) -> dict[str, dict[str, Any]]:
        """Return every asset by its exact path."""
        return {decode(asset["href"]): asset for asset in self.client.assets()}

    def state(self, path: str) -> str:
        """Return the state of one asset."""
        state: str = self.client.asset(path)["state"]
        return state

    def read(self, path: str) -> bytes:
        """Return an asset's content through the socket."""
        with self.client.content(path) as content:
            return content.read()

    @property
    def metrics_address(self) -> str:
        """Where Prometheus scrapes it."""
        return f"127.0.0.1:{self._port}"

    def raw_metrics(self) -> bytes:
        """Return what Prometheus gets."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=PATIENCE_SECONDS) as answer:
            text: bytes = answer.read()
        return text

    def scrape(self) -> dict[str, float]:
        """Return every figure that Prometheus would see, by series."""
        lines = (line for line in self.raw_metrics().decode().splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}

    def figure(self, name: str, **labels: str) -> float:
        """Return one figure, summed over the labels that are not given."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        series = {each: value for each, value in self.scrape().items() if each.partition("{")[0] == f"tierd_{name}"}
        assert series, f"there is no tierd_{name}"
        return sum(value for each, value in series.items() if all(part in each for part in wanted))

    def wait(self, what: str, is_so: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it is so. Raise AssertionError where it does not come about."""
        deadline = time.monotonic() + seconds
        while not is_so():
            self._check_alive()
            assert time.monotonic() < deadline, f"waited {seconds} s for: {what}; {self.client.status()}"
            time.sleep(0.02)

    def wait_state(self, path: str, state: str, *, generation: int = 1) -> dict[str, Any]:
        """Wait until an asset of at least this generation is in a state; return it."""

        def is_so() -> bool:
            found = self.assets().get(path, {"state": "", "generation": 0})
            return found["state"] == state and found["generation"] >= generation

        self.wait(f"{path!a} is {state}", is_so)
        return self.client.asset(path)

    def wait_replicated(self, count: int) -> None:
        """Wait until so many assets, and nothing else, are at rest in both tiers."""

        def is_so() -> bool:
            assets = self.status()["assets"]
            return assets["replicated"] == count and not any(assets[state] for state in IN_FLIGHT)

        self.wait(f"{count} are replicated", is_so)

    def wait_rest(self) -> dict[str, int]:
        """Wait until nothing is under way or waits; return how many assets are in each state."""
        self.wait("rest", lambda: not any(self.status()["assets"][state] for state in IN_FLIGHT))
        assets: dict[str, int] = self.status()["assets"]
        return assets


class Launch(Protocol):
    """Starts a daemon, which is gone when the test ends."""

    def __call__(self, bucket: Bucket, *, start: bool = True, **settings: str | None) -> Daemon:
        """`settings` are its `TIERD_` variables by section and key; None leaves one of ours to its default."""


@contextmanager
def a_directory(**where: Any) -> Iterator[Path]:
    """Make a directory with a path short enough for sockets, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="tierd-", ignore_cleanup_errors=True, **where) as name:
        yield Path(name)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """A way to start daemons. What they logged is shown where the test fails."""
    with ExitStack() as stack:

        def begin(bucket: Bucket, *, start: bool = True, **settings: str | None) -> Daemon:
            directory = stack.enter_context(a_directory(dir="/var/tmp"))
            daemon = Daemon(directory, bucket, settings)
            daemon.log.touch()
            stack.callback(lambda: sys.stdout.write(daemon.said[-20_000:]))
            stack.callback(daemon.crash)
            if start:
                daemon.start()
            return daemon

        yield begin


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a content, in hex."""
    return hashlib.sha256(content).hexdigest()


def outcome(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the document that a command with --json printed."""
    return json.loads(done.stdout)


def audit_objects(bucket: Bucket, assets: Mapping[str, Mapping[str, Any]], files: Mapping[str, bytes]) -> None:
    """Download everything with s5cmd: every file must be there, right, at the key of its asset, and nothing else."""
    keys = {path: asset["key"].removeprefix(f"{bucket.prefix}/") for path, asset in assets.items()}
    assert bucket.keys() == set(keys.values())
    stored = bucket.download(set(keys.values()))
    wrong = [path for path, content in files.items() if stored[keys[path]] != sha256(content)]
    assert not wrong
