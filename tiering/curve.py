"""What more disk would bring, or less: the policy on small copies of hot tiers of several sizes, fed with what is read.

The idea is that of C. Waldspurger et al., "Cache Modeling and Optimization using Miniature Simulations", USENIX ATC
2017: assets are sampled by a hash of their id, so that all accesses to a sampled one are seen, and a hot tier that is
smaller by the same rate behaves like the large one. The rate falls as assets are met, so that memory stays bounded, and
requests that a fair sample would have had, and this one has not, are counted as hits: they are those of the few that
are asked for most (both from SHARDS, FAST 2015). How far a figure may be off is told by how much it differs between
groups of the sample, and by how much that correction was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tiering.prices import Prices
from tiering.simulation import HotTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiering.policy import TierPolicy
    from tiering.watermarks import Watermarks

ASSETS_MOST: Final = 10_000
"""How many assets are in the sample: what 32 MiB hold at all sizes."""
FACTORS: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""The sizes, by today's."""
GROUPS: Final = 16
CERTAIN: Final = 2.13
"""How many standard errors hold 95 % with so many groups: Student's t with 15 degrees of freedom."""
BYTES_ERROR_MOST: Final = 0.05
"""A ratio of bytes that is less certain is not told: a few large assets decide it."""
WINDOW: Final = 200_000
"""After so many sampled requests those before count half."""
MONTH_SECONDS: Final = 30 * 86_400.0
_SPACE: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Point:
    """What is expected of one size of the hot tier; the errors are bounds that hold in 95 of 100 cases.

    `byte_hit_ratio` is None where the sample cannot tell it, and with it what the misses cost a month.
    """

    size: int
    is_today: bool
    hit_ratio: float
    error: float
    byte_hit_ratio: float | None
    byte_error: float | None
    store_dollars: float | None
    disk_dollars: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The curve, and what it was made of: `rate` is the share of all assets that is in the sample."""

    rate: float
    assets: int
    requests: int
    points: Sequence[Point]


class _Sums:
    """By group: requests, hits, their bytes."""

    def __init__(self) -> None:
        self.groups = [[0.0, 0.0, 0.0, 0.0] for _ in range(GROUPS)]

    def add(self, group: int, size: int, times: int, hits: int) -> None:
        sums = self.groups[group]
        sums[0] += times
        sums[1] += hits
        sums[2] += size * times
        sums[3] += size * hits

    def fade(self, share: float) -> None:
        self.groups = [[each * share for each in sums] for sums in self.groups]

    def of_requests(self, expected: float) -> tuple[float, float, float]:
        """Return the hit ratio, its standard error, and by how much it was corrected.

        `expected` is how many requests a fair sample would have had.
        """
        fair = expected / GROUPS
        plain, _ = _ratio([asked for asked, _, _, _ in self.groups], [hits for _, hits, _, _ in self.groups])
        ratio, error = _ratio([fair] * GROUPS, [hits + fair - asked for asked, hits, _, _ in self.groups])
        return ratio, error, abs(ratio - plain)

    def of_bytes(self) -> tuple[float, float]:
        """Return the hit ratio of bytes and its standard error."""
        return _ratio([asked for _, _, asked, _ in self.groups], [hits for _, _, _, hits in self.groups])


def _ratio(asked: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Return the ratio of the sums, and its standard error: jackknife over the groups."""
    total, hits = sum(asked), sum(found)
    if not total:
        return 0.0, 1.0
    without = [
        (hits - mine) / (total - all_mine) if total > all_mine else 0.0
        for all_mine, mine in zip(asked, found, strict=True)
    ]
    mean = sum(without) / GROUPS
    variance = (GROUPS - 1) / GROUPS * sum((each - mean) ** 2 for each in without)
    return min(1.0, max(0.0, hits / total)), math.sqrt(variance)


_LIST_PRICES: Final = Prices()


