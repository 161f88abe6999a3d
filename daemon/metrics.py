"""What Prometheus sees. Labels are bounded and every series is there from the start, at 0: a rate needs its first step.

Counting happens as things happen; what is a state is read from one snapshot a scrape, which is in memory.
"""

from __future__ import annotations

import asyncio
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.hits import Hits
from daemon.throughput import Throughput
from index.lifecycle import State
from tiering.bill import total
from tiering.meter import Tally
from tiering.stores.observed import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from index.asset import Asset
    from tiering.answers import Status
    from tiering.bill import Bill

_OTHER: Final = "other"

_REQUESTS: Final = ("hit", "miss", "error")
_UPLOADS: Final = ("sent", "adopted", "copied", "changed", "deferred", "refused", _OTHER)
_PROMOTIONS: Final = ("restored", "deferred", "damaged", "overtaken", "no-space", _OTHER)
_DEMOTIONS: Final = ("watermark", "age", "request", "space", "replaced", _OTHER)
_BULLETINS: Final = ("taken", "ignored", "malformed")
_DECISIONS: Final = ("promoted", "streamed")
_OPERATIONS: Final = (*OPERATIONS, _OTHER)
_ANSWERS: Final = (
    "ok", "not-found", "precondition", "unavailable", "throttled", "credentials", "refused", "corrupt", _OTHER,
)  # fmt: skip

_CHECKS: Final = ("head", "read-back", "hash")
_FOUND: Final = ("right", "missing", "mismatched", "corrupt", "rotten", "changed", "unknown")

