"""P9 and P10: a million assets in the index, and whether the last of many uploads costs what the first did."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from benchmarks.ground import CLOSED, a_ground, wait_until, write_files
from demo.seaweed import CREDENTIALS
from demo.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB: Final = 1 << 20
MILLION: Final = 1_000_000
PER_DIRECTORY: Final = 1000
MANY: Final = 100_000
TENTHS: Final = 10

REPLICATED: Final = """
    UPDATE asset SET state = 'replicated', sha256 = lower(hex(randomblob(32))), content_type = 'image/jpeg',
        proof_key = CAST(path AS TEXT), proof_etag = lower(hex(randomblob(16))), proof_size = size,
        proof_sha256 = '', proof_generation = generation, proof_mtime_ns = mtime_ns, proof_mode = mode,
        proof_method = 'etag-md5', proof_at = discovered_at
"""


def million(place: Path) -> list[str]:
    """P9: what a host with a million assets waits for."""
    settings = {
        "STORE__URL": "s3://bench/host",
        "STORE__ENDPOINT": CLOSED,
        "METRICS__LISTEN": "",
        "LOG__FORMAT": "json",
    }
    service = Service(place, place / "log", settings=settings, credentials=CREDENTIALS)
    _make_tree(service.root, MILLION)
    with service:
        wait_until(lambda: _looked(service.log) is not None)
        service.stop()
    _make_replicated(place / "index.db")
    service.log.write_text("")
    find = min(_find(service.root) for _ in range(3))
    began = time.monotonic()
    with service:
        ready = time.monotonic() - began
        wait_until(lambda: _looked(service.log) is not None)
        looked = _looked(service.log) or 0.0
        client = service.client
        asked = {
            "status": _took(client.status),
            "search": _took(lambda: next(client.assets(q="000999/0", limit=100))),
            "explain (rank)": _took(lambda: client.explain("000999/000999.jpg")),
        }
        resident = service.resident() / MIB
    return [
        f"P9 {MILLION:,} assets in the index",
        f"    start to ready        {ready:.2f} s; to reach: 2",
        f"    reconciled            {looked:.1f} s, {looked / find:.1f} x find ({find:.1f} s); to reach: 3",
        *(f"    {name:21} {seconds * 1e3:.0f} ms" for name, seconds in asked.items()),
        f"    resident memory       {resident:.0f} MiB; to reach: 300",
    ]


def steady(place: Path) -> list[str]:
    """P10: many small files, and the daemon's processor time for each tenth of them."""
    costs, memory = [], []
    with a_ground(place) as ground, ground.service("host") as service:
        for tenth in range(TENTHS):
            directory = write_files(place / f"{tenth}", MANY // TENTHS, 4 << 10)
            before = service.processor_seconds()
            directory.rename(service.root / f"{tenth}")
            wanted = (tenth + 1) * MANY // TENTHS
            wait_until(lambda wanted=wanted: service.status()["assets"]["replicated"] == wanted)  # type: ignore[misc]
            costs.append((service.processor_seconds() - before) / (MANY / TENTHS / 1000))
            memory.append(service.resident() / MIB)
    return [
        f"P10 {MANY:,} x 4 KiB: processor seconds per 1,000 assets, and resident memory",
        *(f"    {10 * (at + 1):3} %  {costs[at]:.2f} s  {memory[at]:.0f} MiB" for at in range(TENTHS)),
        f"    last / first {costs[-1] / costs[0]:.2f}; to reach: 1.10",
    ]


def _make_tree(root: Path, count: int) -> None:
    for directory in range(count // PER_DIRECTORY):
        below = root / f"{directory:06}"
        below.mkdir()
        for number in range(PER_DIRECTORY):
            os.close(os.open(below / f"{number:06}.jpg", os.O_CREAT | os.O_WRONLY, 0o644))


def _make_replicated(index: Path) -> None:
    """Write into the index, which nobody has open, that everything was uploaded: to do it would take an hour."""
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.execute(REPLICATED)


def _looked(log: Path) -> float | None:
    """Return how long the first look at the whole tree took, once it is over."""
    said = (json.loads(line) for line in log.read_text().splitlines())
    return next((line["seconds"] for line in said if line["message"] == "looked at the whole tree"), None)


def _find(root: Path) -> float:
    began = time.monotonic()
    subprocess.run(["find", root, "-printf", "%p %s %T@\n"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _took(ask: Callable[[], object]) -> float:
    """Return the seconds of the second of two calls."""
    ask()
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began
