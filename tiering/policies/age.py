"""Oldest goes first, however often it is asked for: what a lifecycle script with `find -mtime` does.

First in, first out; that it can do better with less room is due to L. A. Belady, R. A. Nelson and G. S. Shedler, "An
Anomaly in Space-Time Characteristics of Certain Programs Running in a Paging Machine", Communications of the ACM 1969.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.policy import Reads


class AgePolicy:
    """Orders by the time an asset was first seen, which a way to the store and back does not change."""

    name = "age"
    order = ("discovered_at",)
    oldest_first = ("discovered_at",)

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return the seconds since it was first seen."""
        return now - asset.discovered_at

    def after_access(self, before: float | None, *, size: int, seconds: float, reads: Reads, times: int = 1) -> float:
        """Return the time of the first access."""
        del size, reads, times
        return seconds if before is None else before
