"""SeaweedFS, a real S3 server, as a child process on ports of its own."""

from __future__ import annotations

import http
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final, Self

from demo.child import free_ports, program, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}
START_SECONDS: Final = 30
STOP_SECONDS: Final = 10


class Seaweed:
    """One server, its data in `directory`, which needs a short path: the server puts sockets there.

    `kill` and `start` again are a crash and a restart: it comes back with what it had, at the same endpoint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ports = free_ports(10)
        self.endpoint = f"http://127.0.0.1:{ports[0]}"
        self._command = _command(directory, ports)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Seaweed {self.endpoint} {'down' if self._process is None else 'up'}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return once it answers. Raise RuntimeError where it does not."""
        environment = {**os.environ, **CREDENTIALS, "WEED_S3_SSE_KEY": "any-secret"}
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "weed.log"
        self._process = spawn(self._command, environment=environment, directory=self.directory, log=log)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.endpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: see {log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an administrator would, and where it takes too long, as a crash would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def suspend(self) -> None:
        """Have it hang: connections are taken, and nobody answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _command(directory: Path, ports: Sequence[int]) -> list[str]:
    names = [f"{name}.port{kind}" for name in ("s3", "admin", "master", "volume", "filer") for kind in ("", ".grpc")]
    return [
        program("weed"),
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
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        f"-filer.localSocket={directory}/filer.sock",
        f"-s3.localSocket={directory}/s3.sock",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Else a missing bucket would be made instead of reported.
        "-s3.autoCreateBucket=false",
    ]


def _answers(endpoint: str) -> bool:
    """Whether it answers HTTP at all: an unsigned request is refused, and that will do."""
    try:
        with urllib.request.urlopen(endpoint, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except OSError:
        return False
