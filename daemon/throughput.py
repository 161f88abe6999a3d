"""How fast bytes went lately: a ring of seconds, so that the answer costs the same however much happened."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 60
"""Seconds."""


class Throughput:
    """Bytes per second over the last minute. Times are of a monotonic clock, in seconds."""

    def __init__(self, *, now: float) -> None:
        self._bytes = [0.0] * WINDOW
        self._second = int(now)

    def __repr__(self) -> str:
        return f"<Throughput {self.rate(self._second):.0f} B/s>"

    def add(self, size: int, seconds: float, *, now: float) -> None:
        """Count bytes that went evenly over the `seconds` up to `now`; what lies before the window is left out."""
        self._turn(now)
        whole = max(seconds, 1e-6)
        begin = now - whole
        for second in range(max(int(begin), self._second - WINDOW + 1), self._second + 1):
            part = min(second + 1, now) - max(second, begin)
            self._bytes[second % WINDOW] += size * max(part, 0.0) / whole

    def rate(self, now: float) -> float:
        """Return the bytes per second of the minute that ends with this second."""
        self._turn(now)
        return sum(self._bytes) / WINDOW

    def _turn(self, now: float) -> None:
        """Empty the seconds that have passed since somebody last looked."""
        second = int(now)
        for passed in range(max(self._second, second - WINDOW) + 1, second + 1):
            self._bytes[passed % WINDOW] = 0.0
        self._second = max(self._second, second)
