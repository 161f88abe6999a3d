"""`tierd top`: how things stand, again and again. What it shows is decided by a pure function of what was answered."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import options
from daemon.client import Client, UnreachableError
from daemon.journal import escape
from daemon.units import human_size

Report = dict[str, Any]

BAR: Final = 40
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_BEGIN, _END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def top(
    context: typer.Context,
    *,
    interval: Annotated[float, typer.Option(min=0.1, help="How long between two looks.", metavar="SECONDS")] = 2.0,
    count: Annotated[int, typer.Option(min=0, help="So many looks; 0: for ever.", metavar="N")] = 0,
) -> None:
    """Say how things stand, again and again, until interrupted."""
    given = options(context)
    client = given.client()
    with _screen() as show:
        for number, glance in enumerate(_looks(client), 1):
            if given.json:
                render.show_json(glance)
            else:
                show(lines(glance))
            if number == count:
                break
            time.sleep(interval)


def _looks(client: Client) -> Iterator[Report]:
    """Yield what is answered each time. A daemon that answered once may be started anew; then it is waited for."""
    answered = False
    while True:
        try:
            glance = client.glance()
        except UnreachableError:
            if not answered:
                raise
            time.sleep(1)
            continue
        answered = True
        yield glance


def lines(glance: Report) -> list[str]:
    """Return what is shown: whether data are safe first, then hits and tiers, then what moves and what is wrong."""
    status = glance["status"]
    disk, store, brake, scrub = (status[name] for name in ("disk", "store", "brake", "scrub"))
    states = [f"{state} {number}" for state, number in status["assets"].items() if number]
    shown = [
        ("safe", _safety(status)),
        ("store", store["url"] if store["reachable"] else f"NOT REACHABLE: {store['reason']}"),
        *([("doubted", scrub["doubt"])] if scrub["doubt"] else []),
        *([("brake", f"ENGAGED: {brake['reason']}: tierd resume")] if brake["engaged"] else []),
        ("hits", _hits(status["rates"]["hit_ratios"])),
        ("disk", _bar(disk)),
        ("uploads", _uploads(status)),
        ("assets", ", ".join(states) or "none"),
    ]
    found = [f"{name:<8} {escape(value)}" for name, value in shown]
    for title, rows in (
        ("moving", map(_transfer, glance["transfers"])),
        ("read most", map(_wanted, glance["read"])),
        ("missed most", map(_wanted, glance["missed"])),
        ("trouble", map(_incident, glance["trouble"])),
    ):
        listed = list(rows)
        found += ["", f"{title}:", *listed] if listed else []
    return found


def _safety(status: Report) -> str:
    queue, assets = status["queue"], status["assets"]
    parts = ["everything has a proven remote copy"]
    if queue["unprotected_bytes"]:
        age = _age(queue["oldest_unprotected_seconds"] or 0)
        parts = [f"{human_size(queue['unprotected_bytes'])} unprotected, the oldest for {age}"]
    parts += [f"{assets[state]} {state.upper()}" for state in ("stuck", "damaged") if assets.get(state)]
    return ", ".join(parts)


def _bar(disk: Report) -> str:
    """Return the room that is used, as a bar with a mark at each watermark."""
    share = disk["used"] / disk["limit"] if disk["limit"] else 0.0
    cells = ["#" if number < share * BAR else "." for number in range(BAR)]
    for mark in (disk["low"], disk["high"]):
        cells[min(BAR - 1, int(mark * BAR))] = "|"
    full = ", FULL" if disk["full"] else ""
    return f"[{''.join(cells)}] {share:.0%} of {human_size(disk['limit'])}, {human_size(disk['free'])} free{full}"


def _uploads(status: Report) -> str:
    queue, rate = status["queue"], status["rates"]["upload_bytes_per_second"]
    said = f"{queue['uploading']} under way, {queue['waiting']} waiting, {human_size(rate)}/s"
    left = f", about {_age(queue['unprotected_bytes'] / rate)} left" if rate and queue["unprotected_bytes"] else ""
    return f"{said}{left}; promotions: {queue['promoting']}"


def _hits(ratios: Report) -> str:
    """Return the share of hits in each window."""
    return ", ".join(f"{window} {'-' if ratio is None else f'{ratio:.1%}'}" for window, ratio in ratios.items())


def _transfer(transfer: Report) -> str:
    size, rate, left = (transfer[name] for name in ("size", "bytes_per_second", "seconds_left"))
    share = f"{transfer['done'] / size:.0%}" if size else "-"
    pace = "" if left is None else f"  {human_size(rate)}/s, {_age(left)} left"
    return f"  {transfer['direction']:<9} {share:>4} of {human_size(size):>9}  {escape(transfer['path'])}{pace}"


def _wanted(wanted: Report) -> str:
    return f"  {wanted['times']:>9}  {escape(wanted['path'])}"


def _incident(incident: Report) -> str:
    about = "" if incident["path"] is None else f"{incident['path']}: "
    times = f" ({incident['times']} times)" if incident["times"] > 1 else ""
    return f"  {escape(about + incident['what'])}{times}: {incident['remedy']}"


def _age(seconds: float) -> str:
    """Return about how long that is."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextmanager
def _screen() -> Iterator[Any]:
    """Give what shows lines: in place on a terminal, which is given back as it was; one after the other elsewhere."""
    if not sys.stdout.isatty():
        yield _print
        return
    sys.stdout.write(_BEGIN)
    try:
        yield _paint
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()


def _print(shown: Sequence[str]) -> None:
    for line in shown:
        render.show_line(line)
    render.show_line("")
    sys.stdout.flush()


def _paint(shown: Sequence[str]) -> None:
    size = os.get_terminal_size(sys.stdout.fileno())
    head = f"tierd  {time.strftime('%H:%M:%S')}  Ctrl-C ends"
    fitting = [line[: size.columns] for line in (head, "", *shown)][: size.lines]
    sys.stdout.write(_HOME + f"{_CLEAR_LINE}\n".join(fitting) + _CLEAR_LINE + _CLEAR_REST)
    sys.stdout.flush()
