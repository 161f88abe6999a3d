"""Commands that show what a layout makes of metadata, and of keys. They need no daemon."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon import render as screen
from daemon.cli_moves import pairs
from daemon.cli_options import Options, options
from daemon.client import TierdError

if TYPE_CHECKING:
    from daemon.settings import Settings
    from tiering.keys import Layout

Named = Annotated[str | None, typer.Option("--layout", help="This layout, not the one of the configuration.")]


def render(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="A path relative to the cache root; it need not exist.")],
    *,
    kind: Annotated[str | None, typer.Option("--type", help="What it is.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="A field of it.", metavar="NAME=VALUE")] = None,
    name: Named = None,
) -> None:
    """Print the key that an asset gets. Without --type and --field: what the configuration's rules say of its path."""
    from index.asset import RelPath, is_asset_path  # noqa: PLC0415 - what follows takes long
    from tiering.keys import Subject  # noqa: PLC0415
    from tiering.label import Label  # noqa: PLC0415
    from tiering.vocabulary import MeaningError, checked  # noqa: PLC0415

    given = options(context)
    settings, layout = _chosen(given, name)
    path = path.removeprefix("./")
    if not is_asset_path(path):
        raise TierdError("bad-path", f"{path} is not a path relative to the cache root", "", 400)
    label = Label(kind, pairs(field))
    if not label:
        rules = [rule.rule() for rule in settings.metadata.rules or ()]
        label = next((found for rule in rules if (found := rule.read(RelPath(path)))), label)
    try:
        fields = checked(label.type, label.fields)
    except MeaningError as error:
        raise typer.BadParameter(str(error)) from None
    keys = layout.keys_for(Subject(RelPath(path), label.type, fields))
    if not keys:
        hint = "say --field md5=… and --field created=…"
        raise TierdError("unknown-key", f"only the content of {path} can tell its key", hint, 404)
    shown = {"layout": layout.name, "path": path, "type": label.type, "fields": fields, "keys": list(keys)}
    _show(given, shown, [*zip(("key", "or, where that is taken"), keys, strict=False)])


def parse(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="An object's key, without the store's prefix, or its URL.")],
    *,
    name: Named = None,
) -> None:
    """Print what a key says about its asset."""
    given = options(context)
    settings, layout = _chosen(given, name)
    key = key.removeprefix(settings.store.url.rstrip("/") + "/")
    found = layout.parse(key)
    if found is None:
        raise TierdError(
            "unknown-key",
            f"{key} is not a key of the layout {layout.name}, or only the object's metadata can tell",
            "",
            404,
        )
    shown = {"layout": layout.name, "key": key, "type": found.type, "fields": dict(found.fields)}
    shown |= {"path": found.path, "file": found.file}
    rows = [(each, shown[each]) for each in ("path", "file", "type") if shown[each] is not None]
    _show(given, shown, [*rows, *found.fields.items()])


def _chosen(given: Options, name: str | None) -> tuple["Settings", "Layout"]:
    from daemon import config, sources  # noqa: PLC0415 - pydantic takes long
    from tiering.layouts import NAMES, named, own  # noqa: PLC0415

    settings, problems = config.judge(sources.find_file(given.config, os.environ), os.environ)
    # Whether the cache root is mounted, say, is no matter here.
    if ours := [problem for problem in problems if problem.key.startswith(("layout", "metadata"))]:
        raise sources.ConfigError(ours)
    if name is not None and name not in NAMES:
        raise typer.BadParameter(f"there is no layout {name}: known are {', '.join(NAMES)}")
    rules = settings.layout.rules
    if name is None and rules is not None:
        return settings, own([rule.rule() for rule in rules])
    return settings, named(name or settings.layout.name)


def _show(given: Options, shown: dict[str, Any], rows: list[tuple[str, object]]) -> None:
    if given.json:
        screen.show_json(shown)
    else:
        screen.show_pairs(rows)
