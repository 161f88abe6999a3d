"""In which order assets leave the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.asset import Asset


class TierPolicy(Protocol):
    """A pure rule. The index serves the order, the policy explains it; both must agree.

    The daemon and the simulator run the same code: what the index keeps in the column of the order is what
    `after_access` returns.
    """

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def order(self) -> Sequence[str]:
        """The columns of the index, ascending, in which the coldest comes first."""

    @property
    def oldest_first(self) -> Sequence[str]:
        """The columns of the index, ascending, in which the longest idle comes first."""

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return for how many seconds nobody wanted the asset: after long enough it leaves a disk with room, too."""

    def after_access(self, before: float | None, *, size: int, seconds: float, volumes: float, times: int = 1) -> float:
        """Return the key after `times` accesses, given the one before, None at first: the least goes first.

        `seconds` is the time, `volumes` how often the bytes that fit into the hot tier have been read until now.
        """
