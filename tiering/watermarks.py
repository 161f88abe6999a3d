"""How much must leave the disk: two marks, so that demotion comes in bouts and not in drips. Nothing about which."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What is taken of what may be taken, in bytes."""

    used: int
    capacity: int

    @property
    def ratio(self) -> float:
        """The part that is taken, from 0 to 1 and beyond."""
        return self.used / self.capacity if self.capacity else 1.0


def is_full(usage: Usage, available: int, *, wanted: int) -> bool:
    """Whether the disk has not a byte left, or not the `wanted` ones that were asked for in vain; 0: nobody did."""
    return available == 0 or (wanted > 0 and (usage.used + wanted > usage.capacity or wanted > available))


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Above `high` (a part of the capacity) demotion begins, and goes on down to `low`."""

    high: float
    low: float

    def excess(self, usage: Usage) -> int:
        """Return the bytes to free: 0 up to the high mark, all above the low one beyond it."""
        if usage.used <= self.high * usage.capacity:
            return 0
        return max(0, usage.used - int(self.low * usage.capacity))
