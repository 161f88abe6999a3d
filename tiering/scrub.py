"""What is looked at again, and how often: figures only, so that work is spread evenly and survives a restart.

Every cold object is asked for within a week, a thousandth of them is read back in a day, and every hot file is hashed
within a month. What was missed while tierd was down is not made up for in a rush.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.asset import AssetId

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
MONTH: Final = 30 * DAY
ROUND_SECONDS: Final = 60.0
"""How often there is a look at what is due."""
REST: Final = WEEK * 3 / 4
"""How long a cold asset is left alone. The last quarter of the week is for looking at it."""
SAMPLE: Final = 1_000
"""One cold asset in so many is read back in a day, and at least one."""


def looks_a_round(cold: int) -> int:
    """Return how many of `cold` assets are asked for at most in a round, for all to be done in a quarter of a week."""
    return math.ceil(cold * ROUND_SECONDS / (WEEK - REST))


def read_back_interval(cold: int) -> float:
    """Return the seconds from one read-back to the next."""
    return DAY / math.ceil(cold / SAMPLE) if cold else DAY


def hash_interval(hot: int) -> float:
    """Return the seconds from one hashed file to the next."""
    return MONTH / hot if hot else MONTH


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a walk through all assets of a kind is, round and round: `after` was the last, and due at `at`."""

    at: float = 0.0
    after: AssetId | str = ""

    def due(self, *, interval: float, now: float) -> int:
        """Return how many are due: what came due in the last round, or one that is due for longer."""
        most = max(1, math.ceil(ROUND_SECONDS / interval))
        # A walk that was never begun, or that is ahead of a clock that was set back, begins now.
        waited = now - self.at if 0 < self.at <= now else interval
        return min(int(waited / interval), most)

    def __str__(self) -> str:
        return f"{self.at} {self.after}"

    @classmethod
    def read(cls, text: str | None) -> Walk:
        """Return the walk that was written down, if one was."""
        at, _, after = (text or "0 ").partition(" ")
        return cls(float(at), after)
