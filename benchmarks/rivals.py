"""Two policies of others, to compare with: they decide by more than an order, so they have their own hot tier."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from tiering.simulation import WARM_UP, Tally

if TYPE_CHECKING:
    from tiering.trace import Trace


class Rival(Protocol):
    """A hot tier of so many bytes."""

    def request(self, asset: int, size: int) -> bool:
        """Return whether the asset was hot."""


class Gdsf:
    """GreedyDual-Size-Frequency: L. Cherkasova, HP Labs HPL-98-69, 1998.

    The value of an asset is how often it was asked for while it was hot, by its size, on top of the value of what left
    last: who is not asked for is overtaken.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._inflation = 0.0
        self._hot: dict[int, tuple[float, int, int]] = {}
        self._queue: list[tuple[float, int]] = []

    def request(self, asset: int, size: int) -> bool:
        """See Rival."""
        found = self._hot.get(asset)
        if found is None:
            if size > self._capacity:
                return False
            while self._used + size > self._capacity:
                self._evict()
            self._used += size
        count = 1 if found is None else found[1] + 1
        value = self._inflation + count / max(size, 1)
        self._hot[asset] = value, count, size
        heapq.heappush(self._queue, (value, asset))
        return found is not None

    def _evict(self) -> None:
        value, asset = heapq.heappop(self._queue)
        if asset in self._hot and self._hot[asset][0] == value:
            self._inflation = value
            self._used -= self._hot.pop(asset)[2]


class S3Fifo:
    """Three queues: J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.

    What is new passes through a small queue; what was asked for again there, or not long after, gets into the main one.
    """

    SMALL: Final = 0.1
    WANTED: Final = 2
    MOST: Final = 3

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._small: OrderedDict[int, int] = OrderedDict()
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghosts: OrderedDict[int, int] = OrderedDict()
        self._counts: dict[int, int] = {}
        self._bytes = {"small": 0, "main": 0, "ghosts": 0}

    def request(self, asset: int, size: int) -> bool:
        """See Rival."""
        if asset in self._counts:
            self._counts[asset] = min(self.MOST, self._counts[asset] + 1)
            return True
        if size > self._capacity:
            return False
        while self._bytes["small"] + self._bytes["main"] + size > self._capacity:
            self._evict()
        if asset in self._ghosts:
            self._bytes["ghosts"] -= self._ghosts.pop(asset)
            self._put("main", self._main, asset, size)
        else:
            self._put("small", self._small, asset, size)
        self._counts[asset] = 0
        return False

    def _put(self, name: str, queue: OrderedDict[int, int], asset: int, size: int) -> None:
        queue[asset] = size
        self._bytes[name] += size

    def _evict(self) -> None:
        if self._small and (self._bytes["small"] > self.SMALL * self._capacity or not self._main):
            self._evict_small()
        else:
            self._evict_main()

    def _evict_small(self) -> None:
        asset, size = self._small.popitem(last=False)
        self._bytes["small"] -= size
        if self._counts[asset] >= self.WANTED:
            self._counts[asset] = 0
            self._put("main", self._main, asset, size)
            return
        del self._counts[asset]
        self._put("ghosts", self._ghosts, asset, size)
        while self._bytes["ghosts"] > (1 - self.SMALL) * self._capacity:
            self._bytes["ghosts"] -= self._ghosts.popitem(last=False)[1]

    def _evict_main(self) -> None:
        asset, size = self._main.popitem(last=False)
        self._bytes["main"] -= size
        if self._counts[asset] > 0:
            self._counts[asset] -= 1
            self._put("main", self._main, asset, size)
        else:
            del self._counts[asset]


def race(trace: Trace, rival: Rival) -> Tally:
    """Return what came of the trace after its warm-up; promotions are not counted."""
    tally, warm = Tally(), int(len(trace) * WARM_UP)
    for number, (asset, size) in enumerate(zip(trace.assets, trace.sizes, strict=True)):
        if number == warm:
            tally = Tally()
        hit = rival.request(asset, size)
        tally.requests += 1
        tally.request_bytes += size
        if not hit:
            tally.misses += 1
            tally.miss_bytes += size
    return tally
