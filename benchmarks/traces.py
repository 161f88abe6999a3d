"""Traces to compare policies on: small seeded ones of our own, and recorded ones where they lie beside the project.

A media host's requests are several streams at once: a catalogue whose popularity drifts, releases that are hot for
some days, assets that are read once, a nightly job that reads everything, a data set that is read in circles.
"""

from __future__ import annotations

import os
import random
import struct
import zipfile
from array import array
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiering.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY: Final = 86_400.0
KIB: Final = 1 << 10
MIB: Final = 1 << 20
RECORDED: Final = Path(os.environ.get("TRACES") or Path(__file__).resolve().parents[2] / "shared" / "traces")
KINDS: Final = ((0.55, 48 * KIB, 0.8), (0.25, 800 * KIB, 1.0), (0.08, 6 * MIB, 0.7), (0.12, 60 * MIB, 1.0))
"""Thumbnails, images, sounds, clips: their share, and the median and spread of their sizes."""

Request = tuple[float, int]
Shape = dict[str, int]

SHAPES: Final[dict[str, Shape]] = {
    "catalogue": {"catalogue": 60_000},
    "releases": {"catalogue": 20_000, "releases": 40_000},
    "scans": {"catalogue": 40_000, "scans": 4},
    "once": {"catalogue": 40_000, "once": 20_000},
    "circles": {"catalogue": 40_000, "circles": 6},
    "mixed": {"catalogue": 30_000, "releases": 20_000, "once": 10_000, "scans": 1, "circles": 2},
}
ASSETS: Final = 6000
"""In the catalogue; a fifth as many are released, and as many read in circles."""


def generated(name: str, seed: int = 1) -> Trace:
    """Return two weeks of requests of one of the SHAPES."""
    rng, shape = random.Random(f"{name} {seed}"), SHAPES[name]
    requests: list[Request] = []
    for kind, make in (("catalogue", _catalogue), ("releases", _releases), ("once", _once), ("circles", _circles)):
        if kind in shape:
            requests += make(rng, shape[kind])
    if "scans" in shape:
        requests += _scans(sorted({asset for _, asset in requests}), shape["scans"])
    trace, sizes = Trace(), {}
    for seconds, asset in sorted(requests):
        if asset not in sizes:
            sizes[asset] = _size(rng)
        trace.add(seconds, str(asset), sizes[asset])
    return trace


def _size(rng: random.Random) -> int:
    _, median, spread = rng.choices(KINDS, [share for share, _, _ in KINDS])[0]
    return max(4 * KIB, int(median * rng.lognormvariate(0.0, spread)))


def _catalogue(rng: random.Random, count: int) -> Iterator[Request]:
    """Zipf's law, and every day some assets change places."""
    weights = list(accumulate(1 / (rank + 1) ** 0.9 for rank in range(ASSETS)))
    order = rng.sample(range(ASSETS), ASSETS)
    for day in range(14):
        for _ in range(ASSETS // 100):
            one, other = rng.randrange(ASSETS), rng.randrange(ASSETS)
            order[one], order[other] = order[other], order[one]
        for rank in rng.choices(range(ASSETS), cum_weights=weights, k=count // 14):
            yield (day + rng.random()) * DAY, order[rank]


def _releases(rng: random.Random, count: int) -> Iterator[Request]:
    """Each is asked for often at first, and half as often every day."""
    births = [rng.random() * 14 for _ in range(ASSETS // 5)]
    weights = list(accumulate(rng.paretovariate(1.1) for _ in births))
    for release in rng.choices(range(len(births)), cum_weights=weights, k=count):
        day = births[release] + rng.expovariate(0.7)
        if day < 14:  # noqa: PLR2004 - two weeks
            yield day * DAY, ASSETS + release


def _once(rng: random.Random, count: int) -> Iterator[Request]:
    for number in range(count):
        yield rng.random() * 14 * DAY, 10 * ASSETS + number


def _circles(rng: random.Random, count: int) -> Iterator[Request]:
    for turn in range(count):
        for number in range(ASSETS // 5):
            yield (2 * turn + 1.5 * number * 5 / ASSETS + 0.1 * rng.random()) * DAY, 5 * ASSETS + number


def _scans(assets: list[int], count: int) -> Iterator[Request]:
    for scan in range(count):
        for place, asset in enumerate(assets):
            yield (3 * scan + 2 + 0.2 * place / len(assets)) * DAY, asset


def recorded() -> Iterator[tuple[str, Trace]]:
    """Yield the traces beside the project: arrays of numpy, `dt` since the last request, `i` who, `size_of` each."""
    for file in sorted(RECORDED.glob("*.npz")):
        with zipfile.ZipFile(file) as arrays:
            waits, assets, sizes = (_array(arrays.read(f"{name}.npy")) for name in ("dt", "i", "size_of"))
        trace, seconds = Trace(), 0.0
        for wait, asset in zip(waits, assets, strict=True):
            seconds += wait
            trace.add(seconds, str(asset), int(sizes[int(asset)]))
        yield file.stem, trace


def _array(raw: bytes) -> array[float] | array[int]:
    """Read numpy's format 1.0 of one dimension, which is a line of text before the bytes."""
    (length,) = struct.unpack("<H", raw[8:10])
    kind = raw[10 : 10 + length].decode("latin-1").partition("'descr': '")[2][:3]
    code = {"<u1": "B", "|u1": "B", "<u2": "H", "<u4": "I", "<i4": "i", "<i8": "q", "<u8": "Q", "<f4": "f", "<f8": "d"}
    found = array(code[kind])
    found.frombytes(raw[10 + length :])
    return found
