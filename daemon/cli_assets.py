"""Commands about single assets: why one is where it is, and away with it."""

from functools import partial
from typing import Annotated

import typer

from daemon import render
from daemon.cli_options import Code, asset_path, attempt, options, show_results
from daemon.units import human_size

Path = Annotated[str, typer.Argument(help="An asset, by path relative to the cache root.", metavar="PATH")]


def explain(context: typer.Context, path: Path) -> None:
    """Say where an asset is, what would happen to it next, and why."""
    given = options(context)
    client = given.client()
    found = client.explain(asset_path(client, path))
    if given.json:
        render.show_json(found)
        return
    proof = found["proof"] or {"": "none"}
    render.show_pairs(
        (
            ("path", found["path"]),
            ("state", found["state"]),
            *((f"proof {name}".rstrip(), render.cell(name, value)) for name, value in proof.items()),
            ("heat", found["heat"]),
            ("rank", found["rank"]),
            ("next", found["next"]),
            *(("because", reason) for reason in found["reasons"]),
        )
    )


def rm(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Assets, by path relative to the cache root.", metavar="PATH")],
) -> Code:
    """Remove assets from both tiers. Deleting a local file alone only makes its asset cold."""
    given = options(context)
    client = given.client()
    exact = [asset_path(client, path) for path in paths]
    results = [attempt(partial(client.asset, path), path, "planned") for path in exact]
    found = [result for result in results if result["outcome"] == "planned"]
    if found and not given.dry_run:
        size = human_size(sum(result["size"] for result in found))
        given.confirm(f"Remove {len(found)} of {len(paths)} assets ({size}) from this disk and the store, for good?")
        results = [attempt(partial(client.remove, path), path, "done") for path in exact]
    return show_results(given, results)
