"""Disks of a few MiB, mounted for a test, and filled to the last byte."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = 4096


@contextmanager
def small_disk(place: Path, **options: object) -> Iterator[None]:
    """Mount a file system in memory over a directory until the block ends: `size`, `nr_inodes`."""
    given = ",".join(f"{name}={value}" for name, value in options.items())
    subprocess.run(["mount", "-t", "tmpfs", "-o", given, "tmpfs", str(place)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=30)


def fill(ballast: Path, *, leave: int) -> None:
    """Fill the disk with a file, but for so many bytes."""
    with ballast.open("ab") as file:
        with suppress(OSError):
            while True:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), PAGE * 64)
        with suppress(OSError):
            while True:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), PAGE)
        file.truncate(max(0, file.seek(0, os.SEEK_END) - leave))


def free(disk: Path) -> int:
    """Return how many bytes are left."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize
