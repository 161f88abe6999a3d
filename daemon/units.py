"""Durations and sizes as people write them: `500ms`, `30d`, `140 GiB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_MILLISECONDS: Final[dict[str, int]] = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_BYTES: Final[dict[str, int]] = {
    "B": 1,
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), start=1)},
}
_BINARY: Final = ("PiB", "TiB", "GiB", "MiB", "KiB", "B")
_QUANTITY: Final = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,6}))?\s*([A-Za-z]*)")


def parse_duration(text: str) -> timedelta:
    """Return the time that a whole number and one of ms, s, m, h, d, w stand for; `0` needs no unit.

    Raise ValueError for anything else.
    """
    whole, fraction, unit = _split(text)
    if not unit and whole == 0:
        unit = "s"
    if fraction or unit not in _MILLISECONDS:
        raise ValueError(text)
    try:
        return timedelta(milliseconds=whole * _MILLISECONDS[unit])
    except OverflowError:
        raise ValueError(text) from None


def format_duration(duration: timedelta) -> str:
    """Return the duration in the largest unit that says it exactly."""
    milliseconds = duration // timedelta(milliseconds=1)
    for unit, factor in reversed(_MILLISECONDS.items()):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return "0s"


def parse_size(text: str) -> int:
    """Return the bytes that a number and a unit stand for: KiB, MiB … count by 1024, kB, MB … by 1000.

    Raise ValueError for anything else.
    """
    whole, fraction, unit = _split(text)
    if unit not in _BYTES:
        raise ValueError(text)
    return whole * _BYTES[unit] + int(fraction or "0") * _BYTES[unit] // int(f"1{'0' * len(fraction)}")


def format_size(size_bytes: int) -> str:
    """Return the size in the largest binary unit that says it exactly."""
    unit = next(unit for unit in _BINARY if size_bytes % _BYTES[unit] == 0 and (size_bytes or unit == "B"))
    return f"{size_bytes // _BYTES[unit]} {unit}"


def human_size(size_bytes: float) -> str:
    """Return about how much that is, for people to read: `1.4 GiB`."""
    for unit in _BINARY:
        if size_bytes >= _BYTES[unit]:
            figure = size_bytes / _BYTES[unit]
            return f"{figure:.0f} {unit}" if unit == "B" else f"{figure:.1f} {unit}"
    return "0 B"


def _split(text: str) -> tuple[int, str, str]:
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    whole, fraction, unit = found.groups()
    return int(whole), fraction or "", unit
