"""Which assets are read most, and which are missed most, lately: counted in memory, within bounds, for people."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import RelPath

HALF_DAY: Final = 43_200.0
"""Seconds after which what was counted before is forgotten: one looks back half a day at least, a day at most."""
MOST: Final = 1024
"""So many assets are counted at once; then those that were asked for most often are kept."""
KEPT: Final = 256
SHOWN: Final = 10


@dataclass(slots=True)
class _Counts:
    """How often each was read, and how often that had to wait for the store."""

    read: dict[RelPath, int] = field(default_factory=dict)
    missed: dict[RelPath, int] = field(default_factory=dict)


class Demand:
    """Counts requests by asset. What is forgotten to stay within bounds makes a count too low, never too high."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._now, self._before = _Counts(), _Counts()

    def __repr__(self) -> str:
        return f"<Demand for {len(self._now.read)} assets>"

    def asked(self, path: RelPath, result: str) -> None:
        """Count a request that ended as `hit` or `miss`; an error is nobody's reading."""
        self._turn()
        if result in {"hit", "miss"}:
            _count(self._now.read, path)
        if result == "miss":
            _count(self._now.missed, path)

    def most_read(self) -> list[tuple[RelPath, int]]:
        """Return what was asked for most often, and how often, the most wanted first."""
        self._turn()
        return _most(self._now.read, self._before.read)

    def most_missed(self) -> list[tuple[RelPath, int]]:
        """Return what was most often not there when it was asked for."""
        self._turn()
        return _most(self._now.missed, self._before.missed)

    def _turn(self) -> None:
        passed = self._clock() - self._since
        if passed >= HALF_DAY:
            self._before = self._now if passed < 2 * HALF_DAY else _Counts()
            self._now = _Counts()
            self._since = self._clock()


def _count(counts: dict[RelPath, int], path: RelPath) -> None:
    counts[path] = counts.get(path, 0) + 1
    if len(counts) > MOST:
        kept = heapq.nlargest(KEPT, counts.items(), key=lambda each: each[1])
        counts.clear()
        counts.update(kept)


def _most(now: dict[RelPath, int], before: dict[RelPath, int]) -> list[tuple[RelPath, int]]:
    both = {path: now.get(path, 0) + before.get(path, 0) for path in {**now, **before}}
    return heapq.nsmallest(SHOWN, both.items(), key=lambda each: (-each[1], each[0]))
