"""How much would be missed without each asset, per byte that it occupies. The default.

The idea. A miss costs a request, and the bytes that must be fetched: 1 + `bytes` · size / mean size. An asset is worth
the misses that it saves, and takes its size on disk. So heat is how often it is asked for, times 1/size + `bytes`/mean:
of small assets those leave first that are asked for least by byte, as in GreedyDual-Size-Frequency (L. Cherkasova, HP
Labs 1998), of large ones those that are asked for least; and what is small, the owner's wish says.

How often it is asked for is a count of accesses, each worth half as much after every `half_life` volumes, a volume
being as many bytes as the hot tier holds, read from disk. What the store had to serve counts a tenth for this clock:
neither a quiet night ages anything nor one look at everything. What matters is an order, and in an order everybody's
decay cancels out. So nothing is ever aged: a later access counts for more instead, and the logarithm of the sum, one
float, stays as it is until the next access (G. Cormode et al., "Forward Decay: A Practical Time Decay Model for
Streaming Systems", ICDE 2009; LRFU of D. Lee et al., IEEE Trans. Computers 2001, is the same count with a clock of
requests). An index serves the order by itself.

A first access counts for less than a full one (`first`): most of what is asked for once is never asked for again. The
rest is made good when the asset is asked for again while it is still warm. More than `most` accesses count for no more:
what everybody wanted last week leaves soon. Heat is kept when an asset leaves the disk: what comes back is no stranger.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.policy import Reads

_LN2: Final = log(2)
_FAINTEST: Final = -700.0
"""The logarithm of the least heat that is told from none: what `exp` can still do."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is to be served: `bytes` is what missing the bytes of a mean read costs, missing the request being 1.

    `half_life` is in volumes, `first` is what one access counts, `most` what all count together.
    """

    bytes: float
    half_life: float
    first: float
    most: float


PRESETS: Final = {
    "requests": Preset(bytes=0.02, half_life=16.0, first=1.0, most=inf),
    "balanced": Preset(bytes=1.0, half_life=2.5, first=0.1, most=6.0),
    "bytes": Preset(bytes=10.0, half_life=2.5, first=0.1, most=6.0),
}


class HeatPolicy:
    """Orders by heat."""

    name = "heat"
    order = ("heat",)
    oldest_first = ("last_access",)

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._rate = _LN2 / preset.half_life

    def __repr__(self) -> str:
        return f"<HeatPolicy {self.preset}>"

    def idle(self, asset: Asset, *, now: float) -> float:
        """Return the seconds since the last access."""
        return now - asset.last_access

    def after_access(self, before: float | None, *, size: int, seconds: float, reads: Reads, times: int = 1) -> float:
        """Return the key after `times` accesses to an asset of `size` bytes, given its key before, None at first."""
        del seconds
        first, fresh = self.preset.first, self._of_one(size, reads)
        if before is None:
            warmth = first
        else:
            warmth = exp(max(before - fresh, _FAINTEST))
            warmth += first + (1.0 - first) * min(1.0, warmth / first)
        return fresh + log(min(warmth + times - 1, self.preset.most))

    def warmth(self, heat: float, *, size: int, reads: Reads) -> float:
        """Return as how many accesses just now the heat counts."""
        return exp(max(heat - self._of_one(size, reads), _FAINTEST))

    def of_warmth(self, warmth: float, *, size: int, reads: Reads) -> float:
        """Return the heat that counts as so many accesses just now: the inverse of `warmth`."""
        return self._of_one(size, reads) + log(warmth)

    def _of_one(self, size: int, reads: Reads) -> float:
        """Return the heat of one full access just now."""
        # The mean moves slowly: what was measured by an older one is a little off until it is read again.
        return self._rate * reads.volumes + log(1 / (size + 1) + self.preset.bytes / reads.mean_size)
