"""Measures heat for the index: the policy's arithmetic, with the clock of bytes that it goes by.

Called in the index's thread, where accesses are written; the clock is kept in the index, too, between two lives.
"""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from typing import TYPE_CHECKING, Final

from index.errors import CorruptIndexError
from tiering.policies.heat import HeatPolicy, Preset
from tiering.policy import Reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset

HALF_LIFE_SECONDS: Final = 3 * 86_400.0
"""How fast heat is taken to have faded while nobody counted: for what was used before tierd knew it."""


class Thermometer:
    """A Warming (index/warmth.py). `capacity` is what the hot tier holds, in bytes."""

    def __init__(self, policy: HeatPolicy, *, clock: Callable[[], float]) -> None:
        self.policy = policy
        self.reads = Reads()
        """All reads ever, those of earlier lives included."""
        self.capacity = 0
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Thermometer {self.policy.preset} at {self.reads.volumes:.3f} volumes>"

    def after_access(self, heat: float | None, size: int, times: int, misses: int) -> float:
        """Return the heat after so many reads of an asset, which move the clock."""
        self.reads.add(size, self.capacity, times=times, misses=misses)
        return self.policy.after_access(heat, size=size, seconds=0.0, reads=self.reads, times=times)

    def of_newcomer(self, size: int, last_access: float, times: int) -> float:
        """Return the heat of what has none yet: that of its reads, faded since the last of them."""
        fresh = self.policy.after_access(None, size=size, seconds=0.0, reads=self.reads, times=max(1, times))
        return fresh - math.log(2) * max(0.0, self._clock() - last_access) / HALF_LIFE_SECONDS

    def warmth(self, asset: Asset) -> float:
        """Return as how many accesses just now the asset's heat counts."""
        if asset.heat is None:
            return 0.0
        return self.policy.warmth(asset.heat, size=asset.size, reads=self.reads)

    def expected(self, asset: Asset) -> float:
        """Return how many reads are to be expected within a half-life, if it is asked for as before."""
        return self.warmth(asset) * math.log(2)

    def converter(self, before: HeatPolicy) -> Callable[[float, int], float]:
        """Return what turns heat as another preset has it into heat as ours has it."""

        def convert(heat: float, size: int) -> float:
            warmth = before.warmth(heat, size=size, reads=self.reads)
            return self.policy.of_warmth(warmth, size=size, reads=self.reads)

        return convert


def to_fact(reads: Reads, preset: Preset, *, before: Preset | None = None, row: int = 0) -> str:
    """Return what the index keeps: the clock, the preset by which heat is measured, and how far a change of it is."""
    measured = [reads.volumes, reads.count, reads.size]
    return json.dumps({"reads": measured, "preset": astuple(preset), "before": before and astuple(before), "row": row})


def from_fact(text: str) -> tuple[Reads, Preset, Preset | None, int]:
    """Undo to_fact. Raise CorruptIndexError where the text is not one."""
    try:
        fact = json.loads(text)
        before = fact["before"]
        return Reads(*map(float, fact["reads"])), Preset(*fact["preset"]), before and Preset(*before), int(fact["row"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptIndexError(f"the reading of heat {text!a} makes no sense") from error
