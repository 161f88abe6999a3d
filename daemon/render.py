"""What the command line shows: tables for people on a terminal, plain lines for pipes, JSON for programs.

Data go to stdout, everything else to stderr. rich is imported only where a terminal wants it.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from daemon.journal import escape
from daemon.units import human_size

PLAIN_SECONDS: Final = 10.0
"""How often work that takes long says so where there is no terminal."""
_METADATA: Final = ("type", "fields", "tags")
_FORMATS: Final = {"mode": "04o", "regret": ".2f"}
_MOMENTS: Final = frozenset({"last_access", "at", "mtime"})


class Progress(Protocol):
    """Is told how far work is."""

    def __call__(self, done: float, total: float | None = None, text: str = "") -> None:
        """Show it."""


def show_json(document: object) -> None:
    """Print one document, or one line of many."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: aligned on a terminal; tab-separated and without a heading elsewhere."""
    cells = ([escape("" if cell is None else str(cell)) for cell in row] for row in rows)
    if not sys.stdout.isatty():
        for row in cells:
            show_line("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415 - takes long, and only terminals need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in cells:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print what is called how, one a line."""
    shown = [(name, escape("" if value is None else str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        show_line(f"{name:<{width}}  {value}".rstrip())


def show_line(text: str) -> None:
    """Print a line of data."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something that is not data."""
    sys.stderr.write("\n".join(map(escape, text.split("\n"))) + "\n")
    sys.stderr.flush()


def show_results(results: Sequence[dict[str, Any]]) -> None:
    """Print what became of each asset."""
    planned = any(result.get("regret") is not None for result in results)
    columns = ("path", "outcome", "state", "size", *(("regret",) if planned else ()), "reason")
    show_table(columns, ([cell(name, result.get(name)) for name in columns] for result in results))


def show_assets(assets: Iterable[dict[str, Any]], *, metadata: bool = False) -> None:
    """Print assets, one a line."""
    columns = ("path", "state", "size", "pinned", "last_access", *(_METADATA if metadata else ()))
    show_table(columns, ([cell(name, asset.get(name)) for name in columns] for asset in assets))


def cell(name: str, value: Any) -> object:  # noqa: ANN401 - whatever JSON says
    """Return one value of an asset as people read it, by what it is called."""
    if name == "size":
        return human_size(value) if value is not None and sys.stdout.isatty() else value
    if name in _MOMENTS:
        return moment(value)
    if isinstance(value, dict):
        return " ".join(f"{key}={word}" for key, word in value.items())
    if name in _FORMATS and value is not None:
        return format(value, _FORMATS[name])
    if isinstance(value, bool):
        return name if value else ""
    return value


def moment(seconds: float | None) -> str:
    """Return a time as people here write it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Give what shows how far work is: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines(label)
        return
    from rich.console import Console  # noqa: PLC0415 - takes long, and only terminals need it
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, text="")
        yield lambda done, total=None, text="": bar.update(task, completed=done, total=total, text=escape(text))


class _Lines:
    def __init__(self, label: str) -> None:
        self._label = label
        self._said = time.monotonic()

    def __call__(self, done: float, total: float | None = None, text: str = "") -> None:
        if time.monotonic() - self._said >= PLAIN_SECONDS:
            self._said = time.monotonic()
            note(f"{self._label}: {text or done}{f' of {total}' if total and not text else ''}")
