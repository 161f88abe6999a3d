"""Commands that look for assets. Both are the same search; what they are called says what people have in mind."""

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_moves import Fields, Kind, States, Tags, Text, pairs
from daemon.cli_options import options
from daemon.units import parse_duration, parse_size

Words = Annotated[
    list[str] | None, typer.Argument(help="Words of the path, fields or tags; each begins one there.", metavar="TEXT")
]
Campaign = Annotated[str | None, typer.Option("--campaign", help="Those of this campaign: a field or a tag.")]
Pinned = Annotated[bool | None, typer.Option("--pinned/--not-pinned", help="Those that are pinned, or are not.")]
Least = Annotated[str | None, typer.Option("--min-size", help="Those of at least this size.", metavar="SIZE")]
Most = Annotated[str | None, typer.Option("--max-size", help="Those of at most this size.", metavar="SIZE")]
Older = Annotated[str | None, typer.Option("--older-than", help="Those modified before that.", metavar="TIME")]
Newer = Annotated[str | None, typer.Option("--newer-than", help="Those modified since.", metavar="TIME")]
Unused = Annotated[str | None, typer.Option("--unused-for", help="Those not asked for since.", metavar="TIME")]
Used = Annotated[str | None, typer.Option("--used-within", help="Those asked for since.", metavar="TIME")]
Sort = Annotated[
    str | None,
    typer.Option("--sort", help="By path, size, mtime or last_access; -size: the largest first.", metavar="KEY"),
]
Limit = Annotated[int | None, typer.Option("--limit", "--max-results", min=1, help="At most so many.", metavar="N")]
Metadata = Annotated[bool, typer.Option("--metadata", help="Show types, fields and tags too.")]


def _command(name: str, summary: str) -> Callable[..., None]:
    def command(  # noqa: PLR0913 - each is one option
        context: typer.Context,
        words: Words = None,
        *,
        state: States = None,
        kind: Kind = None,
        campaign: Campaign = None,
        text: Text = None,
        field: Fields = None,
        tag: Tags = None,
        pinned: Pinned = None,
        min_size: Least = None,
        max_size: Most = None,
        older_than: Older = None,
        newer_than: Newer = None,
        unused_for: Unused = None,
        used_within: Used = None,
        sort: Sort = None,
        limit: Limit = None,
        metadata: Metadata = False,
    ) -> None:
        query = {
            "state": state or None,
            "type": kind,
            "campaign": campaign,
            "q": " ".join([*(words or ()), *filter(None, (text,))]) or None,
            "pinned": None if pinned is None else str(pinned).lower(),
            "min_size": _bytes("--min-size", min_size),
            "max_size": _bytes("--max-size", max_size),
            "modified_before": _ago("--older-than", older_than),
            "modified_after": _ago("--newer-than", newer_than),
            "accessed_before": _ago("--unused-for", unused_for),
            "accessed_after": _ago("--used-within", used_within),
            "sort": sort,
        }
        _show(context, query, pairs(field), pairs(tag), limit=limit, metadata=metadata)

    command.__name__ = name
    command.__doc__ = summary
    return command


list_assets: Final = _command("list_assets", "List assets, all or those that fulfil everything that is given.")
search: Final = _command("search", "Search for assets by words, and by everything that is known about them.")


def _show(
    context: typer.Context,
    query: dict[str, Any],
    fields: dict[str, str],
    tags: dict[str, str],
    *,
    limit: int | None,
    metadata: bool,
) -> None:
    given = options(context)
    found = given.client().assets(fields=fields, tags=tags, **query)
    chosen = (asset for asset, _ in zip(found, range(limit), strict=False)) if limit else found
    if given.json:
        render.show_json({"assets": list(chosen), "cursor": None})
    else:
        render.show_assets(chosen, metadata=metadata)


def _bytes(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text if not text.isdigit() else f"{text}B")
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is no size; say, for example, 500MB or '1.5 GiB'") from None


def _ago(option: str, text: str | None) -> float | None:
    """Return the moment that is so long ago."""
    try:
        return None if text is None else max(0.0, time.time() - parse_duration(text).total_seconds())
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is no time; say, for example, 90m, 12h or 30d") from None
