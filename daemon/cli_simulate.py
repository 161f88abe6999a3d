"""The commands that say what another policy, or another disk, would bring."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from daemon import render
from daemon.cli_options import Code, Options, options
from daemon.cli_settings import prices_of, settings_for
from daemon.client import TierdError
from daemon.plot import Line, plot
from daemon.units import human_size, parse_size
from tiering.policies.age import AgePolicy
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.policy import TierPolicy
from tiering.prices import Prices
from tiering.simulation import Tally
from tiering.simulation import simulate as run
from tiering.trace import Broken, Trace, read_trace
from tiering.watermarks import Watermarks

POLICIES: Final = ("heat", "lru", "age")


@dataclass(frozen=True, slots=True)
class Case:
    """One policy and one size of the hot tier. Only heat has presets."""

    policy: str
    preset: str | None
    size: int

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.policy} {self.preset}" if self.preset else self.policy

    def make(self) -> TierPolicy:
        """Return the daemon's own policy."""
        if self.preset is not None:
            return HeatPolicy(PRESETS[self.preset])
        return LruPolicy() if self.policy == "lru" else AgePolicy()


def _drawable(file: Path | None) -> Path | None:
    """Refuse a place for a picture before anything else takes its time."""
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise typer.BadParameter(f"{file} cannot be written: name a file in a directory that is there")
    return file


PlotFile = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw it, too.", metavar="FILE.svg", readable=False, callback=_drawable),
]


def simulate(
    context: typer.Context,
    trace: Annotated[
        Path | None,
        typer.Argument(help="Requests: time,id,size with a header line.", metavar="TRACE.csv", readable=False),
    ] = None,
    *,
    from_history: Annotated[
        bool, typer.Option("--from-history", help="Take the requests that the daemon remembers.")
    ] = False,
    policy: Annotated[str, typer.Option(help="Which policies.", metavar="P,…")] = "heat,lru,age",
    preset: Annotated[str, typer.Option(help="Which presets of heat.", metavar="P,…")] = "balanced",
    size: Annotated[
        str, typer.Option(help="Sizes of the hot tier; a percentage is of all that was asked for.", metavar="S,…")
    ] = "1%,5%,10%,30%",
    watermarks: Annotated[str, typer.Option(help="Demote above HIGH, down to LOW.", metavar="HIGH/LOW")] = "0.9/0.8",
    admission: Annotated[
        str, typer.Option(help="off: promote all; cut: not what would be the next to go.", metavar="RULE")
    ] = "off",
    plot_file: PlotFile = None,
) -> Code:
    """Say what would have been served from disk: how much, with which policy and how much disk. Needs no daemon."""
    given = options(context)
    marks, cut = _marks(watermarks), _choice("--admission", admission, ("off", "cut")) == "cut"
    kinds = [*_kinds(policy, preset)]
    prices = prices_of(settings_for(given.config, "prices"))
    name, requests, broken = _requests(given, trace, from_history=from_history)
    cases = [Case(*kind, capacity) for capacity in _sizes(size, requests.footprint) for kind in kinds]
    tallies = _tallies(requests, cases, marks, cut=cut)
    results = [_result(name, case, tally, prices) for case, tally in tallies]
    if given.json:
        render.show_json({"results": results})
    else:
        _show(results)
    if plot_file is not None:
        plot_file.write_text(_picture(name, results), encoding="utf-8")
    return _end(name, broken)


def curve(
    context: typer.Context,
    *,
    plot_file: PlotFile = None,
) -> None:
    """Say what more disk would bring, or less, by the reads that the daemon remembers."""
    given = options(context)
    found = given.client().curve()
    if plot_file is not None:
        plot_file.write_text(_curve_picture(found), encoding="utf-8")
    if given.json:
        render.show_json(found)
        return
    columns = ("size", "", "hits", "bytes", "store/month", "disk/month")
    render.show_table(columns, [_curve_row(point) for point in found["points"]])
    render.note(f"from {found['requests']:,} requests for {found['assets']:,} assets, {found['rate']:.1%} of all")


def _curve_row(point: dict[str, Any]) -> tuple[str, ...]:
    return (
        human_size(point["size"]),
        "today" if point["is_today"] else "",
        f"{point['hit_ratio']:.1%} ± {point['error']:.1%}",
        "" if point["byte_hit_ratio"] is None else f"{point['byte_hit_ratio']:.1%} ± {point['byte_error']:.1%}",
        "" if point["store_dollars"] is None else f"{point['store_dollars']:.2f} $",
        f"{point['disk_dollars']:.2f} $",
    )


def _curve_picture(found: dict[str, Any]) -> str:
    points = found["points"]
    hits = [(point["size"], point["hit_ratio"]) for point in points]
    lines = [Line("requests", hits, band=[point["error"] for point in points])]
    if all(point["byte_hit_ratio"] is not None for point in points):
        sizes = [(point["size"], point["byte_hit_ratio"]) for point in points]
        lines.append(Line("bytes", sizes, band=[point["byte_error"] for point in points], dashed=True))
    ticks = [(point["size"], human_size(point["size"]) + ("*" if point["is_today"] else "")) for point in points]
    return plot("Expected hits", lines, x_name="hot tier (* today's)", y_name="hits", ticks=ticks)


