"""Least recently used goes first: the order that everybody understands, and the one that a single scan defeats.

Analysed in P. J. Denning, "The Working Set Model for Program Behavior", Communications of the ACM 1968.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.policy import Reads


class LruPolicy:
    """Orders by the last access; an asset that was never asked for counts from its discovery."""

    name = "lru"
    order = ("last_access",)
    oldest_first = ("last_access",)

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return the seconds since the last access."""
        return now - asset.last_access

    def after_access(self, before: float | None, *, size: int, seconds: float, reads: Reads, times: int = 1) -> float:
        """Return the time of the access."""
        del before, size, reads, times
        return seconds
