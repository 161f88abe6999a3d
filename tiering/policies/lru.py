"""Least recently used goes first: the order that everybody understands, and the one that a single scan defeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset


class LruPolicy:
    """Orders by the last access; an asset that was never asked for counts from its discovery."""

    name = "lru"
    order = ("last_access",)

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return the seconds since the last access."""
        return now - asset.last_access
