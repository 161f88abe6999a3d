"""Peers that come from Debian: fetched where they are missing, and unpacked: installed, some start services."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

PLACE: Final = Path(sys.prefix) / "debian"
SECONDS: Final = 120

_PACKAGES: Final = {"nginx": ("nginx",), "s3fs": ("s3fs", "libfuse2"), "fusermount3": ("fuse3",)}
"""What has each program, and what that needs beyond a plain system."""
_DIRECTORIES: Final = ("usr/sbin", "usr/bin", "bin")


class MissingPeerError(Exception):
    """A peer is not here and cannot be had."""


@cache
def debian(name: str) -> str:
    """Return where one of Debian's programs is. Raise MissingPeerError where it is nowhere and cannot be fetched."""
    found = shutil.which(name, path=search_path())
    if found is None:
        _fetch(_PACKAGES[name])
        found = shutil.which(name, path=search_path())
    if found is None:
        raise MissingPeerError(f"{name} is not in Debian's {' and '.join(_PACKAGES[name])}")
    return found


def search_path() -> str:
    """Return where programs are looked for."""
    ours = [str(PLACE / directory) for directory in _DIRECTORIES]
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", *ours])


def libraries() -> str:
    """Return where the libraries of what was unpacked are."""
    return os.pathsep.join(str(each) for each in sorted(PLACE.glob("**/*-linux-gnu")))


def _fetch(packages: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as work:
        try:
            _run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages, at=work)
            for package in Path(work).glob("*.deb"):
                _run("dpkg", "-x", str(package), str(PLACE), at=work)
        except (OSError, subprocess.SubprocessError) as error:
            wanted = " ".join(packages)
            raise MissingPeerError(
                f"apt-get cannot fetch {wanted}; try: apt-get update; apt-get install {wanted}"
            ) from error


def _run(*command: str, at: str) -> None:
    subprocess.run(command, cwd=at, capture_output=True, timeout=SECONDS, check=True)
