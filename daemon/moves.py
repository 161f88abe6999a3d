"""Counts what moved between the tiers, how long it took, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

from daemon.tallies import OTHER, Tallies, transfer_seconds

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_UPLOADS: Final = ("sent", "adopted", "copied", "changed", "deferred", "refused", OTHER)
_PROMOTIONS: Final = ("restored", "deferred", "damaged", "overtaken", "no-space", OTHER)
_DEMOTIONS: Final = ("watermark", "age", "request", "space", "replaced", OTHER)
_DECISIONS: Final = ("promoted", "streamed")
_DAY: Final = 86_400
_IDLE_SECONDS: Final = (60, 600, 3600, 6 * 3600, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY)


class Uploads:
    """To the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Tallies(registry, "uploads", "Uploads that ended.", _UPLOADS)
        self.sent_bytes = 0
        self._bytes = Counter("tierd_upload_bytes", "Bytes sent to the store by uploads.", registry=registry)
        self._seconds = transfer_seconds(registry, "upload", "How long uploads took.")

    def __repr__(self) -> str:
        return f"<Uploads {self.ended}>"

    def add(self, result: str, seconds: float, sent_bytes: int) -> None:
        """Count one that ended."""
        self.ended.add(result)
        self.sent_bytes += sent_bytes
        self._bytes.inc(sent_bytes)
        self._seconds.observe(seconds)


class Promotions:
    """Back to the disk."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Tallies(registry, "promotions", "Promotions that ended.", _PROMOTIONS)
        self.decided = Tallies(
            registry, "admissions", "Cold contents asked for, by what was decided.", _DECISIONS, label="decision"
        )
        self._seconds = transfer_seconds(registry, "promotion", "How long promotions took.")

    def __repr__(self) -> str:
        return f"<Promotions {self.ended}>"

    def add(self, result: str, seconds: float) -> None:
        """Count one that ended."""
        self.ended.add(result)
        self._seconds.observe(seconds)


class Departures:
    """Off the disk, and out of the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._demotions = Tallies(registry, "demotions", "Local copies removed, by why.", _DEMOTIONS, label="reason")
        self.regretted = Counter(
            "tierd_demotions_regretted",
            "Assets asked for again within a half-life after the policy demoted them.",
            registry=registry,
        )
        self._idle_seconds = Histogram(
            "tierd_demotion_idle_seconds",
            "How long nobody had asked for what was demoted.",
            buckets=_IDLE_SECONDS,
            registry=registry,
        )
        self.expired = Counter(
            "tierd_expirations", "Cold assets that a retention rule removed from the store.", registry=registry
        )

    def __repr__(self) -> str:
        return f"<Departures {self._demotions}>"

    def add(self, reason: str, *, idle_seconds: float) -> None:
        """Count a demotion."""
        self._demotions.add(reason)
        self._idle_seconds.observe(max(0.0, idle_seconds))
