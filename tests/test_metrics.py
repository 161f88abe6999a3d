"""What Prometheus sees: all of it from the start, in bounds, and right when counted by hand."""

from __future__ import annotations

import math
import subprocess
from typing import TYPE_CHECKING

import pytest
from fake_tiers import an_asset, status
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from daemon.metrics import Metrics
from daemon.throughput import WINDOW, Throughput
from index.lifecycle import State
from tiering.answers import BrakeState, Disk, Queue

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.answers import Status

pytest_plugins = ["promtool"]

ASSET = an_asset("a")

STATES = ["new", "uploading", "verifying", "replicated", "demoting", "cold", "promoting", "stuck", "damaged", "gone"]
OPERATIONS = [
    "put",
    "head",
    "get",
    "delete",
    "list",
    "copy",
    "create_upload",
    "put_part",
    "list_parts",
    "complete",
    "abort",
    "list_uploads",
    "other",
]
ANSWERS = ["ok", "not-found", "precondition", "unavailable", "throttled", "credentials", "refused", "corrupt", "other"]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        """Return the time that it is."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def made(clock: Clock, now: Status | None = None) -> Metrics:
    """Metrics that watch one status."""
    metrics = Metrics(version="1.2.3", clock=clock, wall_clock=lambda: 70.0)
    metrics.watch(lambda: now or status(assets={}, bytes={}, queue=Queue(), disk=empty_disk()))
    return metrics


def empty_disk() -> Disk:
    """A disk of which nothing is known."""
    return Disk(total=0, free=0, used=0, limit=0, high=0.9, low=0.8)


def samples(metrics: Metrics) -> dict[str, float]:
    """Every series by its name and labels, as they stand in the text."""
    text = metrics.render().decode()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    }


def expected_at_start() -> set[str]:
    """The contract's list, series by series."""
    names = {
        "hit_ratio", "upload_bytes_total", "upload_throughput_bytes_per_second", "oldest_unprotected_seconds",
        "unprotected_bytes", "verification_failures_total", "watch_overflows_total", "reconcile_found_total",
        "queue_fed", "cdn_invalidated_paths_total",
        "disk_free_bytes", "disk_full", "brake_engaged", "upload_duration_seconds_count",
        "upload_duration_seconds_sum", "promotion_duration_seconds_count", "promotion_duration_seconds_sum",
    }  # fmt: skip
    for result in ("hit", "miss", "error"):
        names |= {f'requests_total{{result="{result}"}}', f'request_bytes_total{{result="{result}"}}'}
    for state in STATES:
        names |= {f'assets{{state="{state}"}}', f'bytes{{state="{state}"}}'}
    for result in ["sent", "adopted", "copied", "changed", "deferred", "refused", "other"]:
        names.add(f'uploads_total{{result="{result}"}}')
    names |= {f'bulletins_total{{result="{result}"}}' for result in ("taken", "ignored", "malformed")}
    for result in ["restored", "deferred", "damaged", "overtaken", "no-space", "other"]:
        names.add(f'promotions_total{{result="{result}"}}')
    for reason in ["watermark", "age", "request", "space", "replaced", "other"]:
        names.add(f'demotions_total{{reason="{reason}"}}')
    for operation in OPERATIONS:
        names.add(f'store_request_duration_seconds_count{{operation="{operation}"}}')
        names |= {f'store_requests_total{{operation="{operation}",result="{answer}"}}' for answer in ANSWERS}
    return {f"tierd_{name}" for name in names}


def test_every_series_is_there_from_the_start_at_zero(clock: Clock) -> None:
    """A rate needs the first step: nothing appears only once it has happened."""
    found = samples(made(clock))
    assert expected_at_start() <= set(found)
    assert {name: value for name, value in found.items() if name in expected_at_start() and value} == {}
    assert any(name.startswith("tierd_build_info{") and 'version="1.2.3"' in name for name in found)