def _requests(given: Options, file: Path | None, *, from_history: bool) -> tuple[str, Trace, Broken]:
    if (file is None) is not from_history:
        raise typer.BadParameter("name a trace, or say --from-history, and not both")
    if file is None:
        return "history", _remembered(given), Broken()
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return file.name, *_read(file.name, lines)


def _remembered(given: Options) -> Trace:
    trace = Trace()
    for line in given.client().history():
        for _ in range(line["times"]):
            trace.add(line["time"], str(line["id"]), line["size"])
    if not trace:
        raise TierdError(
            "bad-trace", "the daemon remembers no reads", "reads that go through the daemon are remembered"
        )
    return trace


def _read(name: str, lines: Iterator[str]) -> tuple[Trace, Broken]:
    try:
        trace, broken = read_trace(lines)
    except (ValueError, csv.Error) as error:
        raise TierdError("bad-trace", f"{name}: {error}", "a trace is CSV: time,id,size") from None
    if not trace:
        raise TierdError("bad-trace", f"{name}: there is no request in it", "\n".join(broken.named))
    return trace, broken


def _end(name: str, broken: Broken) -> Code:
    if not broken.count:
        return Code.DONE
    plural = " was" if broken.count == 1 else "s were"
    render.note(f"{name}: {broken.count} broken row{plural} left out")
    for said in broken.named:
        render.note(f"  {said}")
    return Code.PARTLY_FAILED


def _tallies(trace: Trace, cases: Sequence[Case], marks: Watermarks, *, cut: bool) -> Iterator[tuple[Case, Tally]]:
    whole = len(trace) * len(cases)
    with render.progress("simulate") as show:
        for number, case in enumerate(cases):
            told = partial(_tell, show, number * len(trace), whole, f"{case.name} at {human_size(case.size)}")
            yield case, run(trace, case.make(), case.size, marks, cut=cut, told=told)


def _tell(show: render.Progress, before: int, whole: int, text: str, done: int) -> None:
    show(before + done, whole, text)


def _result(name: str, case: Case, tally: Tally, prices: Prices) -> dict[str, Any]:
    return {
        "trace": name,
        "policy": case.policy,
        "preset": case.preset,
        "size_bytes": case.size,
        "object_miss_ratio": tally.object_miss_ratio,
        "byte_miss_ratio": tally.byte_miss_ratio,
        "bytes_promoted": tally.promoted_bytes,
        "bytes_demoted": tally.demoted_bytes,
        "requests": tally.requests,
        "dollars": prices.of_reading(tally.misses, tally.miss_bytes),
    }


def _show(results: Sequence[dict[str, Any]]) -> None:
    columns = ("size", "policy", "preset", "requests missed", "bytes missed", "promoted", "demoted", "dollars")
    rows = [
        (
            human_size(each["size_bytes"]),
            each["policy"],
            each["preset"] or "",
            f"{each['object_miss_ratio']:.2%}",
            f"{each['byte_miss_ratio']:.2%}",
            human_size(each["bytes_promoted"]),
            human_size(each["bytes_demoted"]),
            f"{each['dollars']:.2f}",
        )
        for each in results
    ]
    render.show_table(columns, rows)


def _picture(name: str, results: Sequence[dict[str, Any]]) -> str:
    lines = []
    for kind in dict.fromkeys((each["policy"], each["preset"]) for each in results):
        mine = sorted(
            (each for each in results if (each["policy"], each["preset"]) == kind), key=lambda each: each["size_bytes"]
        )
        label = " ".join(filter(None, kind))
        for key, word, dashed in (("object_miss_ratio", "requests", False), ("byte_miss_ratio", "bytes", True)):
            points = [(max(1, each["size_bytes"]), each[key]) for each in mine]
            lines.append(Line(f"{label}, {word}", points, dashed=dashed))
    sizes = sorted({each["size_bytes"] for each in results})
    ticks = [(max(1, size), human_size(size)) for size in sizes]
    return plot(f"Missed of {name}", lines, x_name="hot tier", y_name="missed", ticks=ticks)


def _kinds(policies: str, presets: str) -> Iterator[tuple[str, str | None]]:
    chosen = [_choice("--preset", each, PRESETS) for each in presets.split(",")]
    for each in policies.split(","):
        name = _choice("--policy", each, POLICIES)
        if name == "heat":
            yield from ((name, preset) for preset in chosen)
        else:
            yield name, None


def _sizes(text: str, footprint: int) -> list[int]:
    return [max(1, _size(each.strip(), footprint)) for each in text.split(",")]


def _size(text: str, footprint: int) -> int:
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", text)
    if share is not None:
        return int(footprint * float(share[1]) / 100)
    try:
        return parse_size(text)
    except ValueError:
        _refuse("--size", text, "sizes as in 10GiB, or percentages as in 5%, with commas between them")


def _marks(text: str) -> Watermarks:
    high, _, low = text.partition("/")
    try:
        marks = Watermarks(float(high), float(low))
    except ValueError:
        marks = Watermarks(0.0, 0.0)
    if not 0 < marks.low <= marks.high <= 1:
        _refuse("--watermarks", text, "HIGH/LOW, shares of the size, as in 0.9/0.8")
    return marks


def _choice(option: str, text: str, allowed: Sequence[str] | dict[str, Any]) -> str:
    if text.strip() not in allowed:
        _refuse(option, text, ", ".join(allowed))
    return text.strip()


def _refuse(option: str, text: str, right: str) -> NoReturn:
    raise typer.BadParameter(f"{json.dumps(text)} should be {right}", param_hint=option)
