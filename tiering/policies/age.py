"""Oldest goes first, however often it is asked for: what a lifecycle script with `find -mtime` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset


class AgePolicy:
    """Orders by the time an asset was first seen."""

    name = "age"
    order = ("discovered_at",)

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return the seconds since it was first seen."""
        return now - asset.discovered_at
