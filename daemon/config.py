"""Loading the settings: the file's, overridden by the environment, checked as a whole.

An unknown key, a wrong type or a contradiction is refused before anything starts, with the file, the key, what is wrong
and what would be right; all problems are reported at once. Credentials have no key.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from daemon import fields
from daemon.contradictions import find_contradictions
from daemon.settings import Settings
from daemon.sources import (
    ConfigError,
    Override,
    Problem,
    base_directory,
    find_file,
    read_file,
    read_overrides,
    variable_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["ConfigError", "Settings", "load"]

_TABLES: Final = Settings.tables()
_VARIABLES: Final = {
    variable_name(table, key): (table, key) for table, model in _TABLES.items() for key in model.model_fields
}
_SECRETIVE: Final = re.compile("secret|passw|token|credential|(access|api|private|account)_?key", re.IGNORECASE)
_SHOWN: Final = 60
"""How much of a wrong value is worth showing."""


def load(named: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings that hold for the daemon: the file's, overridden by the environment, checked.

    Raise ConfigError with everything that is wrong.
    """
    settings, problems = judge(find_file(named, environ), environ)
    if problems:
        raise ConfigError(problems)
    return settings


def judge(file: Path | None, environ: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Return the settings, with defaults where a value is wrong, and everything that is wrong.

    Raise ConfigError where the file cannot be read at all.
    """
    written = read_file(file) if file else {}
    overrides, strangers = _read_overrides(environ)
    settings, wrong = _validate(_merge(written, overrides), file)
    wrong_keys = {problem.key for problem in wrong}
    contradictions = [
        Problem(_origin(found.keys[0], file, environ), found.keys[0], found.wrong, found.right)
        for found in find_contradictions(settings)
        if wrong_keys.isdisjoint(found.keys)
    ]
    return settings, [*strangers, *wrong, *contradictions]


def _read_overrides(environ: Mapping[str, str]) -> tuple[dict[str, dict[str, Override]], list[Problem]]:
    """Return what the environment says, by table and key, and the variables that say nothing."""
    values: dict[str, dict[str, Override]] = {}
    problems: list[Problem] = []
    for name, value in sorted(read_overrides(environ).items()):
        if name in _VARIABLES:
            table, key = _VARIABLES[name]
            values.setdefault(table, {})[key] = value
        elif _SECRETIVE.search(name):
            problems.append(Problem(name, "", "looks like a credential", fields.NO_CREDENTIALS))
        else:
            problems.append(Problem(name, "", "no key has this variable", _suggest(name, _VARIABLES)))
    return values, problems


def _merge(written: Mapping[str, object], overrides: Mapping[str, dict[str, Override]]) -> dict[str, Any]:
    tables: dict[str, Any] = dict(written)
    for name, values in overrides.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            continue
        if "url" in values:  # the provider was said of another URL
            table = {key: value for key, value in table.items() if key != "provider"}
        tables[name] = table | values
    return tables


def _validate(tables: dict[str, Any], file: Path | None) -> tuple[Settings, list[Problem]]:
    """Return the settings, with defaults where a value is wrong, and what is wrong."""
    base = base_directory(file)
    try:
        return Settings.model_validate(tables, context=base), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems = [_problem(error, file) for error in found]
    for location in (error["loc"] for error in found):
        _drop(tables, location)
    return Settings.model_validate(tables, context=base), problems


def _drop(tables: dict[str, Any], location: tuple[int | str, ...]) -> None:
    section, *key = map(str, location)
    if key:
        tables[section] = {name: value for name, value in tables[section].items() if name != key[0]}
    else:
        tables.pop(section, None)


def _problem(error: ErrorDetails, file: Path | None) -> Problem:
    section, *rest = map(str, error["loc"])
    key = ".".join((section, *rest))
    where = _describe(file)
    value = error["input"]
    if isinstance(value, Override):
        where = variable_name(section, rest[0])
    if error["type"] == "extra_forbidden" and rest[1:]:
        return Problem(where, key, "unknown key", "leave it out")
    if error["type"] == "extra_forbidden":
        return _unknown_key(where, section, rest)
    if error["type"] == "model_type":
        return Problem(where, key, f"is {_shorten(value)}", f"should be a table: [{section}]")
    right = error["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("Value ")
    hidden = error["type"] == fields.CREDENTIALS
    return Problem(where, key, "carries credentials" if hidden else f"is {_shorten(value)}", right)


def _unknown_key(where: str, section: str, rest: list[str]) -> Problem:
    name = rest[0] if rest else section
    known = _TABLES[section].model_fields if rest else _TABLES
    key = ".".join((section, *rest[:1]))
    if _SECRETIVE.search(name):
        return Problem(where, key, "looks like a credential", fields.NO_CREDENTIALS)
    return Problem(where, key, "unknown key" if rest else "unknown table", _suggest(name, known))


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _origin(key: str, file: Path | None, environ: Mapping[str, str]) -> str:
    variable = variable_name(*key.split("."))
    return variable if variable in environ else _describe(file)


def _describe(file: Path | None) -> str:
    return str(file) if file else "built-in defaults"


def _shorten(value: object) -> str:
    text = repr(str(value) if isinstance(value, Override) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
