"""Memory and latency under large transfers, and a first look at 100,000 files."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.ground import CLOSED, a_ground, wait_until
from demo.seaweed import CREDENTIALS
from demo.service import Service

if TYPE_CHECKING:
    from pathlib import Path

MIB: Final = 1 << 20
UPLOADED: Final = 2048 * MIB
PROMOTED: Final = 1024 * MIB
DIRECTORIES: Final = 1000
FILES_EACH: Final = 100


class Poller(threading.Thread):
    """Asks for the health of a daemon all the time, and notes how long each answer took and its memory."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._over = threading.Event()
        self.seconds: list[float] = []
        self.resident: list[int] = []

    def run(self) -> None:
        """See threading.Thread."""
        while not self._over.wait(0.005):
            began = time.perf_counter()
            self._service.client.health()
            self.seconds.append(time.perf_counter() - began)
            self.resident.append(self._service.resident())

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()
        self.join()

    def lines(self) -> list[str]:
        """Return the figures."""
        centiles = statistics.quantiles(self.seconds, n=100)
        p50, p99, most = (1e3 * seconds for seconds in (centiles[49], centiles[98], max(self.seconds)))
        return [
            f"    health answered  p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms ({len(self.seconds):,} times)",
            f"    resident memory  {max(self.resident) / MIB:.0f} MiB at most",
        ]


def memory(place: Path) -> list[str]:
    """Upload one large file while another is promoted."""
    with a_ground(place) as ground, ground.service("host") as service:
        _write(service.root / "promoted.bin", PROMOTED)
        wait_until(lambda: service.status()["assets"]["replicated"] == 1)
        service.client.demote(["promoted.bin"])
        _write(service.root / "uploaded.part", UPLOADED)
        poller = Poller(service)
        poller.start()
        began = time.monotonic()
        (service.root / "uploaded.part").rename(service.root / "uploaded.bin")
        service.client.promote(["promoted.bin"])
        promoted = time.monotonic() - began
        wait_until(lambda: service.status()["assets"]["replicated"] == 2)  # noqa: PLR2004 - both files
        uploaded = time.monotonic() - began
        poller.stop()
    return [
        f"memory: {UPLOADED // MIB} MiB uploaded while {PROMOTED // MIB} MiB are promoted",
        f"    promoted in      {promoted:.1f} s ({PROMOTED / MIB / promoted:.0f} MiB/s)",
        f"    replicated in    {uploaded:.1f} s ({UPLOADED / MIB / uploaded:.0f} MiB/s, hashed first)",
        *poller.lines(),
    ]


def scan(place: Path) -> list[str]:
    """Look at 100,000 files in 1,000 directories for the first time, the store being away."""
    settings = {
        "STORE__URL": "s3://bench/host",
        "STORE__ENDPOINT": CLOSED,
        "METRICS__LISTEN": "",
        "LOG__FORMAT": "json",
    }
    service = Service(place, place / "log", settings=settings, credentials=CREDENTIALS)
    for directory in range(DIRECTORIES):
        (service.root / f"d{directory:04}").mkdir()
        for file in range(FILES_EACH):
            (service.root / f"d{directory:04}" / f"f{file:03}.jpg").write_bytes(b"x")
    find = min(_find(service.root) for _ in range(3))
    began = time.monotonic()
    with service:
        ready = time.monotonic() - began
        # Its log is read until then: a daemon that is asked all the time is slower.
        wait_until(lambda: _reconciled(service.log) is not None)
        known = time.monotonic() - began
        reconciled = _reconciled(service.log) or {}
    return [
        f"scan: {reconciled['files']:,} files in {DIRECTORIES:,} directories",
        f"    find             {find:.2f} s",
        f"    ready            {ready:.2f} s after the start",
        f"    all known        {known - ready:.2f} s later, {(known - ready) / find:.1f} times find",
        f"    reconcile itself {reconciled['seconds']:.2f} s, {reconciled['seconds'] / find:.1f} times find",
    ]


def _reconciled(log: Path) -> dict[str, Any] | None:
    """Return what the daemon says of its first look at the whole tree, which begins when the tree is watched."""
    said = map(json.loads, log.read_text().splitlines())
    return next((line for line in said if line["message"] == "looked at the whole tree"), None)


def _find(root: Path) -> float:
    began = time.monotonic()
    subprocess.run(["find", root, "-printf", "%p %s %T@\n"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _write(path: Path, size: int) -> None:
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])
