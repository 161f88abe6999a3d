"""Which files are right, by reading every byte again and comparing its SHA-256 with that of the original."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from demo.media import Media


SHOWN: Final = 20


class DifferenceError(Exception):
    """Something is not as it must be."""

    def __init__(self, differences: Sequence[str]) -> None:
        rest = len(differences) - SHOWN
        super().__init__("\n".join([*differences[:SHOWN], *([f"and {rest} more"] if rest > 0 else [])]))


@dataclass(frozen=True, slots=True)
class Copies:
    """The files below a directory: the paths that are right, and what is to be said against each other one."""

    right: frozenset[str]
    wrong: Mapping[str, str]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(directory: Path, media: Sequence[Media]) -> Copies:
    """Read every file below the directory, dot directories at its top left out, and compare it with the original."""
    wanted = {each.path: each.sha256 for each in media}
    paths = _files(directory)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = dict(zip(paths, pool.map(lambda path: sha256_of(directory / path), paths), strict=True))
    right = frozenset(path for path, digest in found.items() if wanted.get(path) == digest)
    return Copies(right, {path: _complaint(directory, path, wanted) for path in sorted(found.keys() - right)})


def check_all_stored(stored: Copies, media: Sequence[Media]) -> None:
    """Raise DifferenceError unless every file is in the store, right, and nothing else is."""
    missing = [
        f"not in the store: {path}"
        for path in sorted({each.path for each in media} - stored.right - stored.wrong.keys())
    ]
    if missing or stored.wrong:
        raise DifferenceError([*stored.wrong.values(), *missing])


def check_nothing_lost(local: Copies, stored: Copies, media: Sequence[Media]) -> None:
    """Raise DifferenceError unless every file is right on disk or in the store, and nothing is wrong anywhere."""
    kept = local.right | stored.right
    lost = [f"lost: {path}" for path in sorted({each.path for each in media} - kept)]
    if lost or local.wrong or stored.wrong:
        raise DifferenceError([*lost, *local.wrong.values(), *stored.wrong.values()])


def _complaint(directory: Path, path: str, wanted: Mapping[str, str]) -> str:
    what = "other bytes than it was given" if path in wanted else "a file that nobody put there"
    return f"{what}: {directory / path}"


def _files(directory: Path) -> list[str]:
    return [
        str(file.relative_to(directory))
        for top in directory.iterdir()
        if not top.name.startswith(".")
        for file in ([top] if top.is_file() else top.rglob("*"))
        if file.is_file()
    ]
