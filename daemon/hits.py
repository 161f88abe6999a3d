"""How often what was asked for was there, lately: a ring of minutes, which costs the same however busy a day was."""

from __future__ import annotations

from typing import Final

WINDOWS: Final = {"5m": 5, "1h": 60, "24h": 1440}
"""Minutes."""
_RING: Final = max(WINDOWS.values())
_MINUTE: Final = 60.0


class Hits:
    """Hits and misses of the last day, by minute. Times are of a monotonic clock, in seconds."""

    def __init__(self, *, now: float) -> None:
        self._hits = [0] * _RING
        self._misses = [0] * _RING
        self._minute = int(now / _MINUTE)

    def __repr__(self) -> str:
        return f"<Hits {sum(self._hits)} of {sum(self._hits) + sum(self._misses)}>"

    def add(self, result: str, *, now: float) -> None:
        """Count a request; what is neither `hit` nor `miss` says nothing of the disk."""
        self._turn(now)
        if result == "hit":
            self._hits[self._minute % _RING] += 1
        elif result == "miss":
            self._misses[self._minute % _RING] += 1

    def ratios(self, now: float) -> dict[str, float | None]:
        """Return the share of hits in each window, the minute that runs included; None where nobody asked."""
        self._turn(now)
        return {name: self._ratio(minutes) for name, minutes in WINDOWS.items()}

    def _ratio(self, minutes: int) -> float | None:
        last = [(self._minute - back) % _RING for back in range(minutes)]
        hits, misses = sum(self._hits[each] for each in last), sum(self._misses[each] for each in last)
        return hits / (hits + misses) if hits + misses else None

    def _turn(self, now: float) -> None:
        """Empty the minutes that have passed since somebody last looked."""
        minute = int(now / _MINUTE)
        if minute <= self._minute:
            return
        for passed in range(max(self._minute, minute - _RING) + 1, minute + 1):
            self._hits[passed % _RING] = self._misses[passed % _RING] = 0
        self._minute = minute
