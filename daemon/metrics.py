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
    Gauge,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from daemon.doubts import Doubts
from daemon.gauges import Cost, Rates, States
from daemon.hits import Hits
from daemon.moves import Departures, Promotions, Uploads
from daemon.tallies import Tallies
from daemon.throughput import Throughput
from daemon.traffic import Messages, StoreRequests
from tiering.meter import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from index.asset import Asset
    from tiering.answers import Status
    from tiering.bill import Bill

_REQUESTS: Final = ("hit", "miss", "error")


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
        self.tally = Tally(clock=wall_clock)
        """What is paid for."""
        self._registry = registry = CollectorRegistry()
        self._requests = Tallies(registry, "requests", "Requests for an asset's bytes, opens included.", _REQUESTS)
        self._request_bytes = Tallies(
            registry, "request_bytes", "Bytes sent for such requests, or opened on disk.", _REQUESTS
        )
        self._uploads = Uploads(registry)
        self._promotions = Promotions(registry)
        self._departures = Departures(registry)
        self._store = StoreRequests(registry)
        self._messages = Messages(registry)
        self._doubts = Doubts(registry)
        self._credentials_end = Gauge(
            "tierd_credentials_end_timestamp_seconds",
            "When the store's credentials run out; 0: never.",
            registry=registry,
        )
        _describe_process(registry, version)

    def __repr__(self) -> str:
        return f"<Metrics {self.rates()}>"

    def watch(self, status: Callable[[], Status]) -> None:
        """Read the gauges from this snapshot, which must be in memory, at each scrape."""
        self._registry.register(States(status, self.rates))

    def charge(self, bill: Callable[[], Bill]) -> None:
        """Read from this what the month costs, at each scrape."""
        self._registry.register(Cost(bill))

    def listen(self, is_fed: Callable[[], bool]) -> None:
        """Say whether a queue tells what others do."""
        self._messages.listen(is_fed)

    def date(self, *, scanned: Callable[[], float], credentials_end: Callable[[], float]) -> None:
        """Read these moments, in seconds since the epoch, at each scrape; 0 where there is none."""
        self._doubts.scanned.set_function(scanned)
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
            uploads=self._uploads.ended.totals(),
            upload_bytes=self._uploads.sent_bytes,
            downloads=self._promotions.ended.totals(),
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
        self._uploads.add(result, seconds, sent_bytes)
        self._throughput.add(sent_bytes, seconds, now=self._clock())

    def promoted(self, asset: Asset, result: str, seconds: float) -> None:
        """See Observer."""
        del asset
        self._promotions.add(result, seconds)

    def demoted(self, asset: Asset, reason: str) -> None:
        """See Observer."""
        self._departures.add(reason, idle_seconds=self._wall_clock() - asset.last_access)

    def regretted(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._departures.regretted.inc()

    def admitted(self, asset: Asset, decision: str) -> None:
        """See Observer."""
        del asset
        self._promotions.decided.add(decision)

    def mismatched(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._doubts.mismatched.inc()

    def overflowed(self) -> None:
        """See Observer."""
        self._doubts.overflows.inc()

    def reconciled(self, kind: str, found: int) -> None:
        """See Observer."""
        del kind
        self._doubts.found.inc(found)

    def stored(self, operation: str, result: str, seconds: float) -> None:
        """See Observer."""
        self._store.add(operation, result, seconds)

    def fetched(self, size_bytes: int) -> None:
        """See Observer."""
        self._store.read_bytes.inc(size_bytes)
        self.tally.fetched(size_bytes)

    def expired(self, asset: Asset) -> None:
        """See Observer."""
        del asset
        self._departures.expired.inc()

    def told(self, result: str, count: int) -> None:
        """See Observer."""
        self._messages.bulletins.add(result, count)

    def invalidated(self, paths: int) -> None:
        """Count paths that the content delivery network was told to forget."""
        self._messages.invalidated.inc(paths)

    def scrubbed(self, check: str, result: str) -> None:
        """See Observer."""
        self._doubts.scrubbed(check, result)


def _describe_process(registry: CollectorRegistry, version: str) -> None:
    build = Info("tierd_build", "What runs.", registry=registry)
    build.info({"version": version, "python": platform.python_version()})
    Gauge("tierd_tasks", "Tasks of the event loop.", registry=registry).set_function(_count_tasks)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def _count_tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # Rendered where no loop runs.
        return 0
