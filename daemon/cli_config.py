"""The command about the configuration. It needs no daemon."""

import json
import os
from pathlib import Path

import typer

from daemon import render
from daemon.cli_options import Options, options
from daemon.client import TierdError, UnreachableError


def check(context: typer.Context) -> None:
    """Print the configuration that holds, as TOML, or all that is wrong with it. Needs no daemon."""
    from daemon import config, sources  # noqa: PLC0415 - pydantic takes long

    given = options(context)
    settings = config.load(given.config, os.environ)
    file = sources.find_file(given.config, os.environ)
    tables = settings.model_dump(mode="json")
    overridden = sorted(sources.read_overrides(os.environ))
    found = {
        "root": str(settings.cache.root),
        "index": _presence(settings.index.path),
        "store": _presence(settings.store.directory) if settings.store.directory else settings.store.scheme,
        "daemon": _daemon(given),
    }
    if given.json:
        file_name = str(file.absolute()) if file else None
        render.show_json({"file": file_name, "overridden": overridden, "settings": tables, "found": found})
        return
    render.show_line(f"# {file.absolute() if file else 'no file: the built-in defaults'}")
    for name in overridden:
        render.show_line(f"# overridden by {name}")
    for name, table in tables.items():
        render.show_line(f"[{name}]")
        for key, value in table.items():
            render.show_line(f"# {key} is not set" if value is None else f"{key} = {_toml(value)}")
    render.show_pairs((f"# {name}", value) for name, value in found.items())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(said)}" for name, said in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _presence(path: Path) -> str:
    return f"{path} ({'there' if path.exists() else 'will be made'})"


def _daemon(given: Options) -> str:
    try:
        return str(given.client().health()["status"])
    except UnreachableError:
        return "not running"
    except TierdError as error:
        return error.message
