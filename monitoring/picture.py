"""Draws dashboard.json without Grafana: `python monitoring/picture.py http://127.0.0.1:9090 30m >dashboard.svg`.

Every panel asks the Prometheus there what Grafana would ask it, and is drawn where dashboard.json has it.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DASHBOARD: Final = Path(__file__).parent / "dashboard.json"
COLUMN, ROW, GAP = 50, 32, 8
"""Of the grid, in pixels."""
LEFT, TOP, BOTTOM, LEGEND = 62, 34, 20, 18
"""What a panel has around its curves."""
POINTS: Final = 100
PATIENCE_SECONDS: Final = 30
COLOURS: Final = (
    "#7cc47f", "#e8c547", "#7fb2e5", "#e8894a", "#d96b6b", "#b58ad6", "#58b7b0", "#d0d0d0", "#c98fa8", "#9aa84f",
)  # fmt: skip
LIGHTS: Final = {"green": "#7cc47f", "red": "#e05252"}
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
BINARY: Final = ("", " KiB", " MiB", " GiB", " TiB", " PiB")
SUFFIXES: Final = {"Bps": "/s", "reqps": "/s", "ops": "/s"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A series: its name, and values by time; what was not a number is left out."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds since the epoch."""

    begin: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end - self.begin) / POINTS)


def curves(url: str, panel: dict[str, Any], span: Span) -> list[Curve]:
    """Return what Prometheus answers to a panel."""
    found = []
    for target in panel["targets"]:
        expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", f"{4 * span.step:.0f}s")
        asked = {"query": expression, "start": span.begin, "end": span.end, "step": span.step}
        with urllib.request.urlopen(  # noqa: S310 - the URL is the caller's own
            f"{url}/api/v1/query_range?{urllib.parse.urlencode(asked)}", timeout=PATIENCE_SECONDS
        ) as answer:
            series = json.load(answer)["data"]["result"]
        found += [Curve(name_of(target["legendFormat"], each["metric"]), numbers(each["values"])) for each in series]
    return found


def name_of(legend: str, labels: dict[str, str]) -> str:
    """Return a series' name, as the panel wants it called."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


def numbers(values: Sequence[tuple[float, str]]) -> list[tuple[float, float]]:
    """Return the values that are some."""
    return [(at, float(value)) for at, value in values if math.isfinite(float(value))]


def written(value: float, unit: str) -> str:
    """Return a figure as a person reads it."""
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit in {"bytes", "Bps"}:
        power = min(len(BINARY) - 1, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
        return f"{value / 1024**power:.3g}{BINARY[power] or ' B'}{SUFFIXES.get(unit, '')}"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "s":
        size, name = max((size, name) for name, size in SECONDS.items() if size <= max(1.0, abs(value)))
        return f"{value / size:.3g} {name}"
    return f"{value:.3g}{SUFFIXES.get(unit, '')}"


def ceiling(value: float, unit: str) -> float:
    """Return a round figure that is not below: of 1, 2, 5 times a power of ten, or of two for bytes."""
    if value <= 0:
        return 1.0
    if unit in {"bytes", "Bps"}:
        return float(2 ** math.ceil(math.log2(value)))
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def words(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = "#c8c9cc") -> str:
    """Return a piece of text."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )


def stat(panel: dict[str, Any], found: list[Curve], width: float, height: float) -> Iterator[str]:
    """Draw one figure, in the colour of its threshold."""
    value = found[0].points[-1][1] if found and found[0].points else math.nan
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    text = written(value, panel["fieldConfig"]["defaults"]["unit"]) if math.isfinite(value) else "no data"
    yield words(width / 2, height / 2 + 24, text, size=30, anchor="middle", fill=LIGHTS[passed[-1]])


def graph(panel: dict[str, Any], found: list[Curve], width: float, height: float, span: Span) -> Iterator[str]:
    """Draw curves over time, with what they are called beneath."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    top = ceiling(max((value for curve in found for _, value in curve.points), default=0.0), unit)
    lines = legend(found, width)
    bottom = height - BOTTOM - LEGEND * len(lines)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - share * (bottom - TOP)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{width - GAP}" y2="{y:.1f}" stroke="#2c3036"/>'
        yield words(LEFT - 6, y + 4, written(share * top, unit) if share else "0", size=11, anchor="end")
    for share in (0.1, 0.5, 0.9):
        at = time.strftime("%H:%M:%S", time.gmtime(span.begin + share * (span.end - span.begin)))
        yield words(LEFT + share * (width - GAP - LEFT), bottom + 15, at, size=11, anchor="middle")
    across, up = (width - GAP - LEFT) / (span.end - span.begin), (bottom - TOP) / top
    for number, curve in enumerate(found):
        points = " ".join(
            f"{LEFT + (at - span.begin) * across:.1f},{bottom - value * up:.1f}" for at, value in curve.points
        )
        yield f'<polyline points="{points}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.5"/>'
    for number, line in enumerate(lines):
        for x, index in line:
            y = height - 8 - LEGEND * (len(lines) - 1 - number)
            yield f'<rect x="{x}" y="{y - 6}" width="12" height="3" fill="{COLOURS[index % len(COLOURS)]}"/>'
            yield words(x + 16, y, found[index].name, size=11)


def legend(found: list[Curve], width: float) -> list[list[tuple[float, int]]]:
    """Return where each name stands: lines of places and numbers."""
    lines: list[list[tuple[float, int]]] = [[]]
    x = float(GAP)
    for number, curve in enumerate(found):
        wide = 30 + 6.2 * len(curve.name)
        if x + wide > width and lines[-1]:
            lines.append([])
            x = float(GAP)
        lines[-1].append((x, number))
        x += wide
    return lines


def drawn(panel: dict[str, Any], url: str, span: Span) -> Iterator[str]:
    """Draw a panel in its place."""
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    yield f'<g transform="translate({place["x"] * COLUMN + GAP / 2:.0f} {place["y"] * ROW + GAP / 2:.0f})">'
    if panel["type"] == "row":
        yield words(4, height - 4, panel["title"], size=15, fill="#ffffff")
    else:
        yield f'<rect width="{width}" height="{height}" rx="3" fill="#1b1e23" stroke="#2c3036"/>'
        yield words(10, 20, panel["title"], size=13, fill="#ffffff")
        found = curves(url, panel, span)
        yield from (
            stat(panel, found, width, height) if panel["type"] == "stat" else graph(panel, found, width, height, span)
        )
    yield "</g>"


def picture(url: str, span: Span) -> str:
    """Return the whole dashboard as an SVG."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    size = f"{24 * COLUMN} {max(each['gridPos']['y'] + each['gridPos']['h'] for each in panels) * ROW}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" role="img">']
    parts += [f"<title>{escape(dashboard['title'])}</title>", '<rect width="100%" height="100%" fill="#111317"/>']
    for panel in panels:
        parts += drawn(panel, url, span)
    return "\n".join([*parts, "</svg>\n"])


def main(url: str, how_long: str = "30m") -> None:
    """Print it."""
    now = time.time()
    sys.stdout.write(picture(url.rstrip("/"), Span(now - int(how_long[:-1]) * SECONDS[how_long[-1]], now)))


if __name__ == "__main__":
    main(*sys.argv[1:])
