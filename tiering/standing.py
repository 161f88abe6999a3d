"""Where an asset stands in the order in which assets leave, and what would have to happen for it to stay or go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.asset import Asset
    from tiering.thermometer import Thermometer
    from tiering.watermarks import Usage, Watermarks


@dataclass(frozen=True, slots=True)
class Bout:
    """The next time that the watermarks send assets away: after `room` more bytes, `size` bytes in all."""

    room: int
    size: int


@dataclass(frozen=True, slots=True)
class Standing:
    """`rank` assets with `ahead` bytes go before it; `first_spared` is the coldest that the next bout does not reach.

    None where that is too far down the order to be counted.
    """

    rank: int | None = None
    ahead: int = 0
    first_spared: Asset | None = None


def next_bout(usage: Usage, marks: Watermarks) -> Bout:
    """Return what the watermarks will do next."""
    high, low = int(marks.high * usage.capacity), int(marks.low * usage.capacity)
    return Bout(room=max(0, high - usage.used), size=max(high, usage.used) - low)


def said_of_heat(asset: Asset, meter: Thermometer) -> str:
    """Say what the heat is worth."""
    if asset.heat is None:
        return "nobody has asked for it yet"
    policy = meter.policy
    faded = f"half of that is gone after {policy.preset.half_life:g} times the hot tier's size was read from disk"
    return f"its heat is worth {meter.warmth(asset):.3g} reads just now; {faded}"


def said_of_standing(asset: Asset, standing: Standing, bout: Bout | None, meter: Thermometer) -> Iterator[str]:
    """Say who goes before it, whether the next bout reaches it, and what would change that."""
    if standing.rank is None:
        yield "many assets go before it"
        return
    yield f"{standing.rank:,} assets with {standing.ahead:,} bytes on disk go before it"
    if bout is None:
        return
    begins = f"after {bout.room:,} more bytes" if bout.room else "now"
    if standing.ahead >= bout.size:
        yield f"the next bout begins {begins} and frees {bout.size:,} bytes: it does not get so far"
        return
    yield f"the next bout begins {begins} and frees {bout.size:,} bytes, its own among them"
    reads = _reads_to(asset, standing.first_spared, meter)
    if reads is not None:
        yield f"it would be spared if it was read {reads:,} more times by then"


def _reads_to(asset: Asset, other: Asset | None, meter: Thermometer) -> int | None:
    """Return how many reads make it warmer than another; None where there is no other, or heat does not decide."""
    if other is None or other.heat is None or asset.heat is None:
        return None
    wanted = meter.policy.warmth(other.heat, size=asset.size, reads=meter.reads)
    if wanted >= meter.policy.preset.most:
        return None
    return max(1, math.ceil(wanted - meter.warmth(asset)))
