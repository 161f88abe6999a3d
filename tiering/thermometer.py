"""Measures heat for the index: the policy's arithmetic, with the clock of bytes that it goes by.

Called in the index's thread, where accesses are written; the clock is kept in the index, too, between two lives.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

from index.errors import CorruptIndexError
from tiering.policies.heat import HeatPolicy, Preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset

HALF_LIFE_SECONDS: Final = 3 * 86_400.0
"""How fast heat is taken to have faded while nobody counted: for what was used before tierd knew it."""


class Thermometer:
    """A Warming (index/warmth.py). `capacity` is what the hot tier holds, in bytes."""

    def __init__(self, policy: HeatPolicy, *, clock: Callable[[], float], volumes: float = 0.0) -> None:
        self.policy = policy
        self.volumes = volumes
        """How often the bytes that fit into the hot tier were read, ever."""
        self.capacity = 0
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Thermometer {self.policy.preset} at {self.volumes:.3f} volumes>"

    def after_access(self, heat: float | None, size: int, times: int) -> float:
        """Return the heat after so many reads of an asset, which move the clock."""
        self.volumes += size * times / max(self.capacity, size, 1)
        return self.policy.after_access(heat, size=size, seconds=0.0, volumes=self.volumes, times=times)

    def of_newcomer(self, size: int, last_access: float, times: int) -> float:
        """Return the heat of what has none yet: that of its reads, faded since the last of them."""
        fresh = self.policy.after_access(None, size=size, seconds=0.0, volumes=self.volumes, times=max(1, times))
        return fresh - math.log(2) * max(0.0, self._clock() - last_access) / HALF_LIFE_SECONDS

    def warmth(self, asset: Asset) -> float:
        """Return as how many accesses just now the asset's heat counts."""
        if asset.heat is None:
            return 0.0
        return self.policy.warmth(asset.heat, size=asset.size, volumes=self.volumes)

    def converter(self, before: HeatPolicy) -> Callable[[float, int], float]:
        """Return what turns heat as another preset has it into heat as ours has it."""

        def convert(heat: float, size: int) -> float:
            warmth = before.warmth(heat, size=size, volumes=self.volumes)
            return self.policy.of_warmth(warmth, size=size, volumes=self.volumes)

        return convert


def to_fact(volumes: float, preset: Preset, *, before: Preset | None = None, row: int = 0) -> str:
    """Return what the index keeps: the clock, the preset by which heat is measured, and how far a change of it is."""
    return json.dumps(
        {"volumes": volumes, "preset": _figures(preset), "before": before and _figures(before), "row": row}
    )


def from_fact(text: str) -> tuple[float, Preset, Preset | None, int]:
    """Undo to_fact. Raise CorruptIndexError where the text is not one."""
    try:
        fact = json.loads(text)
        before = fact["before"]
        return float(fact["volumes"]), Preset(*fact["preset"]), before and Preset(*before), int(fact["row"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptIndexError(f"the reading of heat {text!a} makes no sense") from error


def _figures(preset: Preset) -> list[float]:
    return [preset.alpha, preset.half_life, preset.first]
