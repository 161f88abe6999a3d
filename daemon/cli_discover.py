"""The command that says what the store has and the index lacks. It does it by itself where no daemon runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon import render
from daemon.cli_options import Options, options
from daemon.client import UnreachableError
from daemon.units import human_size

if TYPE_CHECKING:
    from daemon.alone import Ground
    from daemon.app import Parts

Report = dict[str, Any]
Tell = Callable[[Report], None]
Work = Callable[["Parts"], Awaitable[None]]


def discover(
    context: typer.Context,
    *,
    sync: Annotated[bool, typer.Option("--sync", help="Take it in, as cold assets.")] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Also what other programs have stored; --sync reads each once.")
    ] = False,
    by_listing: Annotated[
        bool,
        typer.Option(
            "--by-listing",
            help="Take in what keys tell, and ask no object: the daemon does that later. Where no daemon runs.",
        ),
    ] = False,
    store: Annotated[
        str | None, typer.Option("--store", help="This store, not the configured one.", metavar="URL")
    ] = None,
) -> None:
    """Say what the store has and the index lacks, or take it in: an index that was lost comes back so."""
    given = options(context)
    if by_listing and foreign:
        raise typer.BadParameter("--by-listing asks no object whose it is: leave out --foreign")
    sync, by_listing = sync and not given.dry_run, by_listing and not given.dry_run
    report: Report = {}
    with render.progress("discover") as show:

        def tell(line: Report) -> None:
            report.update(line.get("report", {}))
            if step := line.get("progress"):
                show(step["objects"], text=f"{step['objects']:,} objects, {step['assets']:,} assets")

        if by_listing:
            _alone(given, store, _list_only(tell))
        elif store is not None or not _through_daemon(given, tell, sync=sync, foreign=foreign):
            _alone(given, store, _look_through(tell, sync=sync, foreign=foreign))
    _show(given, report, sync=sync or by_listing)


def _through_daemon(given: Options, tell: Tell, *, sync: bool, foreign: bool) -> bool:
    """Have the daemon do it; return False where there is none."""
    client = given.client()
    try:
        client.health()
    except UnreachableError:
        return False
    for line in client.discover(sync=sync, foreign=foreign):
        tell(line)
    return True


def _alone(given: Options, store: str | None, work: Work) -> None:
    from daemon import alone  # noqa: PLC0415 - takes long

    alone.finish(_do(alone.ground(given.config, store=store), work))


async def _do(on: "Ground", work: Work) -> None:
    from daemon.alone import alone  # noqa: PLC0415 - takes long

    async with alone(on) as parts:
        await work(parts)


def _look_through(tell: Tell, *, sync: bool, foreign: bool) -> Work:
    async def work(parts: "Parts") -> None:
        from daemon.api_chores import inventory_view  # noqa: PLC0415 - takes long

        if sync:
            # A file that is there is hot: seen first, it is not taken for an asset that was cold and came back.
            await parts.reconciler.look_once()
        async for step in parts.stocktaking.take(sync=sync, foreign=foreign):
            tell(inventory_view(step))
        if sync:
            await parts.discovery.note_done()

    return work


def _list_only(tell: Tell) -> Work:
    async def work(parts: "Parts") -> None:
        from daemon.api_chores import inventory_view  # noqa: PLC0415 - takes long

        await parts.reconciler.look_once()
        async for step in parts.discovery.enlist():
            tell(inventory_view(step))

    return work


def _show(given: Options, report: Report, *, sync: bool) -> None:
    if given.json:
        render.show_json(report)
        return
    strays = [*report["lacking"], *report["foreign"]]
    if strays:
        rows = [(stray["key"], stray["size"], stray["path"] or "-") for stray in strays]
        render.show_table(("key", "size", "path"), rows)
    verb = "lacked" if sync else "lacks"
    said = [f"{report['assets']:,} assets ({human_size(report['bytes'])}) that the index {verb}"]
    said += [f"{report['strangers']:,} that do not say whose they are"] if report["strangers"] else []
    taken = f"; taken in: {report['taken']:,}" if sync else ""
    render.note(f"{report['objects']:,} objects: {', '.join(said)}{taken}")
