"""The curve: a sample says about what a whole simulation says, knows how far it is off, and stays small."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from stub import Answer, Stub

from benchmarks.traces import generated
from daemon import cli
from tiering.curve import Curve
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.prices import Prices
from tiering.simulation import HotTier
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiering.trace import Trace

MARKS = Watermarks(0.9, 0.8)
MIB = 1 << 20


def policy() -> HeatPolicy:
    """Return the daemon's default."""
    return HeatPolicy(PRESETS["balanced"])


def reads(trace: Trace) -> Iterator[tuple[float, str, int, int]]:
    """Yield the requests of a trace as the daemon tells of them."""
    for seconds, asset, size in zip(trace.seconds, trace.assets, trace.sizes, strict=True):
        yield seconds, str(asset), size, 1


def hits(trace: Trace, capacity: int) -> tuple[float, float]:
    """Return the hit ratios of requests and bytes that a whole simulation finds."""
    tier = HotTier(policy(), capacity, MARKS)
    for seconds, asset, size in zip(trace.seconds, trace.assets, trace.sizes, strict=True):
        tier.request(seconds, asset, size)
    return 1 - tier.tally.object_miss_ratio, 1 - tier.tally.byte_miss_ratio


@pytest.mark.parametrize("name", ["mixed", "once"])
def test_a_sample_says_what_all_say(name: str) -> None:
    """Within the bounds that it gives, and those are worth something."""
    trace = generated(name)
    capacity = trace.footprint // 10
    curve = Curve(policy, capacity, MARKS, most=2500, factors=(0.5, 1.0, 4.0))
    curve.record(reads(trace))
    found = curve.read()
    assert 0.01 < found.rate < 0.5
    assert found.assets <= 2500
    for point in found.points:
        requests, sizes = hits(trace, point.size)
        assert abs(point.hit_ratio - requests) <= point.error < 0.15
        if point.byte_hit_ratio is not None:
            assert point.byte_error is not None
            assert abs(point.byte_hit_ratio - sizes) <= max(0.01, point.byte_error)
    assert [point.is_today for point in found.points] == [False, True, False]


def test_who_saw_everything_knows() -> None:
    """Without a sample there is no error, and the figures are those of the simulation."""
    trace = generated("circles")
    capacity = trace.footprint // 10
    curve = Curve(policy, capacity, MARKS, most=10**6, factors=(1.0,))
    curve.record(reads(trace))
    (point,) = curve.read().points
    assert (point.hit_ratio, point.byte_hit_ratio) == pytest.approx(hits(trace, capacity))
    assert point.error == pytest.approx(0.0)
    assert point.store_dollars is not None
    assert point.disk_dollars == pytest.approx(capacity / 2**30 * 0.08)


def test_what_it_costs_is_what_the_store_asks_here() -> None:
    """List prices are for who has said nothing."""
    trace = generated("circles")
    capacity = trace.footprint // 10
    curve = Curve(policy, capacity, MARKS, most=10**6, factors=(1.0,), prices=Prices(get=0.0, egress=0.0, disk=8.0))
    curve.record(reads(trace))
    (point,) = curve.read().points
    assert point.store_dollars == 0.0
    assert point.disk_dollars == pytest.approx(capacity / 2**30 * 8)


def test_a_few_reads_are_counted_as_they_were() -> None:
    """Of several at once only the first missed, if it could come in at all."""
    curve = Curve(policy, 1000, MARKS, factors=(0.1, 1.0))
    curve.record([(1.0, "a", 200, 3), (2.0, "b", 300, 1)])
    small, today = curve.read().points
    assert (small.hit_ratio, small.byte_hit_ratio) == (0.0, 0.0)
    assert (today.hit_ratio, today.byte_hit_ratio) == pytest.approx((0.5, 400 / 900))


def test_memory_is_bounded() -> None:
    """However many assets are met."""
    curve = Curve(policy, 10**9, MARKS)
    tracemalloc.start()
    try:
        curve.record((float(number), str(number), 1000, 1) for number in range(14_000))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 32 * MIB
    assert curve.read().assets <= 10_000


def test_nothing_seen_is_nothing_known() -> None:
    """And that is said: the bound is everything."""
    point = Curve(policy, 1000, MARKS).read().points[0]
    assert (point.hit_ratio, point.byte_hit_ratio, point.store_dollars) == (0.0, None, None)


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's size is marked, and it can be drawn."""
    point = {"size": 1 << 30, "is_today": True, "hit_ratio": 0.5, "error": 0.01, "byte_hit_ratio": None}
    point |= {"byte_error": None, "store_dollars": None, "disk_dollars": 0.08}
    more = point | {"size": 1 << 31, "is_today": False, "hit_ratio": 0.75}
    monkeypatch.setenv("TIERD_API__SOCKET", str(tmp_path / "s"))
    with Stub(tmp_path / "s") as server:
        answer = {"rate": 0.25, "assets": 10, "requests": 100, "points": [point, more]}
        server.answers["GET /v1/curve"] = Answer(answer)
        assert cli.run(["curve", "--plot", str(tmp_path / "x.svg")]) == 0
    out, err = capfd.readouterr()
    assert "1.0 GiB\ttoday\t50.0% ± 1.0%\t\t\t0.08 $" in out
    assert "25.0% of all" in err
    assert "1.0 GiB*" in (tmp_path / "x.svg").read_text()
