"""Commands about the daemon itself: run it, look at it, have it settle down."""

import os
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from daemon import render
from daemon.cli_options import Code, Options, RefusedError, options
from daemon.client import Client
from daemon.journal import escape
from daemon.meanings import lacking
from daemon.units import human_size

Report = dict[str, Any]


def serve(context: typer.Context) -> int:
    """Run the daemon, in the foreground."""
    from daemon import config  # noqa: PLC0415 - only the daemon itself needs its libraries

    load = partial(config.load, options(context).config, os.environ)
    settings = load()
    from daemon import life  # noqa: PLC0415 - these take a second, and a wrong configuration should not

    return life.serve(settings, reload=load)


def status(context: typer.Context) -> None:
    """Say how things stand."""
    given = options(context)
    found = given.client().status()
    if given.json:
        render.show_json(found)
        return
    queue, disk, store, brake = found["queue"], found["disk"], found["store"], found["brake"]
    render.show_pairs(
        (
            ("assets", _by_state(found)),
            ("waiting", f"{queue['waiting']}, uploading {queue['uploading']}, promoting {queue['promoting']}"),
            ("unprotected", _unprotected(queue)),
            (
                "disk",
                f"{human_size(disk['used'])} used, {human_size(disk['free'])} free of {human_size(disk['total'])}"
                + (": full" if disk["full"] else ""),
            ),
            ("store", _store(store)),
            *_rollout(found["rollout"]),
            ("brake", _brake(brake)),
            ("scrub", _scrub(found["scrub"], found["assets"].get("cold", 0))),
        )
    )