_TRANSFER_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DAY: Final = 86_400
_IDLE_SECONDS: Final = (60, 600, 3600, 6 * 3600, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY)
_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Rates:
    """What a person wants to know at a glance."""

    upload_bytes_per_second: float
    hit_ratio: float
    hit_ratios: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened since the start, by how it ended. `downloads` are promotions."""

    requests: Mapping[str, int]
    request_bytes: Mapping[str, int]
    uploads: Mapping[str, int]
    upload_bytes: int
    downloads: Mapping[str, int]


class Metrics:
    """An Observer (tiering/observer.py) that counts, from the moment it is made; `watch` adds what is a state."""

    def __init__(
        self, *, version: str, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library gives it no types
        self._clock = clock
        self._wall_clock = wall_clock
        self._throughput = Throughput(now=clock())
        self._hits = Hits(now=clock())
        self._registry = registry = CollectorRegistry()
        _describe_build(registry, version)
        self._requests = _Tallies(registry, "requests", "Requests for an asset's bytes, opens included.", _REQUESTS)
        self._request_bytes = _Tallies(
            registry, "request_bytes", "Bytes sent for such requests, or opened on disk.", _REQUESTS
        )
        self._uploads = _Tallies(registry, "uploads", "Uploads that ended.", _UPLOADS)
        self._upload_bytes = Counter("tierd_upload_bytes", "Bytes sent to the store by uploads.", registry=registry)
        self._sent_bytes = 0
        self._upload_seconds = _seconds(registry, "upload", "How long uploads took.")
        self._promotions = _Tallies(registry, "promotions", "Promotions that ended.", _PROMOTIONS)
        self._promotion_seconds = _seconds(registry, "promotion", "How long promotions took.")
        self._demotions = _Tallies(registry, "demotions", "Local copies removed, by why.", _DEMOTIONS, label="reason")
        self._regrets = Counter(
            "tierd_demotions_regretted",
            "Assets asked for again within a half-life after the policy demoted them.",
            registry=registry,
        )
        self._admissions = _Tallies(
            registry, "admissions", "Cold contents asked for, by what was decided.", _DECISIONS, label="decision"
        )
        self._idle_seconds = Histogram(
            "tierd_demotion_idle_seconds",
            "How long nobody had asked for what was demoted.",
            buckets=_IDLE_SECONDS,
            registry=registry,
        )
        self._expirations = Counter(
            "tierd_expirations", "Cold assets that a retention rule removed from the store.", registry=registry
        )
        self._mismatches = Counter(
            "tierd_verification_failures", "Remote copies found missing or wrong.", registry=registry
        )
        self._overflows = Counter("tierd_watch_overflows", "Times that the watcher lost events.", registry=registry)
        self._found = Counter(
            "tierd_reconcile_found", "Changes found by a scan that the watcher had not reported.", registry=registry
        )
        self._store = _StoreRequests(registry)
        self._fetched = Counter("tierd_store_read_bytes", "Bytes read from the store.", registry=registry)
        self.tally = Tally(clock=wall_clock)
        """What is paid for."""
        checks = Counter("tierd_scrub_checks", "What the scrubber looked at.", ["check", "result"], registry=registry)
        self._checks = {(check, found): checks.labels(check, found) for check in _CHECKS for found in _FOUND}
        self._told = _Tallies(registry, "bulletins", "What the store's queue told of.", _BULLETINS)
        self._fed = Gauge("tierd_queue_fed", "Whether the store's queue tells what others do.", registry=registry)
        self._invalidated = Counter(
            "tierd_cdn_invalidated_paths", "Paths that the content delivery network was told of.", registry=registry
        )
        self._scanned = Gauge("tierd_scan_timestamp_seconds", "When the last whole scan ended.", registry=registry)
        self._credentials_end = Gauge(
            "tierd_credentials_end_timestamp_seconds",
            "When the store's credentials run out; 0: never.",
            registry=registry,
        )
        Gauge("tierd_tasks", "Tasks of the event loop.", registry=registry).set_function(_count_tasks)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def __repr__(self) -> str:
        return f"<Metrics {self.rates()}>"

    def watch(self, status: Callable[[], Status]) -> None:
        """Read the gauges from this snapshot, which must be in memory, at each scrape."""
        self._registry.register(_States(status, self.rates))

    def charge(self, bill: Callable[[], Bill]) -> None:
        """Read from this what the month costs, at each scrape."""
        self._registry.register(_Cost(bill))

    def listen(self, is_fed: Callable[[], bool]) -> None:
        """Say whether a queue tells what others do."""
        self._fed.set_function(lambda: float(is_fed()))

    def date(self, *, scanned: Callable[[], float], credentials_end: Callable[[], float]) -> None:
        """Read these moments, in seconds since the epoch, at each scrape; 0 where there is none."""
        self._scanned.set_function(scanned)
        self._credentials_end.set_function(credentials_end)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def rates(self) -> Rates:
        """Return what was uploaded in the last minute, and the hits among the requests, since the start and lately."""
        hits, misses = self._requests.value("hit"), self._requests.value("miss")
        ratio = hits / (hits + misses) if hits + misses else 0.0
        return Rates(self._throughput.rate(self._clock()), ratio, self._hits.ratios(self._clock()))

    def counts(self) -> Counts:
        """Return what happened since the start."""
        return Counts(
            requests=self._requests.totals(),
            request_bytes=self._request_bytes.totals(),
            uploads=self._uploads.totals(),
            upload_bytes=int(self._sent_bytes),
            downloads=self._promotions.totals(),
        )

    def requested(self, result: str, size_bytes: int) -> None:
        """See Observer."""
        result = result if result in _REQUESTS else "error"
        self._requests.add(result)
        self._hits.add(result, now=self._clock())
        self._request_bytes.add(result, size_bytes)
        self.tally.served(size_bytes)

    def uploaded(self, asset: Asset, result: str, seconds: float, sent_bytes: int) -> None:
        """See Observer."""
        del asset  # Its path is no label.
        self._uploads.add(result)
        self._upload_seconds.observe(seconds)
        self._upload_bytes.inc(sent_bytes)
        self._sent_bytes += sent_bytes
        self._throughput.add(sent_bytes, seconds, now=self._clock())

    def promoted(self, asset: Asset, result: str, seconds: float) -> None:
        """See Observer."""
        del asset
        self._promotions.add(result)
        self._promotion_seconds.observe(seconds)

    def demoted(self, asset: Asset, reason: str) -> None:
        """See Observer."""
        self._demotions.add(reason)
        self._idle_seconds.observe(max(0.0, self._wall_clock() - asset.last_access))

    def regretted(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._regrets.inc()

    def admitted(self, asset: Asset, decision: str) -> None:
        """See Observer."""
        del asset
        self._admissions.add(decision)

    def mismatched(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._mismatches.inc()

    def overflowed(self) -> None:
        """See Observer."""
        self._overflows.inc()

    def reconciled(self, kind: str, found: int) -> None:
        """See Observer."""
        del kind
        self._found.inc(found)

    def stored(self, operation: str, result: str, seconds: float) -> None:
        """See Observer."""
        self._store.add(operation, result, seconds)
        self.tally.asked(operation, result)

    def fetched(self, size_bytes: int) -> None:
        """See Observer."""
        self._fetched.inc(size_bytes)
        self.tally.fetched(size_bytes)

    def expired(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._expirations.inc()

    def told(self, result: str, count: int) -> None:
        """See Observer."""
        self._told.add(result, count)

    def invalidated(self, paths: int) -> None:
        """Count paths that the content delivery network was told to forget."""
        self._invalidated.inc(paths)

    def scrubbed(self, check: str, result: str) -> None:
        """See Observer."""
        self._checks[check, result].inc()


class _Tallies:
    """A counter with one label, of these values; any other value counts as the last of them."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, values: Iterable[str], *, label: str = "result"
    ) -> None:
        counter = Counter(f"tierd_{name}", text, [label], registry=registry)
        self._children = {value: counter.labels(value) for value in values}
        self._last = next(reversed(self._children))
        self._totals = dict.fromkeys(self._children, 0.0)

    def add(self, value: str, amount: float = 1) -> None:
        value = value if value in self._children else self._last
        self._children[value].inc(amount)
        self._totals[value] += amount

    def value(self, value: str) -> float:
        return self._totals[value]

    def totals(self) -> dict[str, int]:
        return {value: int(total) for value, total in self._totals.items()}


