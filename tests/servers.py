"""Real S3 servers for the tests: SeaweedFS and moto, one of each for every process that runs tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

from demo.seaweed import CREDENTIALS, Seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CREDENTIALS", "credentials", "moto_endpoint", "seaweed_endpoint", "seaweed_server"]


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[Seaweed]:
    """SeaweedFS, started once."""
    # Its sockets need a short path, which pytest's own temporary directories are not.
    with tempfile.TemporaryDirectory(prefix="weed-") as name:
        server = Seaweed(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def seaweed_endpoint(seaweed_server: Seaweed) -> str:
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


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The credentials of the test servers, and no others, for the process that runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
