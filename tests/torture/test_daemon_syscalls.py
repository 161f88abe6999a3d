"""System calls fail under the whole daemon, while it works with a real store: it goes on, or ends and says why.

Which thread makes a call is not known beforehand here, so that a fault falls on the k-th call of every thread.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, a_directory, sha256
from doomed import Doomed
from effort import scaled
from holdings import Holdings, audit, lost

from daemon.client import TierdError, UnreachableError
from demo.service import DiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from buckets import Bucket

PART = "R3 failing system calls"

CALLS = ("fsync", "fdatasync", "linkat", "renameat", "rename", "unlinkat", "unlink", "pwrite64", "openat", "fallocate")
MOMENTS = scaled(test=(1,), quick=(1,), long=tuple(range(1, 9)))
SECONDS = 2.0
"""How long a fault that does not pass is waited for to be felt everywhere."""
INDEX_FAULT = 1
"""The exit code of a daemon whose index cannot be written."""
LEFT = "its copy stays in the trash until the next start"
"""What is said where an unlink failed: nobody sees that copy any more."""


@dataclass(frozen=True)
class Fault:
    """The `call` fails with `error` in every thread, at its `number`th and perhaps from then on."""

    call: str
    error: str
    number: int
    forever: bool

    def __str__(self) -> str:
        return f"{self.call}-{self.error}-{self.number}{'-forever' if self.forever else ''}"

    @property
    def options(self) -> list[str]:
        """What strace is told."""
        when = f"{self.number}{'+' if self.forever else ''}"
        return [f"--trace={self.call}", f"--inject={self.call}:error={self.error}:when={when}"]


def _cases() -> list[Fault]:
    calls = scaled(test=("fsync",), quick=CALLS, long=CALLS)
    errors = scaled(test=("EIO",), quick=("EIO", "ENOSPC"), long=("EIO", "ENOSPC", "EMFILE", "EINTR"))
    every = [Fault(*each) for each in product(calls, errors, MOMENTS, (False, True))]
    # Whoever is interrupted begins again, so that for ever would be for ever.
    return [fault for fault in every if not (fault.error == "EINTR" and fault.forever)]


class World:
    """A daemon with assets in both tiers, and its owner's files."""

    def __init__(self, daemon: Doomed) -> None:
        self.daemon = daemon
        self.holdings = Holdings()
        self._chance = random.Random(daemon.bucket.prefix)

    def drop(self, path: str, size: int = 20_000) -> None:
        """Write a file."""
        content = self._chance.randbytes(size)
        self.holdings.put(path, content)
        self.daemon.drop({path: content})

    def fill(self) -> None:
        """Have three files in both tiers, and two in the store only."""
        for name in ("kept.bin", "renamed.bin", "demoted.bin", "promoted.bin", "cold.bin"):
            self.drop(name)
        self.daemon.wait_replicated(5)
        self.daemon.client.demote(["promoted.bin", "cold.bin"])

    def act(self) -> None:
        """Do a little of everything. What is asked of a daemon that fails may be refused, and that is all."""
        self.drop("large.mov", 9 * MIB)
        self.drop("sub/new.bin")
        self.drop("kept.bin")
        (self.daemon.root / "renamed.bin").rename(self.daemon.root / "another.bin")
        self.holdings.rename("renamed.bin", "another.bin")
        for order in (
            lambda: self.daemon.client.demote("demoted.bin"),
            lambda: self.daemon.read("promoted.bin"),
            lambda: self.daemon.client.promote("promoted.bin"),
            lambda: self.daemon.wait("rest", self._is_at_rest, seconds=SECONDS),
        ):
            with suppress(TierdError, DiedError, AssertionError):
                order()

    def wait_noticed(self) -> None:
        """Wait until it is known what happened to the files: where a hint or a scan failed, by the next scan."""
        digest = f"sha256:{sha256(self.holdings.files['kept.bin'])}"
        self.daemon.wait("the new content is sent", lambda: self.daemon.assets()["kept.bin"]["digest"] == digest)
        self.daemon.wait("the old name is gone", lambda: self._state("renamed.bin") in {None, "cold"})
        self.daemon.wait("no brake", lambda: not self.daemon.status()["brake"]["engaged"])

    def _state(self, path: str) -> str | None:
        return self.daemon.assets().get(path, {}).get("state")

    def _is_at_rest(self) -> bool:
        with suppress(UnreachableError):
            assets = self.daemon.status()["assets"]
            return bool(assets["replicated"] >= 5 and not assets["new"] and not assets["uploading"])
        return not self.daemon.is_alive()


@pytest.fixture
def world(bucket: Bucket) -> Iterator[World]:
    """Begin with some assets."""
    with a_directory(dir="/var/tmp") as directory:
        daemon = Doomed(directory, bucket, {"TIERING__INTERVAL": "1s"})
        try:
            daemon.start()
            world = World(daemon)
            world.fill()
            yield world
        finally:
            sys.stdout.write(daemon.said[-20_000:])
            daemon.crash()


@contextmanager
def failing(pid: int, fault: Fault, log: Path) -> Iterator[None]:
    """Have a process's calls fail until the block ends."""
    command = ["strace", "-f", "-o", str(log), *fault.options, "-p", str(pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    try:
        said = strace.stderr.readline()
        assert "attached" in said, said
        os.set_blocking(strace.stderr.fileno(), False)
        yield
    finally:
        strace.terminate()
        strace.wait(30)
        strace.stderr.close()


@pytest.mark.parametrize("fault", _cases(), ids=str)
def test_fault(world: World, fault: Fault, record_property: Callable[[str, object], None]) -> None:
    """It goes on, or ends as one does whose index fails; nothing is lost, and afterwards all is as if nothing was."""
    daemon, log = world.daemon, world.daemon.directory / "strace"
    with failing(daemon.pid, fault, log):
        world.act()
        if fault.forever or LEFT in daemon.said:
            daemon.crash()
    record_property("faults", log.read_text(encoding="utf-8", errors="replace").count("(INJECTED)"))
    if not daemon.is_alive():
        assert daemon.ended(seconds=1) in {-9, INDEX_FAULT}
        assert lost(daemon, world.holdings) == []
        daemon.start()
    world.wait_noticed()
    audit(daemon, world.holdings)
    assert "Traceback" not in daemon.said
