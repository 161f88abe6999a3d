"""How wanted each asset is, per byte that it occupies: forward-decayed frequency less a price for size. The default.

The idea. Count the accesses to an asset, each worth half as much after every `half_life` volumes, a volume being as
many bytes read as the hot tier holds. A clock of bytes runs as fast as the disk turns over: a quiet night ages nothing.
What matters is an order, and in an order everybody's decay cancels out. So nothing is ever aged: a later access counts
for more instead, and the logarithm of the sum, one float, stays as it is until the next access (G. Cormode et al.,
"Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009; LRFU of D. Lee et al., IEEE Trans.
Computers 2001, is the same count with a clock of requests). An index serves the order by itself.

The price of size is `alpha` times the logarithm of the size: 1 is heat per byte, as in GreedyDual-Size-Frequency
(L. Cherkasova, HP Labs 1998), and serves the most requests; 0 is heat alone. A little of it costs next to no bytes and
serves many more requests.

A first access counts for less than a full one (`first`): most of what is asked for once is never asked for again. The
rest is made good when the asset is asked for again while it is still warm. Heat is kept when an asset leaves the disk:
what comes back is not a stranger.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.asset import Asset

_LN2: Final = log(2)
_FAINTEST: Final = -700.0
"""The logarithm of the least heat that is told from none: what `exp` can still do."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is to be served: `alpha` is the price of size, `half_life` is in volumes, `first` what one access counts."""

    alpha: float
    half_life: float
    first: float


PRESETS: Final = {
    "requests": Preset(alpha=1.0, half_life=64.0, first=1.0),
    "balanced": Preset(alpha=0.3, half_life=8.0, first=0.65),
    "bytes": Preset(alpha=0.1, half_life=8.0, first=0.5),
}


class HeatPolicy:
    """Orders by heat; times are volumes read since the index was made."""

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

    def after_access(self, before: float | None, *, size: int, seconds: float, volumes: float, times: int = 1) -> float:
        """Return the key after `times` accesses to an asset of `size` bytes, given its key before, None at first."""
        del seconds
        first, price, ahead = self.preset.first, self.preset.alpha * log(size + 1), self._rate * volumes
        if before is None:
            warmth = first
        else:
            warmth = exp(max(before + price - ahead, _FAINTEST))
            warmth += first + (1.0 - first) * min(1.0, warmth / first)
        return ahead + log(warmth + times - 1) - price

    def warmth(self, heat: float, *, size: int, volumes: float) -> float:
        """Return as how many accesses just now the heat counts."""
        return exp(max(heat + self.preset.alpha * log(size + 1) - self._rate * volumes, _FAINTEST))

    def cooled(self, heat: float, *, half_lives: float) -> float:
        """Return the heat after so many half-lives without an access, as if it were that much older."""
        return heat - _LN2 * half_lives

    def of_warmth(self, warmth: float, *, size: int, volumes: float) -> float:
        """Return the heat that counts as so many accesses just now: the inverse of `warmth`."""
        return self._rate * volumes + log(warmth) - self.preset.alpha * log(size + 1)

    def volumes_until(self, heat: float, other: float) -> float:
        """Return how much must be read until a fresh access at `other` is worth `heat`: how long it outlives it."""
        return (heat - other) / self._rate