def test_states_are_those_of_the_lifecycle() -> None:
    """The list of these tests is the table's."""
    assert [state.value for state in State] == STATES


def test_there_are_at_most_500_series(clock: Clock) -> None:
    """Whatever happens: labels of any value fall into those that are there."""
    metrics = made(clock)
    before = set(samples(metrics))
    for word in ("surprise", 'a"b\nc', "x" * 1000):
        metrics.requested(word, 1)
        metrics.uploaded(ASSET, word, 1.0, 1)
        metrics.promoted(ASSET, word, 1.0)
        metrics.demoted(ASSET, word)
        metrics.reconciled(word, 1)
        metrics.stored(word, word, 1.0)
        metrics.stored("put", word, 1.0)
    after = samples(metrics)
    assert set(after) == before
    assert len(after) <= 500
    assert after['tierd_requests_total{result="error"}'] == 3
    assert after['tierd_uploads_total{result="other"}'] == 3
    assert after['tierd_store_requests_total{operation="put",result="other"}'] == 3
    assert after['tierd_store_requests_total{operation="other",result="other"}'] == 3


def test_a_scenario_counted_by_hand(clock: Clock) -> None:
    """Each thing that happens is in exactly the series that it belongs to."""
    metrics = made(clock)
    before = samples(metrics)
    for result, size in [("hit", 100), ("hit", 50), ("hit", 0), ("miss", 7), ("error", 0)]:
        metrics.requested(result, size)
    metrics.uploaded(ASSET, "sent", 0.5, 600)
    metrics.uploaded(ASSET, "sent", 0.5, 1200)
    metrics.uploaded(ASSET, "deferred", 2.0, 0)
    metrics.promoted(ASSET, "restored", 0.02)
    metrics.promoted(ASSET, "no-space", 0.01)
    metrics.demoted(ASSET, "watermark")
    metrics.mismatched(ASSET)
    metrics.overflowed()
    metrics.reconciled("created", 3)
    metrics.reconciled("missing", 2)
    metrics.stored("put", "ok", 0.2)
    metrics.stored("put", "throttled", 0.1)
    after = samples(metrics)
    changed = {
        name: round(value - before[name], 6)
        for name, value in after.items()
        if name.startswith("tierd_") and value != before[name] and "_bucket" not in name
    }
    assert changed == {
        'tierd_requests_total{result="hit"}': 3,
        'tierd_requests_total{result="miss"}': 1,
        'tierd_requests_total{result="error"}': 1,
        'tierd_request_bytes_total{result="hit"}': 150,
        'tierd_request_bytes_total{result="miss"}': 7,
        "tierd_hit_ratio": 0.75,
        'tierd_uploads_total{result="sent"}': 2,
        'tierd_uploads_total{result="deferred"}': 1,
        "tierd_upload_bytes_total": 1800,
        "tierd_upload_throughput_bytes_per_second": 30,
        "tierd_upload_duration_seconds_count": 3,
        "tierd_upload_duration_seconds_sum": 3.0,
        'tierd_promotions_total{result="restored"}': 1,
        'tierd_promotions_total{result="no-space"}': 1,
        "tierd_promotion_duration_seconds_count": 2,
        "tierd_promotion_duration_seconds_sum": 0.03,
        'tierd_demotions_total{reason="watermark"}': 1,
        "tierd_demotion_idle_seconds_count": 1,
        "tierd_demotion_idle_seconds_sum": 68.5,
        "tierd_verification_failures_total": 1,
        "tierd_watch_overflows_total": 1,
        "tierd_reconcile_found_total": 5,
        'tierd_store_requests_total{operation="put",result="ok"}': 1,
        'tierd_store_requests_total{operation="put",result="throttled"}': 1,
        'tierd_store_request_duration_seconds_count{operation="put"}': 2,
        'tierd_store_request_duration_seconds_sum{operation="put"}': 0.3,
    }
    assert metrics.rates().hit_ratio == 0.75
    assert metrics.rates().upload_bytes_per_second == pytest.approx(30)


