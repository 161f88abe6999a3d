"""The command line: which commands there are, and how they end.

Every command is a plain function in one of the cli_ files; its return value, if any, is the exit code. Only the file of
the command that was typed is imported: most of what the others need takes longer than their work.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, Options, error_code
from daemon.client import TierdError
from daemon.sources import ConfigError

_FLAGS: Final = frozenset({"--json", "--yes", "-y", "--dry-run"})
_VALUED: Final = frozenset({"--config", "--socket"})
_EPILOG: Final = "Before or after every command: --config FILE, --socket PATH, --json, --yes, --dry-run."

COMMANDS: Final[dict[str, dict[str, str]]] = {
    "The daemon": {
        "serve": "cli_operations",
        "status": "cli_operations",
        "top": "cli_top",
        "ui": "cli_ui",
        "stats": "cli_operations",
        "events": "cli_operations",
        "verify": "cli_operations",
        "validate": "cli_archive",
        "discover": "cli_discover",
        "doctor": "cli_doctor",
        "drain": "cli_operations",
        "resume": "cli_operations",
    },
    "Assets": {
        "list": "cli_search",
        "search": "cli_search",
        "explain": "cli_assets",
        "register": "cli_register",
        "rm": "cli_assets",
    },
    "Files": {
        "get": "cli_download",
        "download": "cli_download",
        "find-local": "cli_find",
        "upload": "cli_upload",
        "presign": "cli_presign",
    },
    "Tiers": {
        "promote": "cli_moves",
        "demote": "cli_moves",
        "pin": "cli_moves",
        "unpin": "cli_moves",
        "retry": "cli_moves",
        "tier-manage": "cli_moves",
    },
    "Planning": {"estimate": "cli_archive", "curve": "cli_simulate", "simulate": "cli_simulate"},
}
"""The files of the commands, by what they are about."""
GROUPS: Final = {
    "config": ("cli_config", "The configuration.", ("check",)),
    "layout": ("cli_layout", "The names of objects.", ("render", "parse")),
    "migrate": ("cli_migrate", "Re-keying the store.", ("plan", "run", "status", "resume")),
    "bucket": ("cli_bucket", "The store's bucket.", ("setup", "check")),
    "retention": ("cli_retention", "What goes from the store because it is old.", ("plan",)),
}
_FUNCTIONS: Final = {"list": "list_assets"}
"""Those that are not called like their commands: it would hide something."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    front, rest = hoist(arguments)
    ordered = front + rest
    try:
        return int(build(*rest[:1])(ordered or ["--help"], prog_name="tierd", standalone_mode=False) or Code.DONE)
    except typer.Abort:
        return Code.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.FAILED
    except (typer.TyperException, ConfigError, TierdError, OSError) as error:
        code, said = _judge(error)
    if "--json" in ordered:
        sys.stderr.write(json.dumps({"error": said}) + "\n")
    else:
        render.note("\n  ".join(["tierd: " + said["message"], *filter(None, said["hint"].split("\n"))]))
    return code


def build(typed: str | None = None) -> typer.Typer:
    """Return the application with the command, or group of commands, that was typed; with all where it is none."""
    settings: dict[str, Any] = {"context_settings": {"help_option_names": ["-h", "--help"]}}
    app = typer.Typer(
        add_completion=False, epilog=_EPILOG, rich_markup_mode=None, pretty_exceptions_enable=False, **settings
    )
    app.callback()(_global_options)
    named = {name for commands in COMMANDS.values() for name in commands} | GROUPS.keys()
    wanted = {typed} & named or named
    for panel, commands in COMMANDS.items():
        for name, file in commands.items():
            if name in wanted:
                app.command(name, rich_help_panel=panel, epilog=_EPILOG)(_function(file, name))
    for group, (file, about, names) in GROUPS.items():
        if group in wanted:
            below = typer.Typer(help=about, **settings)
            for name in names:
                below.command(name, epilog=_EPILOG)(_function(file, name))
            app.add_typer(below, name=group)
    return app


def _function(file: str, name: str) -> Callable[..., object]:
    found: Callable[..., object] = getattr(
        importlib.import_module(f"daemon.{file}"), _FUNCTIONS.get(name, name.replace("-", "_"))
    )
    return found


def hoist(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the global options, wherever they stood, and the rest."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _FLAGS or argument.partition("=")[0] in _VALUED:
            front.append(argument)
            if argument in _VALUED:
                front += [value for value in (next(waiting, None),) if value is not None]
        else:
            rest.append(argument)
    return front, rest


def _global_options(
    context: typer.Context,
    *,
    # Whether they may be read is found out by reading: the exit codes of the command line say more than typer would.
    config: Annotated[Path | None, typer.Option(help="The configuration file.", metavar="FILE", readable=False)] = None,
    socket: Annotated[Path | None, typer.Option(help="The daemon's socket.", metavar="PATH", readable=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
) -> None:
    """Keep the media this host works with on its disk, and everything else in an object store."""
    context.obj = Options(config=config, socket=socket, json=as_json, yes=yes, dry_run=dry_run)


def _judge(error: Exception) -> tuple[Code, dict[str, str]]:
    """Return how the command ends, and what to say about it."""
    match error:
        case TierdError():
            return error_code(error), {"code": error.code, "message": error.message, "hint": error.hint}
        case ConfigError():
            message = "the configuration cannot be used"
            return Code.BAD_CONFIG, {"code": error.code, "message": message, "hint": str(error)}
        case typer.TyperException():
            message = error.format_message()
            return Code.USAGE, {"code": "usage", "message": message, "hint": "see: tierd --help"}
        case _:
            return Code.FAILED, {"code": "file", "message": str(error), "hint": ""}
