"""P9: what a host with a million assets waits for."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import Poller
from benchmarks.ground import CLOSED, PATIENCE_SECONDS, wait_until
from daemon.wire import Wire
from demo.seaweed import CREDENTIALS
from demo.service import Service
from index.asset import Proof, ProofMethod, RelPath, new_asset_ids
from index.catalog import Catalog
from index.changes import FoundObject
from tiering.planner import Planner, Residence
from tiering.policies.heat import PRESETS, HeatPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from index.asset import AssetId

MIB: Final = 1 << 20
MILLION: Final = 1_000_000
COLD: Final = 200_000
PER_DIRECTORY: Final = 1000
STARTS: Final = 5
TIMES: Final = 9
PASS: Final = 10_000
PAGE: Final = 1000
DAY: Final = 86_400

_AT_ONCE: Final = 10_000
REPLICATED: Final = """
    UPDATE asset SET state = 'replicated', sha256 = lower(hex(randomblob(32))),
        content_type = iif(row % 10, 'image/jpeg', 'video/mp4'), measured = '{}', pinned = row <= 700,
        proof_key = CAST(path AS TEXT), proof_etag = lower(hex(randomblob(16))), proof_size = size,
        proof_sha256 = lower(hex(randomblob(32))), proof_generation = generation, proof_mtime_ns = mtime_ns,
        proof_mode = mode, proof_method = 'etag-md5', proof_at = discovered_at,
        type = CASE row % 5 WHEN 0 THEN NULL WHEN 1 THEN 'product' ELSE 'media' END,
        fields = CASE row % 5 WHEN 0 THEN NULL
            WHEN 1 THEN json_object('variant', iif(row % 2, 'transparent', 'original'),
                'category', json_extract('["dish_soap","laundry","shampoo","cola","tea","coffee","snack","bread"]',
                    '$[' || (row % 8) || ']'),
                'product', 'Power Thing ' || (row % 5000), 'region', iif(row % 3, 'US', 'EU'))
            ELSE json_object('media_type', iif(row % 10, 'image', 'video')) END,
        tags = CASE row % 5 WHEN 1 THEN json_object('campaign', 'spring_' || (row % 200)) END
    WHERE row > ? AND row <= ?
"""
"""A fifth are products with four fields and a campaign, three fifths media with one; nothing is said of a fifth."""

USED: Final = """
    UPDATE warmth SET last_access = last_access - row * 7919 % 8640000, heat = row * 7919 % 1000003 / 1e5
    WHERE row > ? AND row <= ?
"""

QUERIES: Final[dict[str, str]] = {
    "everything, by path": "",
    "type, 200,000": "type=product",
    "field, 25,000": "field.category=tea",
    "field, 200": "field.product=Power+Thing+1",
    "type and two fields": "type=product&field.category=laundry&field.region=EU",
    "tag, 5,000": "tag.campaign=spring_1",
    "campaign, 5,000": "campaign=spring_1",
    "state, 1,000,000": "state=replicated",
    "state, 200,000": "state=cold",
    "state, none": "state=stuck",
    "pinned, 700": "pinned=true",
    "a word, 2,000": "q=000999",
    "three words, 132,000": "q=Power+Thing+1",
    "a word, 1,000,000": "q=jpg",
    "a word, none": "q=nowhere",
    "field, 200, by access": "field.product=Power+Thing+1&sort=-last_access",
    "campaign, 5,000, by size": "campaign=spring_1&sort=-size",
    "a word, 2,000, by time": "q=000999&sort=-mtime",
    "field, 25,000, by size": "field.category=tea&sort=-size",
    "state, 200,000, by size": "state=cold&sort=-size",
    "all, by size": "sort=-size",
    "all, by time": "sort=-mtime",
    "all, by access": "sort=last_access",
    "larger than all but few": "min_size=8999000",
    "not used for 99 days": f"accessed_before={time.time() - 99 * DAY:.0f}",
}
"""What is searched for, as the query string of `GET /v1/assets`; a page of 100."""


def million(place: Path) -> list[str]:
    """P9: build it, and look."""
    build(place)
    return measure(place)


def build(place: Path) -> None:
    """Have the daemon take in a million files, and write into its index that they were uploaded: an hour's work."""
    service = _service(place)
    _make_tree(service.root, MILLION)
    with service:
        wait_until(lambda: _looked(service.log) is not None)
        service.stop()
    with closing(sqlite3.connect(place / "index.db", isolation_level=None)) as connection:
        for row in range(0, MILLION, _AT_ONCE):
            connection.execute(REPLICATED, (row, row + _AT_ONCE))
            connection.execute(USED, (row, row + _AT_ONCE))
    asyncio.run(_add_cold(place / "index.db"))


async def _add_cold(path: Path) -> None:
    catalog = await Catalog.open(path)
    try:
        for start in range(0, COLD, PAGE):
            ids = new_asset_ids(PAGE)
            await catalog.adopt_cold([_found(start + at, asset_id) for at, asset_id in enumerate(ids)])
    finally:
        await catalog.close()


