"""The command that tells the daemon what assets are: one by one, or all rows of a file."""

import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_moves import pairs
from daemon.cli_options import Code, asset_path, attempt, options, outcome_of, show_results
from daemon.client import TierdError

TAG: Final = "tag."
FIELD: Final = "field."
"""Fields need it not: it is for who writes them as tags are written."""
_TEXTS: Final = str | int | float


class BadRowError(Exception):
    """A row says nothing that could be registered."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is said about one file. What is not said stays as it is."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)


def register(
    context: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Files beneath the cache root.", metavar="PATH")] = None,
    *,
    kind: Annotated[str | None, typer.Option("--type", help="What they are.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="A field of theirs.", metavar="NAME=VALUE")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of theirs.", metavar="NAME=VALUE")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Register every row of this file.", metavar="FILE.csv|jsonl")
    ] = None,
) -> Code:
    """Say what files are, taking in those that are not known yet.

    A CSV file has a heading with path, type, tag.NAME for tags, and the names of fields; JSON lines are objects with
    path, type, fields and tags. A row that makes no sense is named and skipped.
    """
    given = options(context)
    said = {"type": kind, "fields": pairs(field), "tags": pairs(tag)}
    metadata = {name: value for name, value in said.items() if value}
    if bool(paths) == (source is not None) or (source is not None and metadata):
        raise typer.BadParameter("give paths, with what they are, or --from FILE alone")
    client = given.client()
    rows = _rows(source) if source is not None else iter([Told(path, metadata) for path in paths or ()])
    results = []
    with render.progress("register") as show:
        for number, told in enumerate(rows, start=1):
            if isinstance(told, Told):
                path = asset_path(client, told.path)
                act = client.asset if given.dry_run else partial(client.register, **told.metadata)
                results.append(attempt(partial(act, path), path, "planned" if given.dry_run else "done"))
            else:
                results.append(told)
            show(number, None, f"{number} registered")
    return show_results(given, results)


def _rows(source: Path) -> Iterator[Told | dict[str, Any]]:
    """Yield what each row says; of one that makes no sense, the result."""
    read = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}.get(source.suffix.lower())
    if read is None:
        raise typer.BadParameter(f"{source} is neither FILE.csv nor FILE.jsonl")
    try:
        for number, row in read(source):
            try:
                yield _told(row)
            except BadRowError as error:
                yield outcome_of(f"{source}:{number}", "failed", reason=str(error))
    except OSError as error:
        raise TierdError("file", f"{source} cannot be read: {error.strerror}", "") from error


def _csv_rows(source: Path) -> Iterator[tuple[int, object]]:
    with source.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if "path" not in _heading(reader):
            raise TierdError("file", f"{source} has no column path", "its first line should name the columns")
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                # The next line is read as if nothing had been.
                yield reader.reader.line_num, error
                continue
            if row is None:
                return
            yield reader.line_num, _of_columns(row)


def _heading(reader: "csv.DictReader[str]") -> Collection[str]:
    try:
        return reader.fieldnames or ()
    except csv.Error:
        return ()


def _of_columns(row: dict[str, Any]) -> object:
    """Return a row as a JSON line would have it. None: it has more or fewer cells than the heading."""
    if None in row or None in row.values():
        return None
    said = {name: value for name, value in row.items() if value and name not in {"path", "type"}}
    return {
        "path": row["path"],
        "type": row.get("type") or None,
        "fields": {name.removeprefix(FIELD): value for name, value in said.items() if not name.startswith(TAG)},
        "tags": {name.removeprefix(TAG): value for name, value in said.items() if name.startswith(TAG)},
    }


def _json_rows(source: Path) -> Iterator[tuple[int, object]]:
    with source.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError:
                    yield number, None


def _told(row: object) -> Told:
    if isinstance(row, csv.Error):
        raise BadRowError(str(row))
    if not isinstance(row, dict):
        raise BadRowError("it is not a row of the heading's cells, or not a JSON object")
    unknown = sorted(row.keys() - {"path", "type", "fields", "tags"})
    if unknown:
        raise BadRowError(f"{', '.join(unknown)} should be among its fields")
    path, kind = row.get("path"), row.get("type")
    if not isinstance(path, str) or not path:
        raise BadRowError("it has no path")
    if not isinstance(kind, str | None):
        raise BadRowError("its type is not a word")
    metadata = {"type": kind, "fields": _words(row, "fields"), "tags": _words(row, "tags")}
    return Told(path, {name: value for name, value in metadata.items() if value})


def _words(row: dict[str, Any], name: str) -> dict[str, str]:
    said = row.get(name) or {}
    if not isinstance(said, dict) or not all(isinstance(value, _TEXTS) for value in said.values()):
        raise BadRowError(f"its {name} are not names with texts or numbers")
    return {each: str(value) for each, value in said.items()}
