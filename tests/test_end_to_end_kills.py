"""SIGKILL at moments that nobody chose: after each, the next start brings everything to rest, and nothing is lost.

The seed is printed where a test fails; a moment is a state of the work, and a random while after it.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects

from daemon.client import TierdError
from tiering.multipart import PARTS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from buckets import Bucket

AT_REST = {"replicated", "cold"}


def some_files(seed: int) -> dict[str, bytes]:
    """Return files, a few of which go in parts."""
    chance = random.Random(seed)
    small = {f"{number % 4}/{number:02}.bin": chance.randbytes(chance.randrange(300_000)) for number in range(60)}
    return small | {f"large/{number}.mov": chance.randbytes(12 * MIB + number) for number in range(3)}


class Moments:
    """Kills a daemon at random moments, the same ones for the same seed as far as the machine allows."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self._daemon = daemon
        self._chance = random.Random(seed)

    def kill(self, what: str, is_so: Callable[[], object]) -> None:
        """Kill it a random while after it is so, and start it again."""
        self._daemon.wait(what, is_so)
        time.sleep(self._chance.uniform(0, 0.08))
        self._daemon.kill()

    def share(self, count: int) -> int:
        """Return a random part of a count."""
        return self._chance.randrange(1, count)


def check_nothing_lost(daemon: Daemon, files: dict[str, bytes]) -> None:
    """Everything comes to rest; every asset is where the index says it is; and each has its own bytes, everywhere."""
    rest = daemon.wait_rest()
    assert sum(rest.values()) == rest["replicated"] + rest["cold"] == len(files)
    assets = daemon.assets()
    for path, asset in assets.items():
        assert (daemon.root / path).exists() == (asset["state"] == "replicated"), (path, asset["state"])
        said = daemon.bucket.head(asset["key"].removeprefix(f"{daemon.bucket.prefix}/"))["Metadata"]
        assert (said["tierd-id"], said["tierd-generation"]) == (asset["id"], str(asset["generation"]))
    audit_objects(daemon.bucket, assets, files)
    assert all(daemon.read(path) == content for path, content in files.items())
    daemon.wait_rest()
    on_disk = {str(path.relative_to(daemon.root)): path for path in daemon.root.rglob("*") if path.is_file()}
    assert {path for path in on_disk if not path.startswith(".tierd/")} == set(files)
    assert not [path for path in on_disk if path.startswith((".tierd/trash/", ".tierd/tmp/"))]
    assert all((daemon.root / path).read_bytes() == content for path, content in files.items())
    # An upload that was begun, and not yet known to be, is swept after a day.
    assert not any(daemon.bucket.parts().values())


def test_killed_while_uploading(bucket: Bucket, launch: Launch) -> None:
    """Five kills while files are dropped in and uploaded."""
    daemon = launch(bucket, UPLOAD__BANDWIDTH="24 MiB", UPLOAD__CONCURRENCY="4")
    files, moments = some_files(11), Moments(daemon, 11)
    with ThreadPoolExecutor(1) as writer:
        dropped = writer.submit(daemon.drop, files)
        for _ in range(5):
            moments.kill("an upload", lambda: daemon.status()["assets"]["uploading"])
        dropped.result()
    check_nothing_lost(daemon, files)


def test_killed_in_a_multipart_upload(bucket: Bucket, launch: Launch) -> None:
    """After three kills in one large upload, the parts that the store had before are not sent again."""
    daemon = launch(bucket, UPLOAD__BANDWIDTH="16 MiB")
    content = random.Random(12).randbytes(60 * MIB)
    daemon.drop({"video.mov": content})
    moments = Moments(daemon, 12)
    for parts in (1, 4, 7):
        moments.kill(f"{parts} parts", lambda least=parts: len(bucket.parts().get("video.mov", ())) >= least)
    daemon.wait_state("video.mov", "replicated")
    assert daemon.figure("upload_bytes_total") <= (12 - 7 + PARTS_AT_ONCE) * 5 * MIB
    check_nothing_lost(daemon, {"video.mov": content})


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_killed_while_demoting_and_promoting(bucket: Bucket, launch: Launch, seed: int) -> None:
    """A kill while everything is demoted, and two while 8 clients want everything back."""
    daemon = launch(bucket)
    files, moments = some_files(seed), Moments(daemon, seed)
    daemon.drop(files)
    daemon.wait_replicated(len(files))
    daemon.client.demote(filter={}, wait=False)
    least = moments.share(len(files) // 2)
    moments.kill("a demotion", lambda: daemon.status()["assets"]["cold"] >= least)
    cold = daemon.wait_rest()["cold"]
    assert cold >= least, "what had left the disk did not come back by itself"
    with ThreadPoolExecutor(8) as clients:
        answers = [
            clients.submit(insist, daemon, path) for path in random.Random(seed).sample(sorted(files), len(files))
        ]
        for _ in range(2):
            before = daemon.status()["assets"]["cold"]
            if before:
                moments.kill("a promotion", lambda most=before: daemon.status()["assets"]["cold"] < most)
        assert all(answer.result() for answer in answers)
    check_nothing_lost(daemon, files)


def insist(daemon: Daemon, path: str) -> bytes:
    """Ask for an asset until somebody answers. Whatever is wrong for longer than a restart takes is raised."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return daemon.read(path)
        except TierdError as error:
            if time.monotonic() > deadline or error.status not in {None, 0, 503}:
                raise
            time.sleep(0.05)
