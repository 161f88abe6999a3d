"""More happens in the tree than any watch can tell: what is there at the end is replicated, and nothing unfinished is.

Files come in directories that are not watched yet, in trees that are moved in, and while the daemon stands still and
the kernel drops what it would have told; some have names that careless code loses, some grow, some vanish. How long it
may take is measured by the same server: so many times as long as a bare client needs for as many objects.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import pytest
from buckets import Bucket
from effort import scaled, seeds
from test_end_to_end_guards import mounted
from trees import HOSTILE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon_process import Daemon, Launch

PART = "R8 watch storm"
SEEDS = seeds(PART, 1)
COUNT = scaled(test=5_000, quick=50_000, long=1_000_000)
TIMES = 8
"""So many times as long as the bare client may everything take, from quiet on."""
SAMPLE = 300
GROWING = 5
QUEUE = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
NAMES = [*HOSTILE_NAMES, "\u202egnp.exe", "\u00e9", "e\u0301", "a" * 126 + "\u00e9" * 64]
"""Also: written from right to left; two that look the same; and 254 bytes of both."""


class Storm:
    """What the owner of a root does in a hurry; `files` is what he has left in the end."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.daemon = daemon
        self.chance = random.Random(seed)
        self.files: dict[str, bytes] = {}
        self.grown: list[str] = []
        self._outside = daemon.directory / "outside"
        self._outside.mkdir()
        (daemon.root / "known").mkdir()

    def content(self) -> bytes:
        """Return a small content that no other file has."""
        return b"%d " % len(self.files) + self.chance.randbytes(self.chance.randrange(500))

    def write(self, path: str, *, beside: Path | None = None) -> None:
        """Write a file by its name, as a copy does, making what directories it needs."""
        place = (beside or self.daemon.root) / path
        content = self.content()
        try:
            place.write_bytes(content)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        self.files[path] = content

    def make_directories(self, count: int) -> None:
        """Write files into directories that were made a moment ago."""
        for number in range(count):
            self.write(f"new/{number // 500}/{number // 20 % 25}/{number}.bin")

    def move_in(self, count: int) -> None:
        """Bring trees that were made elsewhere; only the move itself is ever told."""
        for first in range(0, count, 250):
            for number in range(first, min(first + 250, count)):
                self.write(f"moved{first}/{number % 5}/{number}.bin", beside=self._outside)
            (self._outside / f"moved{first}").rename(self.daemon.root / f"moved{first}")

    def overflow(self, count: int) -> None:
        """Stop the daemon, let more happen than the kernel keeps, and then what matters."""
        self.daemon.signal(SIGSTOP)
        try:
            first, second = (self.daemon.root / "known" / name for name in ("first.tmp", "second.tmp"))
            first.touch()
            second.touch()
            for _ in range(QUEUE // 2 + 100):
                os.utime(first)
                os.utime(second)
            for number in range(len(self.files), len(self.files) + count):
                self.write(f"known/{number}.bin")
        finally:
            self.daemon.signal(SIGCONT)

    def name(self) -> None:
        """Use every name that there is, for files and for directories."""
        for number, name in enumerate(NAMES):
            self.write(f"names/{number}/{name}")
            self.write(f"directories/{number}/{name}/f")

    def vanish(self, count: int) -> None:
        """Make files that are gone before anybody can look."""
        for number in range(count):
            place = self.daemon.root / "known" / f"vanishing{number}.bin"
            place.write_bytes(b"not for long")
            place.unlink()

    def grow(self, over: threading.Event) -> None:
        """Write files for as long as the storm lasts, and a little beyond."""
        paths = [f"known/growing{number}.bin" for number in range(GROWING)]
        contents = dict.fromkeys(paths, b"")
        files = {path: (self.daemon.root / path).open("ab", buffering=0) for path in paths}
        while not over.wait(0.005):
            for path in paths:
                contents[path] += files[path].name.encode()[-9:]
                files[path].write(files[path].name.encode()[-9:])
        for file in files.values():
            file.close()
        self.files |= contents
        self.grown = paths

    def run(self) -> None:
        """Do all of it."""
        over = threading.Event()
        growing = threading.Thread(target=self.grow, args=(over,))
        growing.start()
        try:
            self.make_directories(COUNT * 6 // 10)
            self.name()
            self.overflow(COUNT // 10)
            self.vanish(COUNT // 50)
            self.move_in(COUNT - len(self.files) - GROWING)
        finally:
            over.set()
            growing.join()


def bare_seconds(bucket: Bucket, count: int) -> float:
    """Return how long a client that only sends needs for so many objects, from a sample."""
    bare = Bucket(bucket.endpoint)
    began = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: bare.put(f"{number}", os.urandom(250)), range(SAMPLE)))
    bare.close()
    return (time.monotonic() - began) * count / SAMPLE


def audit(daemon: Daemon, files: dict[str, bytes]) -> None:
    """Compare index and store with what its owner has left, byte by byte: a small object's ETag is its MD5."""
    assets = {path: asset for path, asset in daemon.assets().items() if asset["state"] != "gone"}
    assert assets.keys() == files.keys()
    stored = daemon.bucket.listed()
    wrong = [
        path
        for path, content in files.items()
        if stored.get(assets[path]["key"]) != hashlib.md5(content).hexdigest()
        or assets[path]["digest"] != f"sha256:{hashlib.sha256(content).hexdigest()}"
    ]
    assert not wrong


@pytest.mark.timeout(scaled(test=300, quick=1200, long=7200))
@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm(bucket: Bucket, launch: Launch, seed: int, record_property: Callable[[str, object], None]) -> None:
    """Everything that is there is found, once it is whole."""
    allowed = TIMES * bare_seconds(bucket, COUNT)
    daemon = launch(bucket, LOG__LEVEL="warning")
    storm = Storm(daemon, seed)
    storm.run()
    began = time.monotonic()
    daemon.wait("all files", lambda: daemon.status()["assets"]["replicated"] == len(storm.files), seconds=allowed)
    daemon.wait_rest()
    record_property("files", len(storm.files))
    record_property("% of the time allowed", round(100 * (time.monotonic() - began) / allowed))
    audit(daemon, storm.files)
    verified = [change["path"] for change in daemon.client.events(follow=False) if change["event"] == "verified"]
    assert [verified.count(path) for path in storm.grown] == [1] * GROWING, "stored before it was whole"
    assert daemon.status()["assets"]["damaged"] == daemon.status()["assets"]["stuck"] == 0
    # Once more, when nothing else gives a reason to look.
    storm.overflow(SAMPLE)
    daemon.wait("what nobody was told of", lambda: daemon.status()["assets"]["replicated"] == len(storm.files))
    audit(daemon, storm.files)


def write_on(directory: Path, over: threading.Event) -> None:
    """Write files until it is over."""
    directory.mkdir()
    number = 0
    while not over.wait(0.005):
        (directory / f"{number}.bin").write_bytes(b"%d" % number)
        number += 1


@pytest.mark.parametrize("seed", seeds(PART, scaled(test=1, quick=3, long=50)))
def test_the_mount_vanishes(bucket: Bucket, launch: Launch, seed: int) -> None:
    """In the middle of it, lazily, as a failing disk does: nothing that was proven is given up, and all comes back."""
    daemon = launch(bucket, start=False, LOG__LEVEL="warning")
    chance = random.Random(seed)
    disk = daemon.directory / "disk"
    disk.mkdir()
    files = {f"{number % 5}/{number}.bin": chance.randbytes(500) for number in range(200)}
    with mounted(disk, "-t", "tmpfs", "tmpfs"):
        with mounted(daemon.root, "--bind", str(disk)):
            daemon.start()
            daemon.drop(files)
            daemon.wait_replicated(len(files))
            over = threading.Event()
            writing = threading.Thread(target=write_on, args=(disk / "late", over))
            writing.start()
            threading.Event().wait(chance.random() / 2)
        try:
            list(daemon.client.drain(wait=False))  # looks at the whole tree
            daemon.wait("the brake", lambda: daemon.status()["brake"]["engaged"])
        finally:
            over.set()
            writing.join()
        assets = {path: asset["state"] for path, asset in daemon.assets().items()}
        assert {assets[path] for path in files} == {"replicated"}
        assert not {"cold", "gone", "damaged"} & set(assets.values())
        assert {each["outcome"] for each in daemon.client.demote(list(files))} == {"refused"}
        assert {daemon.bucket.listed()[daemon.client.asset(path)["key"]] for path in files} == {
            hashlib.md5(content).hexdigest() for content in files.values()
        }
        with mounted(daemon.root, "--bind", str(disk)):
            list(daemon.client.drain(wait=False))
            daemon.wait("release", lambda: not daemon.status()["brake"]["engaged"])
            files |= {f"late/{path.name}": path.read_bytes() for path in (disk / "late").iterdir()}
            daemon.wait_replicated(len(files))
            audit(daemon, files)
            daemon.crash()
