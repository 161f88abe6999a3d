"""Commands that write an asset's content to a file. No file ever stands half-written under its own name."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from daemon import render
from daemon.cli_options import Options, asset_path, options
from daemon.client import Client, Content, TierdError
from daemon.units import human_size
from daemon.wire import decode

STDOUT: Final = "-"

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Where to: a file, a directory, or - for stdout. Else: here.", metavar="FILE"),
]


def get(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="An asset, by path relative to the cache root.", metavar="PATH")],
    *,
    output: Output = None,
) -> None:
    """Write an asset's content to a file, checked, wherever its bytes are."""
    given = options(context)
    client = given.client()
    _fetch(given, client, asset_path(client, path), output)


def download(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An asset, by path, object key or object URL.", metavar="KEY|PATH")],
    *,
    output: Output = None,
) -> None:
    """Write an asset's content to a file, as get does; a key or a URL of the store names it too.

    It is looked for by path first, then by key.
    """
    given = options(context)
    client = given.client()
    _fetch(given, client, _find(client, name), output)


def _find(client: Client, name: str) -> str:
    """Return the path of the asset that has this path, key or URL."""
    try:
        client.asset(path := asset_path(client, name))
    except TierdError as error:
        if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:  # a URL is no path
            raise
    else:
        return path
    for part in (Path(name).name, None):  # keys mostly end like paths; a cut one does not
        for asset in client.assets(q=part):
            if name in {asset["key"], asset["url"]}:
                return decode(asset["href"])
    raise TierdError("unknown-asset", f"no asset has the path or key {name}", "see: tierd list", HTTPStatus.NOT_FOUND)


def _fetch(given: Options, client: Client, path: str, output: str | None) -> None:
    if output == STDOUT:
        with client.content(path) as content:
            _copy(path, content, sys.stdout.buffer)
        sys.stdout.flush()
        return
    target = _target(path, output)
    if not target.parent.is_dir():
        # Said before anything is promoted for it.
        raise TierdError("file", f"{target.parent} is not a directory", "make it, or name another file")
    if given.dry_run:
        _report(given, path, target, client.asset(path)["size"])
        return
    if target.exists():
        given.confirm(f"{target} exists. Replace it?")
    with client.content(path) as content, _whole_file(target) as file:
        _copy(path, content, file)
    _report(given, path, target, content.size)


def _target(path: str, output: str | None) -> Path:
    name = Path(path).name
    if output is None:
        return Path(name)
    return Path(output, name) if output.endswith("/") or Path(output).is_dir() else Path(output)


def _report(given: Options, path: str, target: Path, size: int) -> None:
    if given.json:
        render.show_json({"path": path, "file": str(target), "size": size, "dry_run": given.dry_run})
    else:
        would = "would write" if given.dry_run else "wrote"
        render.note(f"{would} {target} ({human_size(size)})")


def _copy(path: str, content: Content, file: BinaryIO) -> None:
    """Write the content and check its size, and its SHA-256 where the daemon knows it."""
    digest = hashlib.sha256()
    written = 0
    with render.progress(Path(path).name) as show:
        for piece in content:
            file.write(piece)
            digest.update(piece)
            written += len(piece)
            show(written, content.size, f"{human_size(written)} of {human_size(content.size)}")
    if written != content.size or content.sha256 not in {None, digest.hexdigest()}:
        raise TierdError("corrupt", f"the content of {path} did not arrive whole", "try again; see: tierd verify")


@contextmanager
def _whole_file(target: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the target's name when it is whole, and leaves nothing behind when it is not."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, 0o666 & ~_umask())
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
