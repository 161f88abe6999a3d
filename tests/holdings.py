"""What the owner of a cache root has put into it, and where all of it must be found again, byte for byte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from daemon_process import MIB, Daemon, sha256

from daemon.client import TierdError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PART = 5 * MIB
REST = {"replicated", "cold", "gone"}


class Holdings:
    """The files that must exist, and the names that some of them had: what is cold under such a name may stay."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.former: dict[str, set[str]] = {}
        """By path, the SHA-256 of what was there before."""
        self.removed: set[str] = set()
        """Paths that a person has ordered to be removed, whether or not anybody has heard of it."""

    def put(self, path: str, content: bytes) -> None:
        """Its owner writes a file."""
        if path in self.files:
            self.former.setdefault(path, set()).add(sha256(self.files[path]))
        self.files[path] = content

    def rename(self, path: str, name: str) -> None:
        """Its owner renames a file."""
        self.former.setdefault(path, set()).add(sha256(self.files[path]))
        self.files[name] = self.files.pop(path)

    def remove(self, path: str) -> None:
        """A person orders that it be removed from both tiers."""
        self.former.setdefault(path, set()).add(sha256(self.files.pop(path)))
        self.removed.add(path)


def lost(daemon: Daemon, holdings: Holdings) -> list[str]:
    """Return the paths whose content is neither on disk, at its name or in the trash, nor whole in the store.

    For a moment at which no daemon runs.
    """
    trash = daemon.root / ".tierd" / "trash"
    kept = {sha256(each.read_bytes()) for each in trash.iterdir()} if trash.exists() else set()
    stored = daemon.bucket.etags()
    return [
        path
        for path, content in holdings.files.items()
        if _read(daemon.root / path) != content and sha256(content) not in kept and etag_of(content) not in stored
    ]


def audit(daemon: Daemon, holdings: Holdings) -> None:
    """Read everything everywhere: through the socket, from the disk, and from the store by a client of its own.

    For a daemon that runs. Afterwards everything is hot.
    """
    daemon.wait("everything is seen", lambda: holdings.files.keys() <= daemon.assets().keys())
    _end_removals(daemon, holdings)
    daemon.wait_rest()
    assets = daemon.assets()
    assert {asset["state"] for asset in assets.values()} <= REST
    live = {path: asset for path, asset in assets.items() if asset["state"] != "gone"}
    assert not holdings.files.keys() - live.keys()
    assert not {path for path in live.keys() - holdings.files.keys() if not _may_stay(live[path], holdings)}
    for path in holdings.files:
        assert (daemon.root / path).exists() == (live[path]["state"] == "replicated"), (path, live[path]["state"])
    _audit_store(daemon, live, holdings)
    assert not [path for path, content in holdings.files.items() if daemon.read(path) != content]
    daemon.wait_rest()
    _audit_disk(daemon, holdings)


def _may_stay(asset: Mapping[str, str], holdings: Holdings) -> bool:
    """Whether it is what the owner has renamed: nobody told tierd to remove that."""
    is_former = asset["digest"].removeprefix("sha256:") in holdings.former.get(asset["path"], ())
    return is_former and asset["state"] == "cold" and asset["path"] not in holdings.removed


def _end_removals(daemon: Daemon, holdings: Holdings) -> None:
    """Order again what was ordered: whoever has not heard that it was done does so."""
    for path in holdings.removed:

        def is_gone(path: str = path) -> bool:
            try:
                daemon.client.remove(path)
            except TierdError as error:
                return error.status == 404
            return True

        daemon.wait(f"{path} is removed", is_gone)


def _audit_store(daemon: Daemon, assets: Mapping[str, Mapping[str, str]], holdings: Holdings) -> None:
    prefix = f"{daemon.bucket.prefix}/"
    keys = {path: asset["key"].removeprefix(prefix) for path, asset in assets.items()}
    daemon.wait("purges", lambda: not _unexplained(daemon, set(keys.values()), holdings))
    daemon.wait("the probe", lambda: daemon.status()["store"]["reachable"])
    daemon.wait("no probe is left", lambda: not daemon.bucket.probes())
    stored = daemon.bucket.download(daemon.bucket.keys())
    assert not [path for path, content in holdings.files.items() if stored[keys[path]] != sha256(content)]
    for path in holdings.files:
        said = daemon.bucket.head(keys[path])["Metadata"]
        assert (said["tierd-id"], said["tierd-sha256"]) == (assets[path]["id"], sha256(holdings.files[path]))


def _unexplained(daemon: Daemon, keys: set[str], holdings: Holdings) -> set[str]:
    """Return the keys that are no asset's, nor one's that was renamed and has left its object behind."""
    return {key for key in daemon.bucket.keys() - keys if key not in holdings.former or key in holdings.removed}


def _audit_disk(daemon: Daemon, holdings: Holdings) -> None:
    found = {str(path.relative_to(daemon.root)): path for path in daemon.root.rglob("*") if path.is_file()}
    ours = {path for path in found if path.startswith(".tierd/")}
    assert ours == {".tierd/lock", ".tierd/root-id"}
    assert found.keys() - ours == holdings.files.keys()
    assert not [path for path, content in holdings.files.items() if found[path].read_bytes() != content]


def etag_of(content: bytes) -> str:
    """Return the ETag that S3 gives a content that tierd has sent."""
    if len(content) <= 8 * MIB:
        return hashlib.md5(content).hexdigest()
    parts = [hashlib.md5(content[start : start + PART]).digest() for start in range(0, len(content), PART)]
    return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
