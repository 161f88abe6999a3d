"""The command that shows what goes from the store because it is old."""

from typing import Annotated

import typer

from daemon import render
from daemon.cli_options import options
from daemon.units import human_size, parse_duration


def plan(
    context: typer.Context,
    *,
    within: Annotated[str, typer.Option(help="Look so far ahead.", metavar="TIME")] = "30d",
) -> None:
    """Print which assets [retention] rules are to remove from the store, and when. Changes nothing."""
    given = options(context)
    try:
        seconds = parse_duration(within).total_seconds()
    except ValueError:
        raise typer.BadParameter(f"{within} is no time, as in 30d", param_hint="--within") from None
    found = list(given.client().retention(seconds))
    if given.json:
        render.show_json({"going": found})
        return
    rows = ((render.moment(each["at"]), _stage(each), each["path"], each["size"], each["rule"]) for each in found)
    render.show_table(("goes at", "now", "path", "size", "rule"), rows)
    total = human_size(sum(each["size"] for each in found))
    render.note(f"{len(found)} assets ({total}) within {within}; pin one, or tag it for a keep rule, and it stays")


def _stage(going: dict[str, object]) -> str:
    return "marked" if going["marked"] else "not yet marked"
