"""How the daemon ends when nothing goes as it should: told to stop while all hangs, and failing in every task it has.

Told to stop, it ends with exit code 0 in 20 seconds, whatever hangs; and whatever happened, the next start heals it.
"""

from __future__ import annotations

import inspect
import random
import re
import signal
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from curtain import Curtain
from daemon_process import MIB, a_directory
from deadly import TASKS
from doomed import Doomed
from effort import scaled
from holdings import Holdings, audit
from listening import listening

from daemon.app import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from buckets import Bucket
    from listening import Listening

PART = "R10 and R11 stopping, hanging and failing"
STOP_SECONDS = 20
START_SECONDS = 5
SMALL = 20
LARGE = 11 * MIB
WATCHDOG_SECONDS = 2.0


class World:
    """A daemon, its owner's files, and a store that may hang."""

    def __init__(self, daemon: Doomed, curtain: Curtain) -> None:
        self.daemon = daemon
        self.curtain = curtain
        self.holdings = Holdings()
        self._chance = random.Random(daemon.bucket.prefix)

    def drop(self, path: str, size: int = 20_000) -> None:
        """Write a file."""
        content = self._chance.randbytes(size)
        self.holdings.put(path, content)
        self.daemon.drop({path: content})

    def fill(self, count: int = SMALL) -> None:
        """Have files in both tiers."""
        for number in range(count):
            self.drop(f"{number % 4}/{number:02}.bin")
        self.drop("large.mov", LARGE)
        self.daemon.wait_replicated(count + 1)

    def cool(self) -> None:
        """Have everything leave the disk."""
        self.daemon.client.demote(filter={})
        assert not self.daemon.wait_rest()["replicated"]

    def heal(self) -> None:
        """Start what is installed, before a store that answers, and read everything everywhere."""
        self.curtain.lift()
        self.daemon.crash()
        assert self.daemon.start() < START_SECONDS
        audit(self.daemon, self.holdings)
        self.daemon.crash()


@pytest.fixture
def world(bucket: Bucket) -> Iterator[World]:
    """Begin with nothing."""
    with a_directory(dir="/var/tmp") as directory, Curtain(bucket.endpoint) as curtain:
        daemon = Doomed(directory, bucket, {"STORE__ENDPOINT": curtain.endpoint, "TIERING__INTERVAL": "1h"})
        try:
            yield World(daemon, curtain)
        finally:
            sys.stdout.write(daemon.said[-20_000:] if daemon.log.exists() else "")
            daemon.crash()


# R10


@dataclass(frozen=True)
class Hang:
    """What the store never answers, and who asks for it; `after` is how many bytes of the answer come through."""

    request: bytes
    ask: Callable[[World], object]
    after: int | None = None


def promote_all(world: World) -> None:
    """Ask for everything."""
    world.cool()
    world.daemon.client.promote(filter={}, wait=False)


def rename_one(world: World) -> None:
    """Give a file another name."""
    (world.daemon.root / "0/00.bin").rename(world.daemon.root / "renamed.bin")
    world.holdings.rename("0/00.bin", "renamed.bin")


def remove_one(world: World) -> None:
    """Remove a file from both tiers."""
    world.holdings.remove("0/00.bin")
    world.daemon.client.remove("0/00.bin")


HANGS = {
    "put": Hang(rb"PUT /(?!.*partNumber)", lambda world: world.drop("new.bin")),
    "create an upload": Hang(rb"POST .*uploads", lambda world: world.drop("new.mov", LARGE)),
    "part": Hang(rb"PUT .*partNumber", lambda world: world.drop("new.mov", LARGE)),
    "complete": Hang(rb"POST .*uploadId", lambda world: world.drop("new.mov", LARGE)),
    "proof before a demotion": Hang(rb"HEAD ", lambda world: world.daemon.client.demote(filter={}, wait=False)),
    "promotion": Hang(rb"GET /.*\.(bin|mov)", promote_all),
    "promotion half-way": Hang(rb"GET /.*large\.mov", promote_all, after=4 * MIB),
    "copy": Hang(rb"(?is).*\r\nx-amz-copy-source", rename_one),
    "removal": Hang(rb"DELETE /", remove_one),
}
"""As they are asked in the middle of life."""
HASTE = [True, *([False] if scaled(test=False, quick=True, long=True) else [])]


@pytest.mark.parametrize("in_haste", HASTE, ids=["two signals", "one signal"][: len(HASTE)])
@pytest.mark.parametrize("name", HANGS)
def test_stopped_while_the_store_hangs(
    world: World, name: str, *, in_haste: bool, record_property: Callable[[str, object], None]
) -> None:
    """In the middle of every request that there is."""
    hang = HANGS[name]
    world.daemon.start_installed()
    world.fill()
    world.curtain.hang(hang.request, after=hang.after)
    hang.ask(world)
    assert world.curtain.hanging.wait(30)
    stop(world.daemon, in_haste=in_haste)
    world.heal()
    record_property("stops", 1)