class _StoreRequests:
    """Requests to the store, by operation and by how they ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter("tierd_store_requests", "Requests to the store.", ["operation", "result"], registry=registry)
        seconds = Histogram(
            "tierd_store_request_duration_seconds",
            "How long requests to the store took.",
            ["operation"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._counts = {(name, end): counter.labels(name, end) for name in _OPERATIONS for end in _ANSWERS}
        self._seconds = {name: seconds.labels(name) for name in _OPERATIONS}

    def add(self, operation: str, result: str, seconds: float) -> None:
        operation = operation if operation in self._seconds else _OTHER
        result = result if (operation, result) in self._counts else _OTHER
        self._counts[operation, result].inc()
        self._seconds[operation].observe(seconds)


class _States(Collector):
    """What is so now, read from one snapshot a scrape."""

    def __init__(self, status: Callable[[], Status], rates: Callable[[], Rates]) -> None:
        self._status = status
        self._rates = rates

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


class _Cost(Collector):
    """What this month costs, by the prices of the configuration."""

    def __init__(self, bill: Callable[[], Bill]) -> None:
        self._bill = bill

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


def _seconds(registry: CollectorRegistry, name: str, text: str) -> Histogram:
    return Histogram(f"tierd_{name}_duration_seconds", text, buckets=_TRANSFER_SECONDS, registry=registry)


def _count_tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # Rendered where no loop runs.
        return 0


def _describe_build(registry: CollectorRegistry, version: str) -> None:
    build = Info("tierd_build", "What runs.", registry=registry)
    build.info({"version": version, "python": platform.python_version()})
