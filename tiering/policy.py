"""In which order assets leave the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.asset import Asset


OF_MISS: Final = 0.1
"""How far a read that the store had to serve moves the clock, by one that was served from disk."""
SUPPOSED: Final = 1000
"""So many reads of a MiB are taken for granted: the first real ones say little about the mean."""
REMEMBERED: Final = 1 << 20
"""After so many reads those before count half for the mean."""


@dataclass(slots=True)
class Reads:
    """What was read until now: the clock of heat and the measure of size.

    `volumes` is how often as much as the hot tier holds was read from disk. `count` reads had `size` bytes together.
    """

    volumes: float = 0.0
    count: float = SUPPOSED
    size: float = SUPPOSED * (1 << 20)

    def add(self, size: int, capacity: int, *, times: int = 1, misses: int = 0) -> None:
        """Note `times` reads of an asset, of which `misses` did not find it on disk; sizes are in bytes."""
        self.volumes += size / max(size, capacity, 1) * (times - misses + OF_MISS * misses)
        self.count += times
        self.size += size * times
        if self.count > REMEMBERED:
            self.count /= 2
            self.size /= 2

    @property
    def mean_size(self) -> float:
        """The bytes of a read."""
        return max(1.0, self.size / self.count)


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

    def after_access(self, before: float | None, *, size: int, seconds: float, reads: Reads, times: int = 1) -> float:
        """Return the key after `times` accesses, given the one before, None at first: the least goes first.

        `seconds` is the time, `reads` what was read until now, these accesses included.
        """
