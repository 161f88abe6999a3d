"""The command that has files safe in the store, and waits until they are."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, RefusedError, attempt, options, outcome_of, show_results
from daemon.client import Client, TierdError

POLL_SECONDS: Final = 0.2
_SAFE: Final = frozenset({"replicated", "cold"})
_NAME: Final = 200
"""How much of a name fits into a temporary one."""
_SETTLED: Final = _SAFE | {"stuck", "damaged", "gone"}


@dataclass(frozen=True, slots=True)
class Step:
    """One file, and the path that it has, or gets, beneath the root."""

    source: Path
    path: str
    is_inside: bool


def upload(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Files, or directories of files.", metavar="PATH")],
    *,
    to: Annotated[
        str | None,
        typer.Option(help="Copy files from outside the cache root into this directory of it first.", metavar="DIR"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace foreign objects that have the same keys.")] = False,
) -> Code:
    """Have files safe in the store now, and wait until they are.

    A PATH is a file as the shell sees it or, where there is none, relative to the cache root. Of a directory, hidden
    names are left out. A file outside the cache root is refused unless --to says where to copy it.
    """
    given = options(context)
    client = given.client()
    root = Path(client.health()["root"])
    steps = [step for path in paths for step in _plan(root, path, to)]
    if given.dry_run:
        return show_results(given, [outcome_of(step.path, "planned", size=_size(step.source)) for step in steps])
    results = [attempt(partial(_begin, client, root, step), step.path, "started") for step in steps]
    with render.progress("upload") as show:
        for number, step in enumerate(steps):
            show(number, len(steps), f"{number} of {len(steps)}")
            if results[number]["outcome"] == "started":
                results[number] = _finish(client, step.path, force=force)
    return show_results(given, results)


def _plan(root: Path, given: str, to: str | None) -> Iterator[Step]:
    """Yield what is to be done about one argument."""
    source = Path(given) if os.path.lexists(given) else root / given
    if not os.path.lexists(source):
        raise TierdError("unknown-file", f"there is no file {given}", "", 404)
    top = Path(os.path.realpath(source.parent), source.name)
    real_root = Path(os.path.realpath(root))
    is_inside = top.is_relative_to(real_root)
    if not is_inside and to is None:
        raise RefusedError(f"{given} is not inside the cache root {root}", "say --to DIR to copy it there")
    start = real_root if is_inside else top.parent
    for file in _files(top):
        path = file.relative_to(start)
        yield Step(file, str(path if is_inside else Path(to or "", path)), is_inside)


def _files(top: Path) -> Iterator[Path]:
    if not top.is_dir():
        yield top
        return
    for directory, names, files in os.walk(top):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(directory, name) for name in sorted(files) if not name.startswith("."))


def _begin(client: Client, root: Path, step: Step) -> dict[str, Any]:
    if not step.is_inside:
        _copy_in(step.source, root / step.path)
    asset = client.register(step.path)
    if asset["state"] == "stuck":
        client.retry([step.path], wait=False)
    return asset


def _finish(client: Client, path: str, *, force: bool) -> dict[str, Any]:
    """Wait until the asset is safe, or only a person can help; then be that person if told so."""
    asset = _settle(client, path)
    if force and asset["state"] == "stuck":
        client.retry([path], overwrite=True, wait=False)
        asset = _settle(client, path)
    reason = (asset["failure"] or {}).get("message", "") if asset["state"] not in _SAFE else ""
    outcome = "done" if asset["state"] in _SAFE else "failed"
    return outcome_of(path, outcome, reason=reason, state=asset["state"], size=asset["size"])


def _settle(client: Client, path: str) -> dict[str, Any]:
    while not _is_settled(asset := client.asset(path)):
        time.sleep(POLL_SECONDS)
    return asset


def _is_settled(asset: dict[str, Any]) -> bool:
    """Whether nothing more happens by itself; what the roll-out leaves on disk shows that as its failure."""
    return asset["state"] in _SETTLED or (asset["failure"] or {}).get("code") == "outside"


def _copy_in(source: Path, target: Path) -> None:
    """Copy a file to a name that must be free; the name appears when all of it is there."""
    temporary = target.with_name(f".{target.name[:_NAME]}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(source, temporary)
            os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise RefusedError(f"{target} exists", "choose another --to, or remove it") from None
    except OSError as error:
        raise TierdError("file", f"{source} could not be copied to {target}: {error.strerror}", "") from error


def _size(path: Path) -> int:
    return path.lstat().st_size
