"""What is known about the objects of a file store, beside their bytes.

A file cannot be replaced together with its metadata in one step. So a sidecar's name says for which version of which
key it speaks (key, mtime and size): it is durable before that version gets its name, and the version before keeps its
own until it is replaced. A crash leaves the old object with the old sidecar or the new with the new, and at worst a
sidecar that speaks for nothing. Neither copying a store elsewhere nor restoring it parts the two, if mtimes are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.store import Attributes, UnavailableError
from tiering.stores.file_staging import sync_directory, write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiering.stores.file_staging import Staged

_SHARDS: Final = [f"{shard:02x}" for shard in range(256)]
_BUMPS_NS: Final = (0, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""How much later a version says it was made when another of the same size says the same; some disks count seconds."""


def digest_of(key: str) -> str:
    """Return the name by which a file store knows a key where the key itself cannot be a name."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Label:
    """What a sidecar says. `upload_id` is the multipart upload that made the object, if one did."""

    key: str
    etag: str
    attributes: Attributes
    upload_id: str = ""

    def to_json(self) -> bytes:
        """Return the label as a sidecar holds it."""
        said = {
            "key": self.key,
            "etag": self.etag,
            "content_type": self.attributes.content_type,
            "metadata": dict(self.attributes.metadata),
            "upload_id": self.upload_id,
        }
        return json.dumps(said).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Label:
        """Return the label that a sidecar holds. Raise ValueError where it is not whole."""
        said = json.loads(text)
        return cls(said["key"], said["etag"], Attributes(said["content_type"], said["metadata"]), said["upload_id"])


class Sidecars:
    """The sidecars of one store, below a directory of their own. Everything blocks."""

    def __init__(self, directory: Path, *, clock_ns: Callable[[], int]) -> None:
        self._directory = directory
        self._clock_ns = clock_ns

    def prepare(self) -> None:
        """Make their directories, where they are missing."""
        for shard in _SHARDS:
            (self._directory / shard).mkdir(mode=0o750, parents=True, exist_ok=True)
        sync_directory(self._directory)

    def place(self, digest: str, found: os.stat_result) -> Path:
        """Return where the sidecar is of the version of a key that this file is."""
        return self._directory / digest[:2] / f"{digest}-{found.st_mtime_ns}-{found.st_size}"

    def write(self, staged: Staged, label: Label) -> Path:
        """Give a staged file its mtime and a sidecar that no other version has; both are durable when this returns."""
        now = self._clock_ns()
        for bump in _BUMPS_NS:
            os.utime(staged.fd, ns=(now + bump, now + bump))
            place = self.place(digest_of(label.key), os.fstat(staged.fd))
            try:
                fd = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
            except FileExistsError:
                continue
            try:
                write_all(fd, label.to_json())
                os.fsync(fd)
                sync_directory(place.parent)
                staged.sync()
            except BaseException:
                place.unlink()
                raise
            finally:
                os.close(fd)
            return place
        raise UnavailableError(f"{label.key}: it is written too often for this disk's clock", key=label.key)


def read_label(sidecar: Path) -> Label | None:
    """Return what a sidecar says, None where there is none or it is not whole."""
    try:
        return Label.from_json(sidecar.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
