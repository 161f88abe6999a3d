"""Whether anything may leave the disk at present: not before everything that could speak against it has been heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiering.leases import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiering.leases import Leases
    from tiering.prober import Prober
    from tiering.reconciler import Reconciler


class Clearance:
    """Asks the disk, the store and the clock; what speaks against one asset alone, the planner says."""

    def __init__(self, reconciler: Reconciler, prober: Prober, leases: Leases, *, clock: Callable[[], float]) -> None:
        self._reconciler = reconciler
        self._prober = prober
        self._leases = leases
        self._clock = clock

    def reason_to_wait(self) -> str | None:
        """Return why nothing may leave the disk now, or None."""
        if self._reconciler.brake.engaged:
            return f"the brake is engaged: {self._reconciler.brake.reason}"
        if not self._reconciler.scanned.is_set():
            return "the first scan is not done"
        able = self._prober.capabilities
        if able is None or not able.read_back_equal:
            return "the store has not shown that it gives back what it was given"
        if self._clock() < self._leases.settled_at:
            return f"somebody may hold a lease from before the start, for {LEASE_SECONDS:.0f} s after it"
        return None
