"""Counts where index, disk and store were not as believed, and how lately that was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_CHECKS: Final = ("head", "read-back", "hash")
_FOUND: Final = ("right", "missing", "mismatched", "corrupt", "rotten", "changed", "unknown")


class Doubts:
    """What scans, the scrubber and proofs found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.mismatched = Counter(
            "tierd_verification_failures", "Remote copies found missing or wrong.", registry=registry
        )
        self.overflows = Counter("tierd_watch_overflows", "Times that the watcher lost events.", registry=registry)
        self.found = Counter(
            "tierd_reconcile_found", "Changes found by a scan that the watcher had not reported.", registry=registry
        )
        checks = Counter("tierd_scrub_checks", "What the scrubber looked at.", ["check", "result"], registry=registry)
        self._checks = {(check, found): checks.labels(check, found) for check in _CHECKS for found in _FOUND}
        self.scanned = Gauge("tierd_scan_timestamp_seconds", "When the last whole scan ended.", registry=registry)

    def __repr__(self) -> str:
        return f"<Doubts by {len(self._checks)} kinds of checks>"

    def scrubbed(self, check: str, result: str) -> None:
        """Count what the scrubber looked at."""
        self._checks[check, result].inc()
