"""What is so now, and what it costs: read at each scrape from one snapshot, which is in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from index.lifecycle import State
from tiering.bill import total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiering.answers import Status
    from tiering.bill import Bill


@dataclass(frozen=True, slots=True)
class Rates:
    """What a person wants to know at a glance."""

    upload_bytes_per_second: float
    hit_ratio: float
    hit_ratios: Mapping[str, float | None]


class States(Collector):
    """What is so now, read from one snapshot a scrape."""

    def __init__(self, status: Callable[[], Status], rates: Callable[[], Rates]) -> None:
        self._status = status
        self._rates = rates

    def __repr__(self) -> str:
        return "<States>"

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return nothing, so that registering takes no snapshot."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge."""
        status, rates = self._status(), self._rates()
        yield _by_state("assets", "Assets, by state.", status.assets)
        yield _by_state("bytes", "Bytes of assets, by state.", status.bytes)
        queue, disk = status.queue, status.disk
        for name, text, value in (
            ("hit_ratio", "Hits among the requests since the start.", rates.hit_ratio),
            (
                "upload_throughput_bytes_per_second",
                "Bytes uploaded per second in the last minute.",
                rates.upload_bytes_per_second,
            ),
            (
                "oldest_unprotected_seconds",
                "Age of the oldest content that has no proven remote copy.",
                queue.oldest_unprotected_seconds,
            ),
            ("unprotected_bytes", "Bytes that have no proven remote copy.", queue.unprotected_bytes),
            ("rollout_percent", "Of all paths, how many per cent are to be in the store.", status.rollout.percent),
            ("outside_rollout_assets", "Assets that the roll-out leaves on this disk only.", status.rollout.outside),
            ("outside_rollout_bytes", "Bytes of those.", status.rollout.outside_bytes),
            ("disk_free_bytes", "Free bytes of the cache's file system.", disk.free),
            ("disk_used_bytes", "Bytes that hot assets occupy.", disk.used),
            ("disk_limit_bytes", "Bytes that they may occupy.", disk.limit),
            ("disk_full", "Whether the cache or the index is out of room.", disk.full or status.index_full),
            ("brake_engaged", "Whether destructive work is frozen.", status.brake.engaged),
            ("scrub_oldest_seconds", "How long ago every cold asset was checked.", status.scrub.oldest_seconds),
            ("scrub_suspects", "Cold assets that seem missing or wrong.", status.scrub.suspects),
            ("store_doubted", "Whether too much in the store seems missing or wrong.", bool(status.scrub.doubt)),
        ):
            yield GaugeMetricFamily(f"tierd_{name}", text, value=float(value))


class Cost(Collector):
    """What this month costs, by the prices of the configuration."""

    def __init__(self, bill: Callable[[], Bill]) -> None:
        self._bill = bill

    def __repr__(self) -> str:
        return "<Cost>"

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return nothing, so that registering counts nothing."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is spent, and what will be."""
        bill = self._bill()
        spent = GaugeMetricFamily("tierd_cost_month_to_date", "Money spent this month, by for what.", labels=["part"])
        for part, money in bill.so_far.items():
            spent.add_metric([part], money)
        yield spent
        whole = GaugeMetricFamily("tierd_cost_month_forecast", "Money that this month will cost.", labels=["case"])
        for case, money in (("as-is", total(bill.forecast)), ("all-hot", bill.all_hot), ("all-cold", bill.all_cold)):
            whole.add_metric([case], money)
        yield whole


def _by_state(name: str, text: str, values: Mapping[State, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"tierd_{name}", text, labels=["state"])
    for state in State:
        family.add_metric([state], values.get(state, 0))
    return family