def _found(number: int, asset_id: AssetId) -> FoundObject:
    path = RelPath(f"cold/{number // PER_DIRECTORY:06}/{number % PER_DIRECTORY:06}.mp4")
    size, sha256 = number * 31 % 9_000_000, f"{number:064x}"
    proof = Proof(path, f"{number:032x}", size, sha256, 1, 10**18 + number, 0o644, ProofMethod.ETAG_MD5, 1e9)
    fields = {"kind": "thumbnails", "show": f"show{number % 300}", "season": f"{number % 9}"}
    return FoundObject(asset_id, path, proof, "video/mp4", type="artifact", fields=fields)


def measure(place: Path) -> list[str]:
    """Start, and ask, again and again."""
    service = _service(place)
    ready, looked, ratios = [], [], []
    for _ in range(STARTS):
        find = _find(service.root)
        service.log.write_text("")
        began = time.monotonic()
        with service:
            ready.append(time.monotonic() - began)
            wait_until(lambda: _looked(service.log) is not None)
            looked.append(_looked(service.log) or 0.0)
            ratios.append(looked[-1] / find)
            service.stop()
    service.log.write_text("")
    with service:
        poller = Poller(service)
        poller.start()
        wait_until(lambda: _looked(service.log) is not None)
        service.client.stats()
        poller.stop()
        asked = _ask(service)
        resident = service.resident() / MIB
        service.stop()
    return [
        f"P9 {MILLION:,} files and {COLD:,} cold assets: median (least to most)",
        f"    start to ready           {_span(ready)} s of {STARTS} starts; to reach: 2",
        f"    reconciled               {_span(looked)} s, {_span(ratios)} x find; to reach: 3",
        *(f"    {name:24} {_span(took, 1e3)} ms" for name, took in asked.items()),
        f"    a pass decides {PASS:,}   {_span(asyncio.run(_passes(place / 'index.db')))} s; to reach: 1",
        "    while it looks at the tree, and counts for stats:",
        *poller.lines(),
        f"    resident memory          {resident:.0f} MiB, {service.peak_bytes / MIB:.0f} at most; to reach: 300",
    ]


def _service(place: Path) -> Service:
    settings = {
        "STORE__URL": "s3://bench/host",
        "STORE__ENDPOINT": CLOSED,
        "METRICS__LISTEN": "",
        "LOG__FORMAT": "json",
    }
    return Service(place, place / "log", settings=settings, credentials=CREDENTIALS)


def _ask(service: Service) -> dict[str, list[float]]:
    client, wire = service.client, Wire(service.directory / "tierd.sock", PATIENCE_SECONDS)
    began = time.perf_counter()
    next(client.assets(q="first"), None)
    first = time.perf_counter() - began
    return {
        "first search for a word": [first],
        "status": _took(client.status),
        "stats": _took(client.stats, times=3),
        "explain (rank)": _took(lambda: client.explain("000001/000999.jpg")),
        **{name: _took(lambda asked=asked: wire.ask("GET", f"/v1/assets?{asked}")) for name, asked in QUERIES.items()},  # type: ignore[misc]
    }


async def _passes(path: Path) -> list[float]:
    """Return how long it took to choose what leaves the disk, the store and the disk not counted."""
    catalog = await Catalog.open(path)
    try:
        return [await _pass(catalog) for _ in range(TIMES)]
    finally:
        await catalog.close()


async def _pass(catalog: Catalog) -> float:
    planner = Planner(Residence(0, 0, 0), HeatPolicy(PRESETS["balanced"]), is_leased=lambda _: False)
    began, after, chosen = time.perf_counter(), None, 0
    while chosen < PASS:
        page, after = await catalog.candidates(order=planner.policy.order, limit=PAGE, after=after)
        assert page, "nothing has heat"
        chosen += len(planner.plan(page, excess=0, reason="age", now=time.time()))
    return time.perf_counter() - began


def _make_tree(root: Path, count: int) -> None:
    for directory in range(count // PER_DIRECTORY):
        below = root / f"{directory:06}"
        below.mkdir()
        for number in range(PER_DIRECTORY):
            fd = os.open(below / f"{number:06}.jpg", os.O_CREAT | os.O_WRONLY, 0o644)
            os.ftruncate(fd, 4096 + (directory * PER_DIRECTORY + number) * 7919 % 4_000_000)
            os.close(fd)


def _looked(log: Path) -> float | None:
    """Return how long the first look at the whole tree took, once it is over."""
    said: Iterator[dict[str, Any]] = (json.loads(line) for line in log.read_text().splitlines())
    return next((line["seconds"] for line in said if line["message"] == "looked at the whole tree"), None)


def _find(root: Path) -> float:
    began = time.monotonic()
    subprocess.run(["find", root, "-printf", "%p %s %T@\n"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _took(ask: Callable[[], object], *, times: int = TIMES) -> list[float]:
    """Return the seconds of all calls but the first."""
    ask()
    return [_seconds(ask) for _ in range(times)]


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def _span(values: Sequence[float], unit: float = 1) -> str:
    scaled = [value * unit for value in values]
    return f"{statistics.median(scaled):.3g} ({min(scaled):.3g} to {max(scaled):.3g})"
