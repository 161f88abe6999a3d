"""`tierd ui`: the page in a browser of this host."""

import sys
from typing import Annotated

import typer

from daemon import render
from daemon.cli_options import RefusedError, options


def ui(
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0: on a free one.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a page with how things stand in a browser of this host, until interrupted."""
    from daemon.bridge import LOOPBACK, Bridge  # noqa: PLC0415 - no other command needs an HTTP server

    given = options(context)
    client = given.client()
    client.glance()  # Who may not read, or has no daemon, learns it here and not in the browser.
    try:
        bridge = Bridge(client, port)
    except OSError as error:
        what = f"cannot listen on {LOOPBACK}:{port}: {error.strerror}"
        raise RefusedError(what, "name another --port, or none for a free one") from error
    with bridge:
        if given.json:
            render.show_json({"url": bridge.url})
        else:
            render.show_line(bridge.url)
            sys.stdout.flush()
            render.note("it works once; Ctrl-C ends it")
        if show:
            import webbrowser  # noqa: PLC0415 - likewise

            webbrowser.open(bridge.url)
        bridge.serve_forever()