class Curve:
    """Is fed with reads, in any one thread at a time. `capacity` is today's size of the hot tier, in bytes."""

    def __init__(
        self,
        policy: Callable[[], TierPolicy],
        capacity: int,
        marks: Watermarks,
        *,
        most: int = ASSETS_MOST,
        factors: Sequence[float] = FACTORS,
        prices: Prices = _LIST_PRICES,
    ) -> None:
        self.capacity = capacity
        self._most = most
        self._prices = prices
        self._threshold = _SPACE
        self._assets: dict[int, int] = {}
        """The hash of every asset in the sample, and its number there."""
        self._sizes = [max(1, int(capacity * factor)) for factor in factors]
        self._tiers = [(HotTier(policy(), size, marks), _Sums()) for size in self._sizes]
        self._seen = 0.0
        """The requests that count: those of long ago count less."""
        self._requests = 0.0
        self._bytes = 0.0
        self._first = math.inf
        self._last = -math.inf

    def __repr__(self) -> str:
        return f"<Curve of {len(self._assets)} assets, {self.rate:.2%} of all>"

    @property
    def rate(self) -> float:
        """The share of all assets that is in the sample."""
        return self._threshold / _SPACE

    def record(self, reads: Iterable[tuple[float, str, int, int]]) -> None:
        """Take in reads in their order: when, what names the asset for good, its size, how often."""
        for seconds, asset_id, size, times in reads:
            self._seen += times
            self._requests += times
            self._bytes += size * times
            self._first, self._last = min(self._first, seconds), max(self._last, seconds)
            digest = int.from_bytes(blake2b(asset_id.encode(), digest_size=8).digest(), "big")
            if digest % _SPACE < self._threshold:
                self._take(seconds, digest, size, times)

    def _take(self, seconds: float, digest: int, size: int, times: int) -> None:
        self._assets.setdefault(digest, len(self._assets))
        for tier, sums in self._tiers:
            hit = tier.request(seconds, digest, size)
            hits = hit + (times - 1) * (digest in tier)
            sums.add((digest // _SPACE) % GROUPS, size, times, hits)
        if self._seen >= WINDOW / self.rate:
            self._seen /= 2
            self._fade(0.5)
        if len(self._assets) > self._most:
            self._thin_out()

    def _fade(self, share: float) -> None:
        for _, sums in self._tiers:
            sums.fade(share)

    def _thin_out(self) -> None:
        """Keep three quarters of the assets, and of every size."""
        self._threshold = self._threshold * 3 // 4
        self._fade(0.75)  # What was counted at a higher rate weighs no more than what comes.
        gone = [digest for digest in self._assets if digest % _SPACE >= self._threshold]
        for digest in gone:
            del self._assets[digest]
        for (tier, _), size in zip(self._tiers, self._sizes, strict=True):
            tier.forget(gone)
            tier.resize(max(1, int(size * self.rate)))

    def read(self) -> Reading:
        """Return the curve as it is now."""
        points = [
            self._point(size, sums, is_today=size == self.capacity)
            for size, (_, sums) in zip(self._sizes, self._tiers, strict=True)
        ]
        return Reading(self.rate, len(self._assets), round(self._seen * self.rate), points)

    def _point(self, size: int, sums: _Sums, *, is_today: bool) -> Point:
        certain = CERTAIN * math.sqrt(1.0 - self.rate)  # Who saw all of it knows.
        hits, error, corrected = sums.of_requests(self._seen * self.rate)
        byte_hits, byte_error = sums.of_bytes()
        error, byte_error = min(1.0, error * certain + corrected), min(1.0, byte_error * certain)
        if not self._seen:
            error = byte_error = 1.0
        can_tell = byte_error <= BYTES_ERROR_MOST
        return Point(
            size=size,
            is_today=is_today,
            hit_ratio=hits,
            error=error,
            byte_hit_ratio=byte_hits if can_tell else None,
            byte_error=byte_error if can_tell else None,
            store_dollars=self._dollars(1 - hits, 1 - byte_hits) if can_tell else None,
            disk_dollars=self._prices.of_disk(size),
        )

    def _dollars(self, missed: float, missed_bytes: float) -> float | None:
        """Return what such shares of all reads cost a month, if it goes on as it did; None where that was too short."""
        seconds = self._last - self._first
        if seconds < MONTH_SECONDS / 720:
            return None
        months = seconds / MONTH_SECONDS
        return self._prices.of_reading(self._requests * missed / months, self._bytes * missed_bytes / months)
