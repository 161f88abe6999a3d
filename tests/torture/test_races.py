"""Readers, writers and hard-linkers against the demoter, on few files and without a pause: no write is ever lost.

Every version says what it is: its number, its length and its hash. A reader gets a whole version, none older than the
last one that was finished before he began, or a clean miss: no file by that name, or the word to ask again. The
installed daemon demotes everything all the while; its store is a directory, since it is the disk that races.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from effort import scaled, seeds

from daemon.client import Client, NotReadyError, TierdError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon_process import Daemon, Launch

PART = "R9 demotion races"
SEEDS = seeds(PART, scaled(test=1, quick=1, long=30))
OPERATIONS = scaled(test=3_000, quick=20_000, long=20_000)
SECONDS = scaled(test=6.0, quick=60.0, long=60.0)
"""Whichever comes first ends a case."""
COUNT = 50
AGAIN = {"changing", "conflict"}
"""What the daemon says to who is to ask again: its writer is not done, or it moved."""
PAUSE = 0.02
"""Seconds before an act that keeps a file on the disk for a while: else nothing would ever leave it."""
LINKS = ".links"
"""A directory that is ignored: the same files by other names."""


def record(version: int, body: bytes) -> bytes:
    """Return a version that can be told from any other, and from a part of itself."""
    return b"%08d %08d %s\n" % (version, len(body), hashlib.sha256(b"%d " % version + body).hexdigest().encode()) + body


def versions(content: bytes) -> list[int]:
    """Return the versions that a content is made of. Raise AssertionError where any is not whole."""
    found = []
    while content:
        head, _, rest = content.partition(b"\n")
        fields = head.split(b" ")
        assert len(fields) == 3, f"torn: {head[:100]!r}"
        version, size = int(fields[0]), int(fields[1])
        assert record(version, rest[:size]) == head + b"\n" + rest[:size], f"version {version} is not whole"
        found.append(version)
        content = rest[size:]
    return found


class Asset:
    """One file that many fight for. Who writes in place keeps other applications out, as they must; never tierd."""

    def __init__(self, number: int) -> None:
        self.path = f"{number % 5}/{number:02}.bin"
        self.kind = ("in place", "append", "rename")[number % 3]
        self.writing = threading.Lock()
        self.reading = threading.RLock() if self.kind != "rename" else None
        self.latest = 0
        """The last version whose writer was done."""

    def judge(self, content: bytes, at_least: int) -> None:
        """Raise AssertionError unless this is a whole version, and none too old."""
        found = versions(content)
        assert found, f"{self.path} was empty"
        assert found[-1] >= at_least, f"{self.path}: version {found[-1]} was read after {at_least} was written"
        expected = list(range(1, found[-1] + 1)) if self.kind == "append" else found[-1:]
        assert found == expected, f"{self.path}: writes are lost: {found}"


class Fight:
    """Everybody at once, until enough was done or something was wrong."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.daemon = daemon
        self.assets = [Asset(number) for number in range(COUNT)]
        self.done: Counter[str] = Counter()
        self.wrong: list[BaseException] = []
        self._seed = seed
        self._aim = self.assets[0]
        self._over = threading.Event()
        self._counting = threading.Lock()

    def run(self) -> None:
        """Let them fight. Raise what any of them found wrong."""
        acts = [*[self.demote] * 3, *[self.read] * 2, *[self.fetch] * 2, self.lease, *[self.write] * 2, self.link]
        threads = [
            threading.Thread(target=self._repeat, args=(act, random.Random(f"{self._seed} {number}")))
            for number, act in enumerate(acts)
        ]
        deadline = time.monotonic() + SECONDS
        for thread in threads:
            thread.start()
        while time.monotonic() < deadline and not self._over.wait(0.05) and self.done.total() < OPERATIONS:
            self.daemon.check_runs()
        self._over.set()
        for thread in threads:
            thread.join()
        if self.wrong:
            raise self.wrong[0]

    def _repeat(self, act: Callable[[Client, Asset, random.Random], str], chance: random.Random) -> None:
        client = Client(self.daemon.directory / "tierd.sock")
        try:
            while not self._over.is_set():
                came_of_it = act(client, chance.choice(self.assets), chance)
                with self._counting:
                    self.done[came_of_it] += 1
        except BaseException as error:  # noqa: BLE001 - raised by run
            self.wrong.append(error)
            self._over.set()

    # What they do: each returns a word for what came of it.

    def demote(self, client: Client, asset: Asset, chance: random.Random) -> str:
        """Have it leave the disk, or the one that somebody is about to write or to link."""
        (result,) = client.demote(chance.choice([asset, self._aim]).path)
        return "demotions" if result["outcome"] == "done" else "demotions given up"

    def read(self, _: Client, asset: Asset, __: random.Random) -> str:
        """Read by the plain path, as any program does."""
        self._over.wait(PAUSE)
        with asset.reading or nullcontext():
            at_least = asset.latest
            try:
                content = self._file(asset).read_bytes()
            except FileNotFoundError:
                return "clean misses"
            asset.judge(content, at_least)
        return "reads"

    def fetch(self, client: Client, asset: Asset, _: random.Random) -> str:
        """Read through the socket."""
        with asset.reading or nullcontext():
            at_least = asset.latest
            try:
                with client.content(asset.path) as answer:
                    content = answer.read()
            except UnreachableError:
                assert asset.kind == "rename", "broken off though nobody wrote"
                return "broken off"
            except TierdError as error:
                if error.code not in AGAIN:
                    raise
                return "asked to come again"
            asset.judge(content, at_least)
        return "fetches"

    def lease(self, client: Client, asset: Asset, _: random.Random) -> str:
        """Have it on disk for a while, and read it by its path."""
        with asset.reading or nullcontext():
            at_least = asset.latest
            try:
                with client.open(asset.path):
                    asset.judge(self._file(asset).read_bytes(), at_least)
            except (NotReadyError, UnreachableError):
                raise
            except TierdError as error:
                if error.code not in AGAIN:
                    raise
                return "asked to come again"
        return "leases"

    def write(self, client: Client, asset: Asset, chance: random.Random) -> str:
        """Write the next version."""
        with asset.writing, asset.reading or nullcontext():
            self._begin(asset, chance)
            fresh = record(asset.latest + 1, chance.randbytes(chance.choice([0, 500, 500, 3000])))
            if asset.kind == "rename":
                self._save(asset, fresh)
            elif not self._write(asset, fresh, chance):
                with client.open(asset.path):
                    assert self._write(asset, fresh, chance), f"{asset.path} is leased and not there"
            asset.latest += 1
        return "writes"

    def link(self, _: Client, asset: Asset, chance: random.Random) -> str:
        """Give it another name for a moment, and read it by that."""
        other = self.daemon.root / LINKS / f"{chance.getrandbits(60)}"
        with asset.reading or nullcontext():
            self._begin(asset, chance)
            at_least = asset.latest
            try:
                os.link(self._file(asset), other)
            except FileNotFoundError:
                return "clean misses"
            asset.judge(other.read_bytes(), at_least)
            other.unlink()
        return "links"

    def _begin(self, asset: Asset, chance: random.Random) -> None:
        """Let the demoters know, and give them a lead."""
        self._aim = asset
        self._over.wait(chance.random() * PAUSE)

    def _save(self, asset: Asset, content: bytes) -> None:
        """Write it whole beside, and give it the name."""
        place = self._file(asset)
        fresh = place.with_name(f".{place.name}")
        fresh.write_bytes(content)
        fresh.rename(place)

    def _write(self, asset: Asset, content: bytes, chance: random.Random) -> bool:
        """Write into the file that is there, over what it holds or at its end; return whether there is one."""
        flags = os.O_WRONLY | (os.O_APPEND if asset.kind == "append" else 0)
        try:
            fd = os.open(self._file(asset), flags)
        except FileNotFoundError:
            return False
        try:
            self._over.wait(chance.choice([0, 0, PAUSE]))
            os.write(fd, content)
            if asset.kind == "in place":
                os.ftruncate(fd, len(content))
        finally:
            os.close(fd)
        return True

    def _file(self, asset: Asset) -> Path:
        return self.daemon.root / asset.path


@pytest.mark.parametrize("seed", SEEDS)
def test_races(launch: Launch, seed: int, record_property: Callable[[str, object], None]) -> None:
    """Nobody gets half a version, an old one, or loses what he wrote."""
    nowhere: Any = SimpleNamespace(url="file:./cold", endpoint=None)
    daemon = launch(nowhere, LOG__LEVEL="warning")
    fight = Fight(daemon, seed)
    daemon.drop({asset.path: record(1, b"the first") for asset in fight.assets})
    (daemon.root / LINKS).mkdir()
    for asset in fight.assets:
        asset.latest = 1
    daemon.wait_replicated(COUNT)
    fight.run()
    for word, count in fight.done.items():
        record_property(word, count)
    assert all(
        fight.done[word] for word in ("demotions", "reads", "clean misses", "fetches", "leases", "writes", "links")
    )
    list(daemon.client.drain())
    daemon.client.demote(filter={})
    for asset in fight.assets:
        asset.judge(daemon.read(asset.path), asset.latest)
    daemon.wait_rest()
    assert not list((daemon.root / ".tierd" / "trash").iterdir())
    report = list(daemon.client.verify(deep=True))[-1]["report"]
    assert not report["differences"], report
