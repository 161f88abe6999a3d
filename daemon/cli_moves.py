"""Commands that move assets between the tiers, or keep them from it. They differ in one verb only."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, asset_path, options, show_results
from daemon.client import Client, How

_DAY_SECONDS: Final = 86_400.0

Act = Callable[..., list[dict[str, Any]]]

Paths = Annotated[list[str] | None, typer.Argument(help="Assets, by path relative to the cache root.", metavar="PATH")]
Everything = Annotated[bool, typer.Option("--all", help="All assets, or all that the options below choose.")]
States = Annotated[list[str] | None, typer.Option("--state", help="Those in this state (may be repeated).")]
Kind = Annotated[str | None, typer.Option("--type", help="Those of this type.")]
Text = Annotated[str | None, typer.Option("--query", "-q", help="Those with these words in path, fields or tags.")]
Fields = Annotated[list[str] | None, typer.Option("--field", help="Those with this field.", metavar="NAME=VALUE")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Those with this tag.", metavar="NAME=VALUE")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, or only begin it.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Let the local file replace a foreign object that has its key.")
]


def pairs(given: list[str] | None) -> dict[str, str]:
    """Return NAME=VALUE arguments as a mapping."""
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
        found[name] = value
    return found


def _command(act: Act, summary: str) -> Callable[..., Code]:
    def command(
        context: typer.Context,
        paths: Paths = None,
        *,
        everything: Everything = False,
        state: States = None,
        kind: Kind = None,
        text: Text = None,
        field: Fields = None,
        tag: Tags = None,
        wait: Wait = True,
    ) -> Code:
        chosen = {"state": state, "type": kind, "q": text, "fields": pairs(field), "tags": pairs(tag)}
        where = {name: value for name, value in chosen.items() if value}
        return _run(context, act, paths, where, everything=everything, how={"wait": wait})

    command.__name__ = act.__name__
    command.__doc__ = summary
    return command


def retry(
    context: typer.Context,
    paths: Paths = None,
    *,
    everything: Everything = False,
    state: States = None,
    overwrite: Overwrite = False,
    wait: Wait = True,
) -> Code:
    """Try again what is stuck or damaged."""
    where = {"state": state} if state else {}
    how = {"wait": wait, "overwrite": overwrite}
    return _run(context, Client.retry, paths, where, everything=everything, how=how)


def tier_manage(
    context: typer.Context,
    *,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Bring back what was asked for since.")
    ] = True,
    demote: Annotated[bool, typer.Option("--demote/--no-demote", help="Send away what nobody asked for since.")] = True,
    cold_days: Annotated[float, typer.Option(min=0, help="Where the line is drawn.", metavar="N")] = 30.0,
    wait: Wait = True,
) -> Code:
    """Move assets once, by their last access: cold is what nobody has asked for in so many days."""
    given = options(context)
    client = given.client()
    line = max(0.0, time.time() - cold_days * _DAY_SECONDS)
    steps = (
        (demote, client.demote, {"state": ["replicated"], "pinned": False, "accessed_before": line}),
        (promote, client.promote, {"state": ["cold"], "accessed_after": line}),
    )
    results: list[dict[str, Any]] = []
    with render.progress("tier-manage") as show:
        show(0, text="waiting for the daemon")
        for wanted, act, where in steps:
            results += act(filter=where, wait=wait, dry_run=given.dry_run) if wanted else []
    return show_results(given, results)


promote: Final = _command(Client.promote, "Bring assets back to the local disk.")
demote: Final = _command(Client.demote, "Remove local copies whose copy in the store is proven.")
pin: Final = _command(Client.pin, "Keep assets on the local disk.")
unpin: Final = _command(Client.unpin, "Let assets be demoted again.")


def _run(
    context: typer.Context,
    act: Act,
    paths: list[str] | None,
    where: Mapping[str, object],
    *,
    everything: bool,
    how: How | dict[str, bool],
) -> Code:
    given = options(context)
    if bool(paths) == bool(where or everything):
        raise typer.BadParameter("name assets, or choose them by --all, --state, --type …; not both")
    client = given.client()
    selection = {"paths": [asset_path(client, path) for path in paths]} if paths else {"filter": where}
    with render.progress(act.__name__) as show:
        show(0, text="waiting for the daemon")
        results = act(client, **selection, **how, dry_run=given.dry_run)
    return show_results(given, results)
