"""Commands that say how much of a host's media is in the store, and what it takes and costs to have it there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_operations import compare, show_report
from daemon.cli_options import Code, options
from daemon.cli_settings import prices_of, settings_for
from daemon.client import TierdError
from daemon.units import human_size, parse_size

if TYPE_CHECKING:
    from daemon.settings import Settings

_UNSURE: Final = "-"


def validate(
    context: typer.Context,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Also read all bytes again, here and there.")] = False,
) -> Code:
    """Say how much of each media type is archived, and list what is missing, orphaned or mismatched."""
    given = options(context)
    client = given.client()
    report = compare(client, deep=deep, label="validate")
    media = client.stats()["media_types"]
    if given.json:
        render.show_json({"media_types": media, "report": report})
        return Code.DONE if report["ok"] else Code.FAILED
    total = {name: sum(figures[name] for figures in media.values()) for name in ("assets", "bytes", "archived")}
    rows = [_archived(name or _UNSURE, figures) for name, figures in (*media.items(), ("all", total))]
    render.show_table(("media type", "assets", "size", "archived", "not archived", "share"), rows)
    return show_report(report)


def _archived(name: str, figures: dict[str, int]) -> tuple[object, ...]:
    assets, archived = figures["assets"], figures["archived"]
    share = f"{archived / assets:.1%}" if assets else _UNSURE
    return name, assets, human_size(figures["bytes"]), archived, assets - archived, share


@dataclass(slots=True)
class Amount:
    """Files, their bytes, and the requests that upload them."""

    files: int = 0
    bytes: int = 0
    requests: int = 0


def estimate(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Directories; the cache root if none is given.", metavar="DIR", readable=False),
    ] = None,
    *,
    bandwidth: Annotated[
        str | None, typer.Option(help="Bytes a second to count on, as in '100MB'.", metavar="SIZE")
    ] = None,
) -> None:
    """Say what uploading everything takes, and what keeping it costs a month by storage class. Changes nothing."""
    given = options(context)
    rate = _rate(bandwidth)
    settings = settings_for(given.config, "upload", "prices")
    amounts: dict[str, Amount] = {}
    for media, size in _files(paths or [settings.cache.root], settings):
        amount = amounts.setdefault(media, Amount())
        amount.files += 1
        amount.bytes += size
        amount.requests += _requests(size, settings)
    found = _summary(amounts, settings, rate)
    if given.json:
        render.show_json(found)
    else:
        _show(found)


def _rate(text: str | None) -> int | None:
    try:
        rate = None if text is None else parse_size(f"{text}B" if text.isdigit() else text)
    except ValueError:
        rate = 0
    if rate == 0:
        raise typer.BadParameter(f"--bandwidth {text!r} is no size; say, for example, 100MB or '1 GiB'")
    return rate


def _files(tops: Iterable[Path], settings: "Settings") -> Iterator[tuple[str, int]]:
    """Yield the media type and the size of every file that would be an asset. Raise TierdError for what is none."""
    from tiering.mime import content_type  # noqa: PLC0415 - takes long
    from tiering.scan import scan  # noqa: PLC0415
    from tiering.tree import Tree  # noqa: PLC0415

    for top in tops:
        if not top.is_dir():
            raise TierdError("unknown-file", f"{top} is not a directory", "name one, or see [cache] root", 404)
        with render.progress("estimate") as show:
            seen = 0
            for batch in scan(Tree(top.resolve(), ignored=settings.cache.ignore)):
                for oddity in batch.oddities:
                    render.note(f"estimate: left out {top / oddity.path}: {oddity.reason}")
                for sighting in batch.sightings:
                    yield content_type(sighting.path, b"").partition("/")[0], sighting.fingerprint.size
                seen += len(batch.sightings)
                show(seen, text=f"{seen:,} files")


def _requests(size: int, settings: "Settings") -> int:
    """Return how many requests one file takes: one, or one a part and two around them."""
    upload = settings.upload
    return 1 if size <= upload.multipart_above else -(-size // upload.part_size) + 2


def _summary(amounts: dict[str, Amount], settings: "Settings", rate: int | None) -> dict[str, Any]:
    prices = prices_of(settings)
    size, requests = (sum(getattr(amount, name) for amount in amounts.values()) for name in ("bytes", "requests"))
    return {
        "media_types": {
            name: {"files": amount.files, "bytes": amount.bytes} for name, amount in sorted(amounts.items())
        },
        "files": sum(amount.files for amount in amounts.values()),
        "bytes": size,
        "requests": requests,
        "upload_cost": prices.of_writing(requests),
        "month": prices.of_keeping(size),
        "seconds": None if rate is None else size / rate,
    }


def _show(found: dict[str, Any]) -> None:
    rows = [(name, each["files"], human_size(each["bytes"])) for name, each in found["media_types"].items()]
    rows.append(("all", found["files"], human_size(found["bytes"])))
    render.show_table(("media type", "files", "size"), rows)
    seconds = found["seconds"]
    render.show_pairs(
        (
            ("requests", f"{found['requests']:,}, for {found['upload_cost']:.2f}"),
            *(() if seconds is None else (("time", f"{seconds / 3600:.1f} h"),)),
            *((f"a month in {name}", f"{cost:.2f}") for name, cost in found["month"].items()),
        )
    )
