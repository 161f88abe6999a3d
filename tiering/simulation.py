"""What a policy would have done with a trace of requests: the daemon's own, on a hot tier that is only counted.

Nothing here knows of pins, leases, times of residence or files. A request finds its asset hot or not. What is not is
promoted, once room is made for it as the daemon makes it: the coldest leave, from the high mark down to the low one.
What is larger than the hot tier passes through.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.policy import Reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiering.policy import TierPolicy
    from tiering.trace import Trace
    from tiering.watermarks import Watermarks

WARM_UP: Final = 0.2
"""The share of the requests that is not counted: an empty disk says nothing about a full one."""
TOLD_EVERY: Final = 1 << 16
_TICK: Final = 1e-6
"""Requests of the same moment follow one another: an order by time must know which was first."""


@dataclass(slots=True)
class Tally:
    """What was asked for and what became of it, after the warm-up."""

    requests: int = 0
    request_bytes: int = 0
    misses: int = 0
    miss_bytes: int = 0
    promotions: int = 0
    promoted_bytes: int = 0
    demotions: int = 0
    demoted_bytes: int = 0

    @property
    def object_miss_ratio(self) -> float:
        """Misses among the requests."""
        return self.misses / self.requests if self.requests else 0.0

    @property
    def byte_miss_ratio(self) -> float:
        """Bytes missed among the bytes that were asked for."""
        return self.miss_bytes / self.request_bytes if self.request_bytes else 0.0


class HotTier:
    """Which assets are hot, by number; `capacity` is in bytes. `cut`: promote only what would not be the next to go."""

    def __init__(self, policy: TierPolicy, capacity: int, marks: Watermarks, *, cut: bool = False) -> None:
        self.tally = Tally()
        self.used = 0
        self._policy = policy
        self._capacity = capacity
        self._marks = marks
        self._high, self._low = marks.high * capacity, marks.low * capacity
        self._cut = cut
        self._floor: float | None = None
        """The key of what was demoted last."""
        self._keys: dict[int, float] = {}
        self._hot: dict[int, int] = {}
        """The size with which each hot asset is counted."""
        self._queue: list[tuple[float, int]] = []
        """Every hot asset, with a key that it had: at the head it is looked up again, as most never get there."""
        self._seconds = float("-inf")
        self._reads = Reads()

    def __len__(self) -> int:
        return len(self._hot)

    def __contains__(self, asset: int) -> bool:
        return asset in self._hot

    def resize(self, capacity: int) -> None:
        """Have so many bytes from now on; what is too much goes with the next that needs room."""
        self._capacity = capacity
        self._high, self._low = self._marks.high * capacity, self._marks.low * capacity

    def forget(self, assets: Iterable[int]) -> None:
        """Know nothing of these any more."""
        for asset in assets:
            self._keys.pop(asset, None)
            if asset in self._hot:
                self._leave(asset)
        self._queue = [(self._keys[asset], asset) for asset in self._hot]
        heapq.heapify(self._queue)

    def request(self, seconds: float, asset: int, size: int) -> bool:
        """Return whether the asset was hot; it is now, unless it cannot be."""
        tally, keys = self.tally, self._keys
        self._seconds = seconds = max(seconds, self._seconds + _TICK)
        known = self._hot.get(asset)
        self._reads.add(size, self._capacity, misses=known is None)
        key = self._policy.after_access(keys.get(asset), size=size, seconds=seconds, reads=self._reads)
        keys[asset] = key
        tally.requests += 1
        tally.request_bytes += size
        if known is not None:
            if known != size:
                self._resize(asset, size, key)
            return True
        tally.misses += 1
        tally.miss_bytes += size
        if not (self._cut and self._floor is not None and key < self._floor):
            self._promote(asset, size, key)
        return False

    def _promote(self, asset: int, size: int, key: float) -> None:
        if size > self._capacity:
            return
        if self.used + size > self._high:
            self._make_room(self._low - size)
        if self.used + size > self._capacity:
            return
        self._hot[asset] = size
        self.used += size
        heapq.heappush(self._queue, (key, asset))
        self.tally.promotions += 1
        self.tally.promoted_bytes += size

    def _resize(self, asset: int, size: int, key: float) -> None:
        """Its owner wrote it anew, on disk: what is too much by that goes with the next that needs room."""
        self.used += size - self._hot[asset]
        self._hot[asset] = size
        heapq.heappush(self._queue, (key, asset))

    def _make_room(self, goal: float) -> None:
        """Demote the coldest until no more than `goal` bytes are used, or nothing is left."""
        queue, keys = self._queue, self._keys
        while queue and self.used > goal:
            key, asset = queue[0]
            if asset not in self._hot or keys[asset] < key:
                heapq.heappop(queue)
            elif keys[asset] > key:
                heapq.heapreplace(queue, (keys[asset], asset))
            else:
                heapq.heappop(queue)
                self._floor = key
                self.tally.demotions += 1
                self.tally.demoted_bytes += self._leave(asset)

    def _leave(self, asset: int) -> int:
        size = self._hot.pop(asset)
        self.used -= size
        return size


def simulate(
    trace: Trace,
    policy: TierPolicy,
    capacity: int,
    marks: Watermarks,
    *,
    cut: bool = False,
    told: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Return what came of the trace after its warm-up; `told` hears now and then how many requests are done."""
    tier = HotTier(policy, capacity, marks, cut=cut)
    request, warm = tier.request, int(len(trace) * WARM_UP)
    for start in range(0, len(trace), TOLD_EVERY):
        stop = min(start + TOLD_EVERY, len(trace))
        for number in range(start, stop):
            if number == warm:
                tier.tally = Tally()
            request(trace.seconds[number], trace.assets[number], trace.sizes[number])
        told(stop)
    return tier.tally
