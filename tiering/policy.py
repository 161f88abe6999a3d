"""In which order assets leave the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.asset import Asset


class TierPolicy(Protocol):
    """A pure rule. The index serves the order, the policy explains it; both must agree."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def order(self) -> Sequence[str]:
        """The columns of the index, ascending, in which the coldest comes first."""

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return for how many seconds nobody wanted the asset: the more, the sooner it goes."""
