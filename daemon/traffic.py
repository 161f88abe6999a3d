"""Counts what is asked of the store, and what its queue and the delivery network before it are told and tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from daemon.tallies import OTHER, Tallies
from tiering.stores.observed import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

_OPERATIONS: Final = (*OPERATIONS, OTHER)
_ANSWERS: Final = (
    "ok", "not-found", "precondition", "unavailable", "throttled", "credentials", "refused", "corrupt", OTHER,
)  # fmt: skip
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BULLETINS: Final = ("taken", "ignored", "malformed")


class StoreRequests:
    """Requests to the store, by operation and by how they ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter("tierd_store_requests", "Requests to the store.", ["operation", "result"], registry=registry)
        seconds = Histogram(
            "tierd_store_request_duration_seconds",
            "How long requests to the store took.",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._counts = {(name, end): counter.labels(name, end) for name in _OPERATIONS for end in _ANSWERS}
        self._seconds = {name: seconds.labels(name) for name in _OPERATIONS}
        self.read_bytes = Counter("tierd_store_read_bytes", "Bytes read from the store.", registry=registry)

    def __repr__(self) -> str:
        return f"<StoreRequests of {len(self._seconds)} operations>"

    def add(self, operation: str, result: str, seconds: float) -> None:
        """Count one that ended."""
        operation = operation if operation in self._seconds else OTHER
        result = result if (operation, result) in self._counts else OTHER
        self._counts[operation, result].inc()
        self._seconds[operation].observe(seconds)


class Messages:
    """What the store's queue tells us, and what we tell the delivery network."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.bulletins = Tallies(registry, "bulletins", "What the store's queue told of.", _BULLETINS)
        self._fed = Gauge("tierd_queue_fed", "Whether the store's queue tells what others do.", registry=registry)
        self.invalidated = Counter(
            "tierd_cdn_invalidated_paths", "Paths that the content delivery network was told of.", registry=registry
        )

    def __repr__(self) -> str:
        return f"<Messages {self.bulletins}>"

    def listen(self, is_fed: Callable[[], bool]) -> None:
        """Say from now on whether the queue tells anything."""
        self._fed.set_function(lambda: float(is_fed()))