@pytest.mark.parametrize("request_head", [b"PUT ", b"GET .*list-type"], ids=["probe", "list"])
def test_stopped_while_a_start_hangs(
    world: World, request_head: bytes, record_property: Callable[[str, object], None]
) -> None:
    """While the store is got to know; the index was lost meanwhile."""
    world.daemon.start()
    world.fill()
    world.daemon.crash()
    for part in world.daemon.directory.glob("index.db*"):
        part.unlink()
    world.curtain.hang(request_head)
    world.daemon.start_installed()
    assert world.curtain.hanging.wait(30)
    stop(world.daemon, in_haste=HASTE[-1])
    world.heal()
    record_property("stops", 1)


def test_stopped_before_a_black_hole(world: World, record_property: Callable[[str, object], None]) -> None:
    """Nobody even takes the connection."""
    world.daemon.start()
    world.fill()
    world.daemon.crash()
    with a_black_hole() as endpoint:
        world.daemon.set(STORE__ENDPOINT=endpoint)
        assert world.daemon.start() < START_SECONDS
        world.drop("new.bin")
        world.daemon.wait("the file", lambda: "new.bin" in world.daemon.assets())
        stop(world.daemon, in_haste=HASTE[-1])
    world.daemon.set(STORE__ENDPOINT=world.curtain.endpoint)
    world.heal()
    record_property("stops", 1)


STUCK = {
    "index before a commit": "before commit claimed",
    "index after a commit": "after commit verified",
    "loop": "before create_upload",
}


@pytest.mark.parametrize("name", list(STUCK)[: scaled(test=1, quick=3, long=3)])
def test_stopped_while_a_thread_hangs(world: World, name: str, record_property: Callable[[str, object], None]) -> None:
    """The deadline ends the process then: exit code 0 all the same."""
    world.daemon.start()
    world.fill()
    world.daemon.crash()
    world.daemon.start_wounded(STUCK[name], act="hang")
    world.drop("new.bin")
    world.drop("new.mov", LARGE)
    world.daemon.strike(lambda: None)
    stop(world.daemon, in_haste=False)
    assert "stop deadline reached" in world.daemon.said
    world.heal()
    record_property("stops", 1)


def stop(daemon: Doomed, *, in_haste: bool) -> None:
    """Stop it in time."""
    if in_haste:
        daemon.signal(signal.SIGTERM)
        time.sleep(0.1)
    assert daemon.stop() < (STOP_SECONDS / 2 if in_haste else STOP_SECONDS)


