"""The command that asks for a presigned URL."""

from typing import Annotated

import typer

from daemon import render
from daemon.cli_options import asset_path, options
from daemon.units import parse_duration, parse_size


def presign(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="The asset.", metavar="PATH")],
    *,
    method: Annotated[str, typer.Option(help="GET to read, PUT to upload, POST to upload by a form.")] = "GET",
    expires: Annotated[str, typer.Option(help="How long it is wanted.", metavar="TIME")] = "1h",
    max_size: Annotated[str | None, typer.Option(help="The most that a POST may bring.", metavar="SIZE")] = None,
    content_type: Annotated[str | None, typer.Option(help="What a POST's Content-Type must begin with.")] = None,
) -> None:
    """Print a URL by which others read or upload an asset for a while. Whoever has it needs nothing else."""
    given = options(context)
    client = given.client()
    try:
        seconds = int(parse_duration(expires).total_seconds())
        limits: dict[str, object] = {} if max_size is None else {"max_size": parse_size(max_size)}
    except ValueError as error:
        raise typer.BadParameter(f"{error} is no time, or no size, as in 30m and 100 MiB") from None
    if content_type is not None:
        limits["content_type"] = content_type
    link = client.presign(asset_path(client, path), method.upper(), seconds, **limits)
    if given.json:
        render.show_json(link)
        return
    render.show_line(link["url"])
    render.show_pairs((f"  {name}", value) for name, value in (link["fields"] | link["headers"]).items())
    if link["expires"] < seconds:
        render.note(
            f"good for {link['expires']} s only: [api] presign_longest, or the credentials that sign it, end then"
        )
