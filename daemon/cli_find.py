"""The command that finds an asset by what it holds: its file was moved, or got another extension."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, options
from daemon.client import TierdError
from daemon.units import human_size

Json = dict[str, Any]

_STEP: Final = 4 << 20
_NO_FILE: Final = frozenset({"cold", "promoting", "damaged"})


def find_local(
    context: typer.Context,
    path: Annotated[str | None, typer.Argument(help="A local file, wherever it is.", metavar="PATH")] = None,
    *,
    sha256: Annotated[str | None, typer.Option(help="The SHA-256 of the content.", metavar="HEX")] = None,
    md5: Annotated[str | None, typer.Option(help="Its MD5.", metavar="HEX")] = None,
) -> Code:
    """Say which assets have a content, whatever they are called and wherever their bytes are. Exit code 3: none."""
    if len([each for each in (path, sha256, md5) if each is not None]) != 1:
        raise typer.BadParameter("say one of PATH, --sha256 and --md5")
    given = options(context)
    client = given.client()
    digests = {"sha256": _checked("--sha256", sha256, 64), "md5": _checked("--md5", md5, 32)}
    real = None
    if path is not None:
        digests = {"sha256": _hashed(Path(path))}
        real = os.path.relpath(os.path.realpath(path), os.path.realpath(client.health()["root"]))
    found = [{**asset, "is": real and verdict(asset, real)} for asset in client.holders(**digests)]
    if given.json:
        render.show_json({"sha256": digests["sha256"], "assets": found})
    else:
        _show(found)
    return Code.DONE if found else Code.NOT_FOUND


def verdict(asset: Json, path: str) -> str:
    """Say what a file at `path` beneath the cache root is to an asset of the same content.

    It is `itself`; or it was `moved`, where the asset has no file of its own; or it is a `copy`.
    """
    if asset["path"] == path:
        return "itself"
    return "moved" if asset["state"] in _NO_FILE else "copy"


def _checked(option: str, digest: str | None, length: int) -> str | None:
    if digest is not None and not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digest):
        raise typer.BadParameter(f"{option} {digest!r} is not of {length} hexadecimal digits")
    return digest and digest.lower()


def _hashed(path: Path) -> str:
    """Return the SHA-256 of a file. Raise TierdError where there is none."""
    if not path.is_file():
        raise TierdError("unknown-file", f"there is no file {path}", "", 404)
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file, render.progress("find-local") as show:
        size = path.stat().st_size
        while piece := file.read(_STEP):
            digest.update(piece)
            done += len(piece)
            show(done, size, f"{human_size(done)} of {human_size(size)}")
    return digest.hexdigest()


def _show(found: Iterable[Json]) -> None:
    rows = [(asset["path"], asset["is"], asset["state"], asset["size"], asset["key"]) for asset in found]
    if rows:
        render.show_table(("path", "is", "state", "size", "key"), rows)
    else:
        render.note("no asset has this content")