@contextmanager
def a_black_hole() -> Iterator[str]:
    """Have a port whose queue is full: the kernel drops whoever knocks."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first, socket.socket() as more:
        for each in (first, more):
            each.settimeout(0)
            each.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# R11

WITH_THE_OTHERS = (
    *("index", "rekeyer", "neighbours", "sidecars", "measurer", "reader", "ageing", "meter", "expiry", "thaw"),
    *("inbox", "manifest", "mailbox", "invalidator"),
)
"""They are begun where the others are, and end as those do: every one is tried where there is time."""
NEEDS = {
    "manifest": {"LAYOUT__NAME": "creative"},
    "mailbox": {"STORE__EVENTS_QUEUE": "http://127.0.0.1:9/1/queue"},
    "invalidator": {"CDN__DISTRIBUTION": "E1", "CDN__INVALIDATE": '["0/*"]'},
}
"""What must be configured for there to be such a task."""
FATAL = (
    *("learning", "prober", "hints", "revisits", "scans", "touched files", "keeper", "registry", "sweeper"),
    *("scrubber", "accesses", "inspector", "watchdog", "uploader", "promotion", "order", "demotion"),
    *scaled(test=(), quick=WITH_THE_OTHERS, long=WITH_THE_OTHERS),
)
"""Tasks in which an error that nobody foresaw ends the daemon, for its service manager to start it anew."""
SURVIVED = ("upload", "request")
"""Where it concerns one asset or one request, which is told, and everything else goes on."""


def test_every_task_is_tried() -> None:
    """Of all that goes on for as long as the daemon lives; what goes on in the reconciler has names of its own."""
    tasks = set(re.findall(r'"(\w+)": ', inspect.getsource(Parts.work))) - {"reconciler"}
    assert len(tasks) > 20
    assert tasks - TASKS.keys() == tasks - {*FATAL, *WITH_THE_OTHERS} == set()


@pytest.mark.parametrize("name", FATAL)
def test_an_error_that_nobody_foresaw_ends_the_daemon(
    world: World, name: str, record_property: Callable[[str, object], None]
) -> None:
    """With another exit code than 0, and a traceback; the next start finds everything."""
    fail(world, name)
    assert world.daemon.ended(seconds=STOP_SECONDS) == 1
    assert f"PlantedError: before {name}" in world.daemon.said
    world.heal()
    record_property("faults", 1)


@pytest.mark.parametrize("name", SURVIVED)
def test_an_error_that_concerns_one_is_told_and_everything_else_goes_on(
    world: World, name: str, record_property: Callable[[str, object], None]
) -> None:
    """With a traceback in the log, and a code for whoever is concerned."""
    fail(world, name)
    world.drop("later.bin")
    world.daemon.wait_state("later.bin", "replicated")
    assert f"PlantedError: before {name}" in world.daemon.said
    if name == "upload":
        assert world.daemon.wait_state("new.bin", "stuck")["failure"]["code"] == "bug"
        world.daemon.client.retry("new.bin")
    world.daemon.wait_state("new.bin", "replicated")
    world.heal()
    record_property("faults", 1)


def fail(world: World, name: str) -> None:
    """Start a daemon that has assets, and have it do what it can until it fails."""
    world.daemon.start()
    world.fill(3)
    world.daemon.crash()
    world.drop("new.bin")
    with world.daemon.once(**NEEDS.get(name, {})):
        world.daemon.start_wounded(f"before {name}", act="raise")

    def act() -> None:
        with world.daemon.client.open("0/00.bin"):
            pass
        world.daemon.client.demote(filter={})
        world.daemon.client.promote(filter={})

    world.daemon.strike(act)


def test_fed_and_told(world: World) -> None:
    """The service manager hears when it is ready, when it reloads, that it lives, and that it stops."""
    with watched(world) as manager:
        world.daemon.start_installed()
        heard_until(manager, "READY=1")
        assert fed(manager, WATCHDOG_SECONDS) >= 2
        world.daemon.signal(signal.SIGHUP)
        assert "RELOADING=1" in heard_until(manager, "READY=1")
        world.daemon.stop()
        assert {"STOPPING=1", "EXTEND_TIMEOUT_USEC=15000000"} <= set(flat(manager.hear()))


WEDGED = {
    "loop": ("before get", lambda world: world.daemon.client.promote(filter={}, wait=False)),
    "index": ("before commit claimed", lambda world: world.drop("new.bin")),
    "files": ("before land write", lambda world: world.daemon.client.promote(filter={}, wait=False)),
}


@pytest.mark.parametrize("name", WEDGED)
def test_whoever_hangs_is_not_fed(world: World, name: str, record_property: Callable[[str, object], None]) -> None:
    """Within one interval, and the next start heals it."""
    point, act = WEDGED[name]
    world.daemon.start()
    world.fill()
    world.cool()
    world.daemon.crash()
    with watched(world) as manager:
        world.daemon.start_wounded(point, act="hang")
        act(world)
        world.daemon.strike(lambda: None)
        fed(manager, WATCHDOG_SECONDS)
        assert not fed(manager, WATCHDOG_SECONDS)
        assert name == "loop" or f"no progress any more in: {name};" in world.daemon.said
        world.heal()
    record_property("hangs", 1)


def test_one_thread_that_hangs_holds_up_nobody(world: World, record_property: Callable[[str, object], None]) -> None:
    """It is fed on, for everything else goes on."""
    world.daemon.start()
    world.fill()
    world.daemon.crash()
    with watched(world) as manager:
        world.daemon.start_wounded("before recheck", act="hang")
        world.daemon.strike(lambda: world.daemon.client.demote("0/00.bin", wait=False))
        assert fed(manager, WATCHDOG_SECONDS) >= 2
        world.drop("new.bin")
        world.daemon.wait_state("new.bin", "replicated")
        world.heal()
    record_property("hangs", 1)


@contextmanager
def watched(world: World) -> Iterator[Listening]:
    """Listen to the next starts, as a service manager with a watchdog."""
    with listening(f"{world.daemon.directory}/notify") as manager:
        world.daemon.tell(manager.environment | {"WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1_000_000))})
        yield manager


def flat(told: list[list[str]]) -> list[str]:
    """Return all lines."""
    return [line for datagram in told for line in datagram]


def heard_until(manager: Listening, word: str) -> list[str]:
    """Listen until a word was said."""
    told: list[str] = []
    while word not in told:
        more = manager.hear(seconds=STOP_SECONDS)
        assert more, f"never told {word}"
        told += flat(more)
    return told


def fed(manager: Listening, seconds: float) -> int:
    """Return how often the watchdog was fed in this time."""
    end = time.monotonic() + seconds
    told: list[str] = []
    while (left := end - time.monotonic()) > 0:
        told += flat(manager.hear(seconds=left))
    return told.count("WATCHDOG=1")
