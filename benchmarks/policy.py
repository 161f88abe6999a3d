"""Which assets stay hot: the daemon's policies beside others, on traces. `make bench ONLY=policy`."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.rivals import Gdsf, S3Fifo, race
from benchmarks.traces import SHAPES, generated, recorded
from tiering.policies.age import AgePolicy
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.simulation import simulate
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tiering.simulation import Tally
    from tiering.trace import Trace

SIZES: Final = (0.01, 0.05, 0.10, 0.30)
"""Of the footprint."""
ONLINE: Final = Watermarks(1.0, 1.0)
IN_BOUTS: Final = Watermarks(0.9, 0.8)
RESAMPLED: Final = 2000

Run = Callable[["Trace", int], "Tally"]
Ratios = tuple[float, float, float]
"""Requests missed, bytes missed, bytes promoted by bytes asked for; means over the sizes."""


def heat(preset: str, marks: Watermarks = ONLINE, *, cut: bool = False) -> Run:
    """Return the daemon's policy with this preset."""
    return lambda trace, capacity: simulate(trace, HeatPolicy(PRESETS[preset]), capacity, marks, cut=cut)


RUNS: Final[dict[str, Run]] = {
    **{f"heat {name}": heat(name) for name in PRESETS},
    **{f"heat {name}, 0.9/0.8": heat(name, IN_BOUTS) for name in PRESETS},
    **{f"heat {name}, 0.9/0.8, cut": heat(name, IN_BOUTS, cut=True) for name in PRESETS},
    "gdsf": lambda trace, capacity: race(trace, Gdsf(capacity)),
    "s3fifo": lambda trace, capacity: race(trace, S3Fifo(capacity)),
    "lru": lambda trace, capacity: simulate(trace, LruPolicy(), capacity, ONLINE),
    "lru, 0.9/0.8": lambda trace, capacity: simulate(trace, LruPolicy(), capacity, IN_BOUTS),
    "age": lambda trace, capacity: simulate(trace, AgePolicy(), capacity, ONLINE),
}


def policies(_: Path) -> list[str]:
    """Compare on the project's own traces and, where they lie beside it, on the recorded ones."""
    began = time.monotonic()
    with ProcessPoolExecutor() as pool:
        said = _compare("own traces", ((name, generated(name)) for name in SHAPES), pool)
        said += _compare("traces beside the project", recorded(), pool)
    return [*said, f"    {time.monotonic() - began:.0f} s"]


def _compare(title: str, traces: Iterable[tuple[str, Trace]], pool: ProcessPoolExecutor) -> list[str]:
    found: dict[str, list[Ratios]] = {name: [] for name in RUNS}
    names = []
    for name, trace in traces:
        names.append(name)
        for run, ratios in zip(RUNS, pool.map(partial(_ratios, trace), RUNS), strict=True):
            found[run].append(ratios)
    if not names:
        return [f"policy: there are no {title}"]
    head = f"policy: {title} ({', '.join(names)}), means over them and hot tiers of 1, 5, 10, 30 % of the footprint"
    columns = f"    {'':<32} {'requests missed':<28} {'bytes missed':<28} promoted by asked for"
    return [head, columns, *(_line(name, ratios) for name, ratios in found.items())]


def _ratios(trace: Trace, run: str) -> Ratios:
    tallies = [RUNS[run](trace, int(trace.footprint * share)) for share in SIZES]
    return (
        statistics.fmean(tally.object_miss_ratio for tally in tallies),
        statistics.fmean(tally.byte_miss_ratio for tally in tallies),
        statistics.fmean(tally.promoted_bytes / tally.request_bytes for tally in tallies),
    )


def _line(name: str, ratios: Sequence[Ratios]) -> str:
    objects, sizes, promoted = ([each[column] for each in ratios] for column in range(3))
    moved = f"{statistics.fmean(promoted):.2f}" if any(promoted) else "-"
    return f"    {name:<32} {_interval(objects):<28} {_interval(sizes):<28} {moved}"


def _interval(values: Sequence[float]) -> str:
    """Return the mean and where 95 % of the means of other such traces would lie (bootstrap over the traces)."""
    rng = random.Random(1)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLED))
    low, high = means[RESAMPLED // 40], means[-RESAMPLED // 40]
    return f"{statistics.fmean(values):.4f} ({low:.3f} to {high:.3f})"
