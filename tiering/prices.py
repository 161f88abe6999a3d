"""What moving bytes costs: a table of prices, in dollars. List prices of AWS in us-east-1, for a first idea only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Prices:
    """`get` is for 1,000 requests, `egress` for a GiB that leaves the store, `disk` for a GiB of disk a month."""

    get: float = 0.0004
    egress: float = 0.09
    disk: float = 0.08

    def of_reading(self, requests: float, size_bytes: float) -> float:
        """Return what so many reads of the store cost, of so many bytes in all."""
        return requests / 1000 * self.get + size_bytes / GIB * self.egress

    def of_disk(self, size_bytes: float) -> float:
        """Return what so much disk costs a month."""
        return size_bytes / GIB * self.disk