def test_states_are_read_at_each_scrape(clock: Clock) -> None:
    """Gauges say what the snapshot says, at the moment of the scrape and not before."""
    snapshots = [
        status(disk=empty_disk()),
        status(
            assets={State.STUCK: 4},
            bytes={State.STUCK: 44},
            brake=BrakeState(engaged=True),
            disk=Disk(total=9, free=5, used=4, limit=9, high=0.9, low=0.8, full=True),
        ),
    ]
    metrics = Metrics(version="1", clock=clock)
    metrics.watch(lambda: snapshots.pop(0))
    first, second = samples(metrics), samples(metrics)
    assert snapshots == []
    assert (first['tierd_assets{state="replicated"}'], first['tierd_bytes{state="cold"}']) == (2, 10)
    assert (first["tierd_oldest_unprotected_seconds"], first["tierd_unprotected_bytes"]) == (4.5, 60)
    assert (second['tierd_assets{state="stuck"}'], second['tierd_bytes{state="stuck"}']) == (4, 44)
    assert second['tierd_assets{state="replicated"}'] == 0
    assert (second["tierd_brake_engaged"], second["tierd_disk_full"], second["tierd_disk_free_bytes"]) == (1, 1, 5)


def test_the_process_is_seen_too(clock: Clock) -> None:
    """Memory, descriptors, interpreter and garbage, as every Python exporter has them."""
    found = samples(made(clock))
    assert found["process_resident_memory_bytes"] > 0
    assert found["process_open_fds"] > 0
    assert any(name.startswith("python_info{") for name in found)
    assert any(name.startswith("python_gc_collections_total{") for name in found)
    assert not any("_created" in name for name in found)


def test_one_exporter_does_not_know_another(clock: Clock) -> None:
    """Nothing is registered globally."""
    one, other = made(clock), made(clock)
    one.overflowed()
    assert samples(other)["tierd_watch_overflows_total"] == 0


def test_promtool_has_nothing_to_say(clock: Clock, promtool: Path) -> None:
    """Names, types, units and help texts are as Prometheus wants them, before and after things happen."""
    metrics = made(clock)
    metrics.uploaded(ASSET, "sent", 1.0, 1)
    text = metrics.render()
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert all(family.documentation and family.type != "unknown" for family in families.values())
    said = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


# Throughput


def test_a_minute_is_sixty_seconds() -> None:
    """Bytes count for as long as their second lies within the last sixty, and then no more."""
    ring = Throughput(now=100.0)
    ring.add(600, 0.1, now=100.5)
    assert ring.rate(100.5) == pytest.approx(10)
    assert ring.rate(159.9) == pytest.approx(10)
    assert ring.rate(160.0) == 0
    assert ring.rate(1e9) == 0


def test_a_long_upload_counts_as_long_as_it_lasted() -> None:
    """Only the part that went within the minute is in the rate of that minute."""
    ring = Throughput(now=0.0)
    ring.add(6000, 120.0, now=1000.0)
    assert ring.rate(1000.0) == pytest.approx(50, rel=0.03)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),
            st.floats(0, 100),
            st.integers(0, 10**9),
        ),
        max_size=20,
    )
)
def test_the_ring_agrees_with_a_list(steps: list[tuple[float, float, int]]) -> None:
    """Against every upload remembered with its times: the same bytes in the same window."""
    ring = Throughput(now=0.0)
    now = 200.0
    seen: list[tuple[float, float, int]] = []
    for passed, seconds, size in steps:
        now += passed
        ring.add(size, seconds, now=now)
        seen.append((now - max(seconds, 1e-6), now, size))
    edge = math.floor(now) - WINDOW + 1
    total = sum(size * max(0.0, end - max(begin, edge)) / (end - begin) for begin, end, size in seen)
    assert ring.rate(now) * WINDOW == pytest.approx(total, rel=1e-6, abs=1)
