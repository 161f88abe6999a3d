"""A trace of requests: who was asked for when, and how large it was. Read from rows of text, or taken from a daemon."""

from __future__ import annotations

import csv
import math
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER: Final = ("time", "id", "size")
BROKEN_MOST: Final = 20
"""How many broken rows are named; all are counted."""
_LARGEST: Final = 1 << 62


class Trace:
    """Requests in their order: `seconds`, `assets` (numbers from 0 on) and `sizes` in bytes, of one length each."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.assets = array("q")
        self.sizes = array("q")
        self._numbers: dict[str, int] = {}
        self._last_sizes: list[int] = []

    def __repr__(self) -> str:
        return f"<Trace {len(self)} requests for {len(self._last_sizes)} assets>"

    def __len__(self) -> int:
        return len(self.assets)

    @property
    def footprint(self) -> int:
        """The bytes of everything that was asked for, each asset counted once, at its last size."""
        return sum(self._last_sizes)

    def add(self, seconds: float, asset: str, size: int) -> None:
        """Note one request."""
        number = self._numbers.setdefault(asset, len(self._last_sizes))
        if number == len(self._last_sizes):
            self._last_sizes.append(size)
        else:
            self._last_sizes[number] = size
        self.seconds.append(seconds)
        self.assets.append(number)
        self.sizes.append(size)


class Broken:
    """The rows that are none: what is wrong with the first of them, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[str] = []

    def add(self, line: int, wrong: str) -> None:
        """Note one of them."""
        self.count += 1
        if self.count <= BROKEN_MOST:
            self.named.append(f"line {line}: {wrong}")


def read_trace(lines: Iterable[str]) -> tuple[Trace, Broken]:
    """Return what the rows of CSV say and which are broken, each by the line that it begins on.

    The first is the header: raise ValueError where it is not, and csv.Error for what is no CSV at all.
    """
    trace, broken, rows = Trace(), Broken(), csv.reader(lines)
    header = next(rows, [])
    if tuple(name.strip().lower() for name in header) != HEADER:
        raise ValueError(f"line 1: the header should be {','.join(HEADER)}, and is {','.join(header)[:80]!r}")
    line = rows.line_num + 1
    for row in rows:
        try:
            if row:
                trace.add(*_parse(row))
        except ValueError as error:
            broken.add(line, str(error))
        line = rows.line_num + 1
    return trace, broken


def _parse(row: list[str]) -> tuple[float, str, int]:
    if len(row) != len(HEADER):
        raise ValueError(f"it has {len(row)} columns, not {len(HEADER)}")
    seconds, asset, size = (cell.strip() for cell in row)
    if not asset:
        raise ValueError("the id is empty")
    return _seconds(seconds), asset, _size(size)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"the time {text[:40]!r} is no number of seconds")
    return seconds


def _size(text: str) -> int:
    try:
        size = int(text)
    except ValueError:
        size = -1
    if not 0 <= size <= _LARGEST:
        raise ValueError(f"the size {text[:40]!r} is no whole number of bytes")
    return size
