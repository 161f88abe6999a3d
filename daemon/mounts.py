"""Which file system a path lies on, and how it is mounted, as the kernel tells this process."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOUNTINFO: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_NETWORK: Final = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"]
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: where, of what kind, with which options, those of the file system included."""

    point: str
    kind: str
    options: frozenset[str]

    @property
    def is_remote(self) -> bool:
        """Whether others may write it without this kernel's knowing: a network file system, or a program's own."""
        return self.kind in _NETWORK or self.kind.startswith("fuse")

    def __str__(self) -> str:
        return f"{self.point} ({self.kind})"


def parse(text: str) -> list[Mount]:
    """Return the mounts of a mountinfo file (proc(5)), those on top last."""
    return list(_parse(text))


def _parse(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        here, there = left.split(), right.split()
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), here[4])
        yield Mount(point, there[0], frozenset({*here[5].split(","), *there[2].split(",")}))


def mount_of(path: Path, mounts: Sequence[Mount]) -> Mount:
    """Return the mount that a path lies on; of one that is not there, where it would be made."""
    real = os.path.realpath(path)
    return max(
        (mount for mount in mounts if _is_within(real, mount.point)),
        key=lambda mount: (len(mount.point), mounts.index(mount)),
    )


def mounts_below(path: Path, mounts: Sequence[Mount]) -> list[Mount]:
    """Return the mounts beneath a directory."""
    real = os.path.realpath(path)
    return [mount for mount in mounts if mount.point != real and _is_within(mount.point, real)]


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