def _rollout(rollout: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how far it has come, where it has not come to its end."""
    if rollout["mode"] == "s3" and not rollout["outside"]:
        return []
    on_disk = f"{rollout['outside']} assets ({human_size(rollout['outside_bytes'])}) are on this disk only, as it asks"
    share = f", {rollout['percent']:g} % of all paths" if rollout["mode"] == "hybrid" else ""
    return [("roll-out", f"{rollout['mode']}{share}; {on_disk}")]


def _store(store: dict[str, Any]) -> str:
    if not store["reachable"]:
        return f"{store['url']}: cannot be used: {store['reason']}"
    return "; ".join([store["url"], *lacking(store["capabilities"])])


def stats(
    context: typer.Context,
    *,
    cost: Annotated[bool, typer.Option("--cost", help="What this month costs, so far and as it goes on.")] = False,
) -> None:
    """Print figures: assets and bytes by state, type, campaign and media type; what happened, and what it costs."""
    given = options(context)
    found = given.client().stats()
    if given.json:
        render.show_json(found["cost"] if cost else found)
    elif cost:
        _show_cost(found["cost"]["bill"])
    else:
        _show_figures(found)


def _show_cost(bill: dict[str, Any]) -> None:
    rows = [(part, f"{bill['so_far'][part]:.2f}", f"{bill['forecast'][part]:.2f}") for part in bill["so_far"]]
    so_far, forecast = sum(bill["so_far"].values()), sum(bill["forecast"].values())
    render.show_table(("for", "so far", "whole month"), [*rows, ("in all", f"{so_far:.2f}", f"{forecast:.2f}")])
    since = datetime.fromtimestamp(bill["since"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    render.show_pairs(
        (
            ("month", f"{bill['month']}, counted since {since}"),
            ("all hot", f"{bill['all_hot']:.2f}: everything on disk, and in the store as it is"),
            ("all cold", f"{bill['all_cold']:.2f}: nothing on disk, all that is asked for read from the store"),
        )
    )


def _show_figures(found: dict[str, Any]) -> None:
    kinds = (("state", "states"), ("type", "types"), ("campaign", "campaigns"), ("media type", "media_types"))
    rows = [
        (kind, value or "-", figures["assets"], human_size(figures["bytes"]))
        for kind, name in kinds
        for value, figures in found[name].items()
    ]
    render.show_table(("by", "which", "assets", "bytes"), rows)
    cost = found["cost"]
    month = cost["month"].get(cost["storage_class"])
    render.show_pairs(
        (
            ("requests", f"{_told(found['requests'])}, hits {found['rates']['hit_ratio']:.1%}"),
            ("uploads", f"{_told(found['uploads'])}, {human_size(found['upload_bytes'])}"),
            ("upload rate", f"{human_size(found['rates']['upload_bytes_per_second'])}/s"),
            ("downloads", _told(found["downloads"])),
            ("stored", human_size(cost["stored_bytes"])),
            ("cost", "no price is known" if month is None else f"{month:.2f} a month in {cost['storage_class']}"),
        )
    )


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def events(
    context: typer.Context,
    *,
    after: Annotated[int, typer.Option(min=0, help="Only what came after this cursor.", metavar="CURSOR")] = 0,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on for ever, or end with the last.")] = False,
) -> None:
    """Print every change of state, oldest first, one a line."""
    given = options(context)
    for event in given.client().events(after, follow=follow):
        if given.json:
            render.show_json(event)
            continue
        change = f"{event['before'] or '-'} -> {event['after']}"
        cells = (event["cursor"], render.moment(event["at"]), event["event"], change, event["path"], event["reason"])
        render.show_line("\t".join(escape(str(cell or "")) for cell in cells).rstrip())
        sys.stdout.flush()


def verify(
    context: typer.Context,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Also read all bytes again, here and there.")] = False,
) -> Code:
    """Compare the index with the disk and the store, and change nothing."""
    given = options(context)
    report = compare(given.client(), deep=deep, label="verify")
    if given.json:
        render.show_json(report)
        return Code.DONE if report["ok"] else Code.FAILED
    return show_report(report)


def compare(client: Client, *, deep: bool, label: str) -> Report:
    """Have the daemon compare, show how far it is, and return what it found."""
    report: Report = {}
    with render.progress(label) as show:
        for line in client.verify(deep=deep):
            if line.get("report"):
                report = line["report"]
            else:
                step = line["progress"]
                show(step["checked"], step["total"], _verified(step))
    return report


def show_report(report: Report) -> Code:
    """Print what differs; return how the command ends."""
    rows = [(found["path"], found["kind"], found["detail"]) for found in report["differences"]]
    rows += [(key, "superseded", "no asset needs this object any more") for key in report["superseded"]]
    if rows:
        render.show_table(("path", "difference", "detail"), rows)
    render.note(f"{_verified(report)}: {_differing(report)}")
    return Code.DONE if report["ok"] else Code.FAILED


def drain(
    context: typer.Context,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing is unprotected.")] = True,
    timeout: Annotated[float | None, typer.Option(min=0, help="Wait so long at most.", metavar="SECONDS")] = None,
) -> Code:
    """Upload everything now, as before a shutdown."""
    given = options(context)
    client = given.client()
    if given.dry_run:
        queue = client.status()["queue"]
        _say(given, queue, _unprotected(queue))
        return Code.DONE
    report: Report = {}
    with render.progress("drain") as show:
        for line in client.drain(wait=wait, timeout=timeout):
            if line.get("report"):
                report = line["report"]
            else:
                show(0, text=_left(line["progress"]))
    _say(given, report, "nothing is unprotected" if report["done"] else _left(report))
    if report["done"] or not wait:
        return Code.DONE
    return Code.PARTLY_FAILED if len(report["stuck"]) == report["unprotected"] else Code.TRY_AGAIN


def resume(
    context: typer.Context,
    *,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="You have looked: what is missing is meant to be.")
    ] = False,
) -> None:
    """Release the brake, which holds when many files vanish at once."""
    given = options(context)
    client = given.client()
    brake = client.status()["brake"]
    if given.dry_run or not brake["engaged"]:
        _say(given, {"brake": brake}, f"engaged: {brake['reason']}" if brake["engaged"] else "the brake is not engaged")
        return
    if not confirm:
        raise RefusedError(f"the brake holds: {brake['reason']}", "is the disk mounted? if all is well, say --confirm")
    _say(given, client.resume(), "released")


def _brake(brake: Report) -> str:
    if not brake["engaged"]:
        return "not engaged"
    return f"engaged since {render.moment(brake['since'])}: {brake['reason']}; see: tierd resume"


def _scrub(scrub: Report, cold: int) -> str:
    days = scrub["oldest_seconds"] / 86_400
    said = [f"every cold asset was checked in the last {days:.1f} days" if cold else "nothing is cold"]
    said += [f"last read back {render.moment(scrub['read_back_at'])}"] if scrub["read_back_at"] else []
    said += [f"{scrub['suspects']} seem missing or wrong"] if scrub["suspects"] else []
    said += [f"the store is doubted: {scrub['doubt']}; see: tierd verify"] if scrub["doubt"] else []
    return ", ".join(said)


def _verified(step: Report) -> str:
    assets = f"{step['checked']:,} assets ({human_size(step['bytes'])})"
    return f"{assets}, {step['files']:,} files, {step['objects']:,} objects"


def _differing(report: Report) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report["counts"].items())
    count = sum(report["counts"].values())
    said = f"{count:,} difference{'' if count == 1 else 's'} ({kinds})" if count else "no difference"
    return f"{said}, {report['superseded_count']:,} superseded" if report["superseded_count"] else said


def _say(given: Options, document: object, text: str) -> None:
    if given.json:
        render.show_json(document)
    else:
        render.show_line(text)


def _by_state(found: Report) -> str:
    states = (
        f"{count} {state} ({human_size(found['bytes'].get(state, 0))})"
        for state, count in found["assets"].items()
        if count
    )
    return ", ".join(states) or "none"


def _unprotected(queue: Report) -> str:
    if not queue["unprotected_bytes"]:
        return "nothing"
    age = queue["oldest_unprotected_seconds"] or 0
    return f"{human_size(queue['unprotected_bytes'])}, the oldest for {age:.0f} s"


def _left(step: Report) -> str:
    stuck = step["stuck"] if isinstance(step["stuck"], int) else len(step["stuck"])
    said = f"{step['unprotected']} unprotected ({human_size(step['unprotected_bytes'])}), {stuck} of them stuck"
    outside = step.get("outside", 0)
    return f"{said}; {outside} more on this disk only, as [store] mode asks" if outside else said
