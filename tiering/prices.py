"""What keeping and moving bytes costs: a table of prices. Unless told, list prices of AWS in us-east-1, in dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GIB: Final = 1 << 30
CLASSES: Final = (
    "standard", "intelligent_tiering", "standard_ia", "onezone_ia", "glacier_ir", "glacier", "deep_archive",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prices:
    """`get` and `put` are for 1,000 requests, `egress` is for a GiB that leaves the store.

    All others are for a GiB a month: on disk, or in the storage class of that name.
    """

    standard: float = 0.023
    intelligent_tiering: float = 0.023
    standard_ia: float = 0.0125
    onezone_ia: float = 0.01
    glacier_ir: float = 0.004
    glacier: float = 0.0036
    deep_archive: float = 0.00099
    put: float = 0.005
    get: float = 0.0004
    egress: float = 0.09
    disk: float = 0.08

    def of_reading(self, requests: float, size_bytes: float) -> float:
        """Return what so many reads of the store cost, of so many bytes in all."""
        return requests / 1000 * self.get + size_bytes / GIB * self.egress

    def of_writing(self, requests: float) -> float:
        """Return what so many writes to the store cost."""
        return requests / 1000 * self.put

    def of_keeping(self, size_bytes: float) -> dict[str, float]:
        """Return what so many bytes cost a month, by storage class."""
        return {name.upper(): size_bytes / GIB * getattr(self, name) for name in CLASSES}

    def of_disk(self, size_bytes: float) -> float:
        """Return what so much disk costs a month."""
        return size_bytes / GIB * self.disk
