"""Curves as SVG: a few lines on two axes, drawn without a library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WIDTH: Final = 720
HEIGHT: Final = 420
LEFT, RIGHT, TOP, BOTTOM = 64, 210, 40, 56
COLOURS: Final = ("#0b6e99", "#d9730d", "#4d6461", "#ad1a72", "#448361", "#6940a5", "#9f6b53", "#37352f")
_TICKS: Final = 5
_OPENING: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    ' font-size="12" role="img">'
)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: points of x > 0 and y from 0 to 1; `band`, where there is one, is the error of each."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[float] = ()
    dashed: bool = False


def plot(title: str, lines: Sequence[Line], *, x_name: str, y_name: str, ticks: Sequence[tuple[float, str]]) -> str:
    """Return a picture with a logarithmic x axis; `ticks` are values on it and what is written there."""
    return "\n".join(
        [
            _OPENING,
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            _text(LEFT, 22, title, size=15),
            *_Axes([tick for tick, _ in ticks]).draw(lines, ticks, x_name=x_name, y_name=y_name),
            "</svg>\n",
        ]
    )


class _Axes:
    def __init__(self, values: Iterable[float]) -> None:
        logs = [math.log(value) for value in values]
        self._low, self._high = min(logs), max(logs)

    def draw(
        self, lines: Sequence[Line], ticks: Sequence[tuple[float, str]], *, x_name: str, y_name: str
    ) -> Iterator[str]:
        for step in range(_TICKS + 1):
            share = step / _TICKS
            yield _rule(LEFT, self.y(share), WIDTH - RIGHT, self.y(share))
            yield _text(LEFT - 8, self.y(share) + 4, f"{share:.0%}", anchor="end")
        for value, name in ticks:
            yield _text(self.x(value), HEIGHT - BOTTOM + 18, name, anchor="middle")
        yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name, anchor="middle")
        yield _text(LEFT, TOP - 6, y_name)
        for number, line in enumerate(lines):
            yield from self._line(line, COLOURS[number % len(COLOURS)], number)

    def x(self, value: float) -> float:
        span = self._high - self._low
        share = (math.log(value) - self._low) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, share: float) -> float:
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def _line(self, line: Line, colour: str, number: int) -> Iterator[str]:
        if line.band:
            yield self._band(line, colour)
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in line.points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        for x, y in line.points:
            yield f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3" fill="{colour}"/>'
        row = TOP + 18 * number
        right = WIDTH - RIGHT + 16
        yield (
            f'<line x1="{right}" y1="{row}" x2="{right + 18}" y2="{row}" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        yield _text(right + 24, row + 4, line.name)

    def _band(self, line: Line, colour: str) -> str:
        widths = list(zip(line.points, line.band, strict=True))
        upper = [(x, min(1.0, y + error)) for (x, y), error in widths]
        lower = [(x, max(0.0, y - error)) for (x, y), error in reversed(widths)]
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in upper + lower)
        return f'<polygon points="{points}" fill="{colour}" opacity="0.15"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e3e2e0"/>'
