"""Commands that re-key the store: to the layout that is configured, with a plan first."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, options
from daemon.units import human_size

Json = dict[str, Any]

_REST: Final = (
    ("collisions", "of them find their key taken, and get the next one"),
    ("placed", "are where they should be"),
    ("elsewhere", "are not where the layout to migrate from has them"),
    ("waiting", "have no proven remote copy at rest: their upload takes them where they should be"),
    ("unplaceable", "stay until they are uploaded anew: only their content can tell their key"),
    ("outside", "are left as they are: [store] mode does not let them into the store"),
)

Source = Annotated[str | None, typer.Option("--from", help="Only what is where this layout has it.", metavar="LAYOUT")]
Target = Annotated[
    str | None, typer.Option("--to", help="This layout; the configured one if not given.", metavar="LAYOUT")
]
Prune = Annotated[bool, typer.Option("--prune", help="Then remove superseded objects, for good.")]


def plan(context: typer.Context, *, source: Source = None, to: Target = None, prune: Prune = False) -> None:
    """Say what a migration would move, and what would become of it. Changes nothing."""
    given = options(context)
    report = _follow(given.client().migrate(source, to, prune=prune, dry_run=True))
    if given.json:
        render.show_json(report)
        return
    _show_plan(report["plan"])
    if prune:
        _show_pruned("would remove", report)


def run(context: typer.Context, *, source: Source = None, to: Target = None, prune: Prune = False) -> Code:
    """Have all remote copies follow to the keys of the configured layout, by copies within the store."""
    if options(context).dry_run:
        plan(context, source=source, to=to, prune=prune)
        return Code.DONE
    given = options(context)
    client = given.client()
    if prune:
        given.confirm("Remove superseded objects from the store, for good, when everything has moved?")
    return _end(context, _follow(client.migrate(source, to, prune=prune)))


def resume(context: typer.Context) -> Code:
    """Take up a migration that was broken off, and wait until it has ended."""
    given = options(context)
    client = given.client()
    if given.dry_run:
        status(context)
        return Code.DONE
    return _end(context, _follow(client.resume_migration()))


def status(context: typer.Context) -> None:
    """Say how far the last migration is, or how it ended."""
    given = options(context)
    found = given.client().migration()
    if given.json:
        render.show_json(found)
        return
    if found["phase"] == "none":
        render.show_line("there was no migration")
        return
    broken = "" if found["running"] or found["phase"] == "done" else ", broken off; see: tierd migrate resume"
    render.show_pairs(
        (
            ("phase", f"{found['phase']}{broken}"),
            ("layout", f"{found['source'] or 'any'} to {found['target']}"),
            ("began", render.moment(found["began"])),
            *((("ended", render.moment(found["ended"])),) if found["ended"] else ()),
            ("moved", f"{found['moved']:,} of {found['total']:,} ({_share(found['moved'], found['total'])})"),
            *((("left", found["left"]),) if found["left"] else ()),
            *((("failed", found["failed"]),) if found["failed"] else ()),
            *((("pruned", f"{found['pruned']:,} ({human_size(found['pruned_bytes'])})"),) if found["prune"] else ()),
            *((("trouble", found["trouble"]),) if found["trouble"] else ()),
        )
    )


def _follow(lines: Iterable[Json]) -> Json:
    """Show how far it is; return the report."""
    report: Json = {}
    with render.progress("migrate") as show:
        show(0, text="looking at every asset")
        for line in lines:
            if line.get("report"):
                report = line["report"]
            else:
                step = line["progress"]
                show(step["done"], step["total"], _told(step))
    return report


def _told(step: Json) -> str:
    if step["total"] is None:
        return f"{step['phase']}: {step['done']:,} objects"
    said = f"{step['phase']}: {step['done']:,} of {step['total']:,} ({_share(step['done'], step['total'])})"
    return f"{said}: {step['trouble']}" if step["trouble"] else said


def _end(context: typer.Context, report: Json) -> Code:
    given = options(context)
    if given.json:
        render.show_json(report)
    else:
        _show_moves(report["failures"])
        whole = report["moved"] + report["failed"]
        render.note(f"moved {report['moved']:,} of {whole:,} ({_share(report['moved'], whole)})")
        if report["pruned"] or report["kept"]:
            _show_pruned("removed", report)
    if not report["failed"]:
        return Code.DONE
    return Code.PARTLY_FAILED if report["moved"] else Code.FAILED


def _show_plan(found: Json) -> None:
    _show_moves(found["examples"])
    told = [("move", f"{found['moves']:,} ({human_size(found['bytes'])}), copied within the store")]
    told += [(name, f"{found[name]:,} {said}") for name, said in _REST if found[name]]
    render.note("\n".join(_aligned(told)))


def _show_pruned(verb: str, report: Json) -> None:
    kept = f"; {report['kept']:,} stay, since it is not sure that nobody needs them" if report["kept"] else ""
    render.note(f"{verb} {report['pruned']:,} superseded objects ({human_size(report['pruned_bytes'])}){kept}")


def _show_moves(moves: Iterable[Json]) -> None:
    rows = [(move["path"], move["key"], move["to"], move["why"]) for move in moves]
    if rows:
        render.show_table(("path", "key", "goes to", "why not"), rows)


def _aligned(pairs: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in pairs)
    return (f"{name:<{width}}  {said}" for name, said in pairs)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "100.0%"
