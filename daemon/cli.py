"""The command line: which commands there are, and how they end.

Every command is a plain function in one of the cli_ files; its return value, if any, is the exit code.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import (
    cli_archive,
    cli_assets,
    cli_bucket,
    cli_config,
    cli_discover,
    cli_doctor,
    cli_download,
    cli_find,
    cli_layout,
    cli_migrate,
    cli_moves,
    cli_operations,
    cli_presign,
    cli_register,
    cli_retention,
    cli_search,
    cli_simulate,
    cli_top,
    cli_ui,
    cli_upload,
    render,
)
from daemon.cli_options import Code, Options, error_code
from daemon.client import TierdError
from daemon.sources import ConfigError

_FLAGS: Final = frozenset({"--json", "--yes", "-y", "--dry-run"})
_VALUED: Final = frozenset({"--config", "--socket"})
_EPILOG: Final = "Before or after every command: --config FILE, --socket PATH, --json, --yes, --dry-run."

COMMANDS: Final[dict[str, tuple[Callable[..., object], ...]]] = {
    "The daemon": (
        cli_operations.serve,
        cli_operations.status,
        cli_top.top,
        cli_ui.ui,
        cli_operations.stats,
        cli_operations.events,
        cli_operations.verify,
        cli_archive.validate,
        cli_discover.discover,
        cli_doctor.doctor,
        cli_operations.drain,
        cli_operations.resume,
    ),
    "Assets": (cli_search.list_assets, cli_search.search, cli_assets.explain, cli_register.register, cli_assets.rm),
    "Files": (cli_download.get, cli_download.download, cli_find.find_local, cli_upload.upload, cli_presign.presign),
    "Tiers": (
        cli_moves.promote,
        cli_moves.demote,
        cli_moves.pin,
        cli_moves.unpin,
        cli_moves.retry,
        cli_moves.tier_manage,
    ),
    "Planning": (cli_archive.estimate, cli_simulate.curve, cli_simulate.simulate),
}


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    ordered = hoist(arguments)
    try:
        return int(build()(ordered or ["--help"], prog_name="tierd", standalone_mode=False) or Code.DONE)
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


def build() -> typer.Typer:
    """Return the application with all its commands."""
    settings: dict[str, Any] = {"context_settings": {"help_option_names": ["-h", "--help"]}}
    app = typer.Typer(
        add_completion=False, epilog=_EPILOG, rich_markup_mode=None, pretty_exceptions_enable=False, **settings
    )
    app.callback()(_global_options)
    for panel, commands in COMMANDS.items():
        for command in commands:
            name = command.__name__.removesuffix("_assets").replace("_", "-")
            app.command(name, rich_help_panel=panel, epilog=_EPILOG)(command)
    config = typer.Typer(help="The configuration.", **settings)
    config.command("check", epilog=_EPILOG)(cli_config.check)
    app.add_typer(config, name="config")
    layout = typer.Typer(help="The names of objects.", **settings)
    layout.command("render", epilog=_EPILOG)(cli_layout.render)
    layout.command("parse", epilog=_EPILOG)(cli_layout.parse)
    app.add_typer(layout, name="layout")
    migrate = typer.Typer(help="Re-keying the store.", **settings)
    for step in (cli_migrate.plan, cli_migrate.run, cli_migrate.status, cli_migrate.resume):
        migrate.command(step.__name__, epilog=_EPILOG)(step)
    app.add_typer(migrate, name="migrate")
    bucket = typer.Typer(help="The store's bucket.", **settings)
    bucket.command("setup", epilog=_EPILOG)(cli_bucket.setup)
    bucket.command("check", epilog=_EPILOG)(cli_bucket.check)
    app.add_typer(bucket, name="bucket")
    retention = typer.Typer(help="What goes from the store because it is old.", **settings)
    retention.command("plan", epilog=_EPILOG)(cli_retention.plan)
    app.add_typer(retention, name="retention")
    return app


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the global options first, wherever they stood."""
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
    return front + rest


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
