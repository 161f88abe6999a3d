"""The simulator beside libCacheSim, and the policies of others beside its own of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcachesim
import pytest

from benchmarks.rivals import Gdsf, S3Fifo, race
from benchmarks.traces import SHAPES, generated
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.simulation import WARM_UP, simulate
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from tiering.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Return everything at once: catalogue, releases, scans, circles."""
    return generated("mixed")


def reference(name: str, trace: Trace, capacity: int) -> tuple[float, float]:
    """Return the miss ratios, of objects and of bytes, that libCacheSim finds."""
    cache = getattr(libcachesim, name)(cache_size=capacity)
    request = libcachesim.Request()
    asked = missed = asked_bytes = missed_bytes = 0
    warm = int(len(trace) * WARM_UP)
    for number, (asset, size) in enumerate(zip(trace.assets, trace.sizes, strict=True)):
        request.clock_time, request.obj_id, request.obj_size = number, asset + 1, size
        hit = cache.get(request)
        if number >= warm:
            asked, asked_bytes = asked + 1, asked_bytes + size
            missed, missed_bytes = missed + (not hit), missed_bytes + (0 if hit else size)
    return missed / asked, missed_bytes / asked_bytes


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_lru_is_that_of_libcachesim(trace: Trace, share: float) -> None:
    """Within 0.0005, of requests and of bytes."""
    capacity = int(trace.footprint * share)
    ours = simulate(trace, LruPolicy(), capacity, Watermarks(1.0, 1.0))
    assert (ours.object_miss_ratio, ours.byte_miss_ratio) == pytest.approx(
        reference("LRU", trace, capacity), abs=0.0005
    )


@pytest.mark.parametrize(("name", "rival"), [("GDSF", Gdsf), ("S3FIFO", S3Fifo)])
def test_rivals_are_what_they_are_called(trace: Trace, name: str, rival: type[Gdsf | S3Fifo]) -> None:
    """As near as their definitions leave room: docs/policy.md says where they differ."""
    capacity = int(trace.footprint * 0.1)
    ours = race(trace, rival(capacity))
    assert (ours.object_miss_ratio, ours.byte_miss_ratio) == pytest.approx(reference(name, trace, capacity), abs=0.02)


def test_heat_misses_less_than_who_misses_fewest_bytes(trace: Trace) -> None:
    """No more bytes than ARC, and far fewer requests, at a tenth of the footprint: docs/policy.md has the means."""
    capacity = int(trace.footprint * 0.1)
    ours = simulate(trace, HeatPolicy(PRESETS["balanced"]), capacity, Watermarks(1.0, 1.0))
    requests, sizes = reference("ARC", trace, capacity)
    assert ours.object_miss_ratio < requests - 0.1
    assert ours.byte_miss_ratio < sizes


def test_a_trace_is_the_same_every_time() -> None:
    """From its seed; another seed is another."""
    one, again, other = generated("circles"), generated("circles"), generated("circles", seed=2)
    assert (one.assets, one.sizes, one.seconds) == (again.assets, again.sizes, again.seconds)
    assert one.assets != other.assets
    assert all(len(generated(name)) > 30_000 for name in SHAPES if name != "circles")
