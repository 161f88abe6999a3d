"""The index is a belief: where it is lost or broken, tree and store bring it back, and nothing is uploaded again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from buckets import Bucket

TOLD = ("id", "key", "size", "digest", "generation", "state", "mtime", "content_type")


def remove(daemon: Daemon) -> None:
    """Remove the index with all that belongs to it."""
    for part in daemon.directory.glob("index.db*"):
        part.unlink()


def fill_with_garbage(daemon: Daemon) -> None:
    """Put something else in its place."""
    (daemon.directory / "index.db").write_bytes(random.Random(1).randbytes(100_000))


def truncate(daemon: Daemon) -> None:
    """Cut it off in the middle of a page."""
    index = daemon.directory / "index.db"
    index.write_bytes(index.read_bytes()[: index.stat().st_size // 2 + 17])


def spoil_a_page(daemon: Daemon) -> None:
    """Overwrite pages in the middle of it."""
    with (daemon.directory / "index.db").open("r+b") as index:
        index.seek(2 * 4096)
        index.write(random.Random(2).randbytes(3 * 4096))


@pytest.mark.parametrize("spoil", [remove, fill_with_garbage, truncate, spoil_a_page])
def test_a_lost_index_is_rebuilt(bucket: Bucket, launch: Launch, spoil: Callable[[Daemon], None]) -> None:
    """Path, key, size, digest, id and generation come back; cold assets are cold again; not one byte is sent."""
    daemon = launch(bucket)
    files = {f"{number % 3}/{number:03}.jpg": random.Random(number).randbytes(1000 + number) for number in range(100)}
    files |= {"video.mov": random.Random(1000).randbytes(9 * MIB), "again.jpg": b"the first"}
    daemon.drop(files)
    daemon.wait_replicated(len(files))
    files["again.jpg"] = b"the second"
    daemon.drop({"again.jpg": files["again.jpg"]})
    daemon.wait_state("again.jpg", "replicated", generation=2)
    cold = [path for path in files if path.startswith("0/")]
    assert {each["outcome"] for each in daemon.client.demote(cold)} == {"done"}
    before = told(daemon)
    daemon.stop()
    spoil(daemon)

    daemon.start()
    daemon.wait("all to be found", lambda: told(daemon).keys() == before.keys())
    daemon.wait("all to be proven", lambda: daemon.status()["assets"]["replicated"] == len(files) - len(cold))
    after = told(daemon)
    assert {path: (after[path], asset) for path, asset in before.items() if after[path] != asset} == {}
    assert daemon.figure("upload_bytes_total") == 0
    broken = [path for path in daemon.directory.glob("index.db.broken-*") if not path.name.endswith(("-wal", "-shm"))]
    assert len(broken) == (spoil is not remove), "what was broken is kept"
    assert all(daemon.read(path) == content for path, content in files.items())
    audit_objects(bucket, daemon.assets(), files)


def told(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Return what the index says of each asset, as far as it must come back."""
    return {path: {name: asset[name] for name in TOLD} for path, asset in daemon.assets().items()}


def test_what_changed_while_nobody_looked(bucket: Bucket, launch: Launch) -> None:
    """A file written, and one removed, while there was no daemon and no index: the new bytes are uploaded, once."""
    daemon = launch(bucket)
    files = {f"{number}.jpg": random.Random(number).randbytes(5000) for number in range(10)}
    daemon.drop(files)
    daemon.wait_replicated(10)
    daemon.stop()
    remove(daemon)
    files["0.jpg"] = b"written while nobody looked"
    daemon.drop({"0.jpg": files["0.jpg"]})
    (daemon.root / "1.jpg").unlink()
    daemon.start()
    written = daemon.wait_state("0.jpg", "replicated", generation=2)
    assert written["size"] == len(files["0.jpg"])
    daemon.wait_state("1.jpg", "cold")
    assert daemon.wait_rest()["replicated"] == 9
    assert daemon.figure("upload_bytes_total") == len(files["0.jpg"])
    assert all(daemon.read(path) == content for path, content in files.items())
    audit_objects(bucket, daemon.assets(), files)


def test_nothing_is_demoted_where_a_lease_may_be_held(bucket: Bucket, launch: Launch) -> None:
    """After a restart nobody knows who holds a lease: nothing leaves the disk before every one of them has ended."""
    daemon = launch(bucket)
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")
    daemon.kill()
    list(daemon.client.drain())  # The first scan is done then.
    daemon.wait("the probe", lambda: daemon.status()["store"]["reachable"])
    refused = daemon.client.demote("a.bin")[0]
    assert (refused["outcome"], "from before the start" in refused["reason"]) == ("refused", True)
    daemon.wait("the end of every lease", lambda: daemon.client.demote("a.bin")[0]["outcome"] == "done")
    assert daemon.read("a.bin") == b"content"
