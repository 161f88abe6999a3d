"""What it costs to remember accesses, and to find the coldest, with a million assets in the index."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from index.asset import AssetId
from index.catalog import Catalog
from index.warmth import Use
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.thermometer import Thermometer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MILLION: Final = 1_000_000
BATCH: Final = 40_000
"""What 800 requests a second make between two writes."""
BATCHES: Final = 5
PASS: Final = 10_000
PAGE: Final = 1000
SKEWS: Final = {"Zipf 1.0": 1.0, "Zipf 0.9": 0.9, "uniform": 0.0}

FILL: Final = """
    INSERT INTO asset (id, path, state, generation, size, mtime_ns, inode, ctime_ns, disk_bytes, mode, links, sha256,
        proof_key, proof_etag, proof_size, proof_sha256, proof_generation, proof_mtime_ns, proof_mode, proof_method,
        proof_at, discovered_at, changed_at, due_at, handled_at)
    VALUES (:id, :path, 'replicated', 1, :size, :n, :n, 0, 4096, 420, 1, :sha256, CAST(:path AS TEXT), :etag, :size,
        :sha256, 1, :n, 420, 'etag-md5', 1, 1, 1, 1, :access)
"""
WARM: Final = "UPDATE warmth SET heat = row * 7919 % 1000003 / 111112.0"
"""As good as by chance."""


def accesses(place: Path) -> list[str]:
    """Have batches of accesses written, and the coldest found, as the daemon does."""
    return asyncio.run(_measured(place / "index.db"))


async def _measured(index: Path) -> list[str]:
    await (await Catalog.open(index)).close()
    rng = random.Random(1)
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.executemany(FILL, _rows(rng))
        connection.execute(WARM)
    catalog = await Catalog.open(index)
    thermometer = Thermometer(HeatPolicy(PRESETS["balanced"]), clock=time.time)
    thermometer.capacity = MILLION * 10**6
    catalog.warming = thermometer
    try:
        lines = [await _remembered(catalog, rng, skew) for skew in SKEWS]
        lines.append(await _found(catalog))
    finally:
        await catalog.close()
    return [f"accesses: {MILLION:,} assets in the index, batches of {BATCH:,}, processor time", *lines]


def _rows(rng: random.Random) -> Iterable[dict[str, object]]:
    for n in range(MILLION):
        path = f"{n // 1000:06}/{n:06}.jpg".encode()
        digests = {"sha256": f"{n:064x}", "etag": f"{n:032x}"}
        yield {
            "n": n,
            "id": _id(n),
            "path": path,
            "size": rng.randrange(1, 10**7),
            **digests,
            "access": rng.random() * 1e9,
        }


async def _remembered(catalog: Catalog, rng: random.Random, skew: str) -> str:
    weights = [*accumulate(1 / rank ** SKEWS[skew] for rank in range(1, MILLION + 1))]
    wanted = rng.sample(range(MILLION), MILLION)
    costs, distinct = [], 0
    for _ in range(BATCHES):
        batch = _batch(rng.choices(wanted, cum_weights=weights, k=BATCH))
        distinct += len(batch)
        began = time.process_time()
        await catalog.touch(batch)
        costs.append((time.process_time() - began) / BATCH * 1e6)
    share = distinct / BATCHES / BATCH
    return (
        f"    {skew:9} {sorted(costs)[BATCHES // 2]:5.1f} us an access ({min(costs):.1f} to {max(costs):.1f}),"
        f" {share:.0%} of them of different assets"
    )


def _batch(numbers: Sequence[int]) -> dict[AssetId, Use]:
    times: dict[int, int] = {}
    for number in numbers:
        times[number] = times.get(number, 0) + 1
    return {_id(number): Use(time.time(), count) for number, count in times.items()}


async def _found(catalog: Catalog) -> str:
    began, after = time.process_time(), None
    for _ in range(PASS // PAGE):
        _, after = await catalog.candidates(order=("heat",), limit=PAGE, after=after)
    return f"    the coldest {PASS:,} found in {time.process_time() - began:.2f} s"


def _id(number: int) -> AssetId:
    return AssetId(f"{number:032x}")
