"""Nothing outside the cache root is ever opened, whatever a path says, and whatever is swapped while it is walked."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import random
import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from door import Witness, a_door, opens
from effort import scaled, seeds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from door import Door

PART = "S5 nothing outside the root"

CANARY = b"the canary that must never sing " * 40
INSIDE = b"inside"
FLIPS = scaled(test=1_500, quick=10_000, long=1_000_000)
EXCHANGE = 2
AT_FDCWD = -100

UP = (
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%uff0e%uff0e",
    "..%00",
    "%00..",
    "..;",
    "....",
    "%20..",
    "..%20",
    "..%0d",
    "%ef%bc%8e%ef%bc%8e",
)
SLASH = ("/", "%2f", "%2F", "//", "/./", "\\", "%5c", "%252f", "%c0%af", "%00/", "/%00", ";/")
FRONT = ("", "/", "d/", "%2f", "./", "d/../", "file://", "~")
DEPTH = (1, 2, 6)


def payloads(outside: Path) -> list[str]:
    """Return ways to say a path outside, by all means that were ever taken for one."""
    name = f"{outside.name}/canary"
    whole = str(outside / "canary").lstrip("/")
    found = [
        front + slash.join([up] * depth + (whole if depth == 6 else name).split("/"))
        for front, up, slash, depth in itertools.product(FRONT, UP, SLASH, DEPTH)
    ]
    absolute = [f"{front}{outside}/canary" for front in ("", "/", "%2f", "file:", "file://", "d/")]
    links = [
        "to-file",
        "to-directory/canary",
        "to-directory",
        "to-root",
        "to-self",
        "to-proc/self/environ",
        "d/up/canary",
    ]
    return [*found, *absolute, *links]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that is none of ours, with a file that nobody may ever be given."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(CANARY)
    (place / "file").write_bytes(CANARY)
    return place


@pytest.fixture
def door(outside: Path) -> Iterator[Door]:
    """A daemon whose root is full of links that lead out."""
    with a_door(LOG__LEVEL="info", TIERING__INTERVAL="1d") as found:
        root = found.root
        (root / "d").mkdir()
        for name, target in (
            ("to-file", outside / "canary"),
            ("to-directory", outside),
            ("to-root", "/"),
            ("to-self", "to-self"),
            ("to-proc", "/proc"),
            ("d/up", outside),
        ):
            (root / name).symlink_to(target)
        found.drop(good=b"good")
        found.wait_replicated(1)
        yield found


REQUESTS = (("GET", "content"), ("HEAD", "content"), ("GET", "open"), ("GET", "explain"), ("PUT", "assets"))


def test_no_path_leads_out(door: Door, outside: Path, record_property: pytest.RecordProperty) -> None:
    """Every payload is refused or unknown; no open leaves the root, or follows a link, or names more than a part."""
    chosen = payloads(outside)
    assert len(chosen) > 4000
    step = scaled(test=40, quick=4, long=1)
    with Witness(door) as witness:
        begin = witness.mark()
        for number, path in enumerate(chosen[::step]):
            for method, what in REQUESTS if number % 5 == 0 else REQUESTS[:1]:
                reply = door.ask(method, f"/v1/{what}/{path}?wait=0" if what == "open" else f"/v1/{what}/{path}")
                assert reply.status in {400, 404, 409}, (method, what, path, reply)
                assert CANARY[:20] not in reply.body
        for order, path in zip(itertools.cycle(("promote", "demote", "pin", "retry")), chosen[::step], strict=False):
            reply = door.ask("POST", f"/v1/{order}", body={"paths": [path]})
            assert reply.status == 400 or not reply.json["results"] or reply.json["results"][0]["state"] is None
        calls = witness.calls(begin, witness.mark())
    assert wrong_opens(calls, door) == []
    assert len(opens(calls)) > len(chosen[::step]) / 4
    record_property("payloads", len(chosen[::step]))


def wrong_opens(calls: list[str], door: Door) -> list[tuple[str, str, str]]:
    """Return what was opened that is neither ours nor one name beneath an open directory, links not followed."""
    return [opened for opened in opens(calls) if not (is_step(*opened) or is_ours(opened[1], door))]


def is_step(beneath: str, name: str, how: str) -> bool:
    """Whether it is one step down from what was opened before, and not through a link."""
    return beneath != "AT_FDCWD" and (name == "." or ("/" not in name and name != ".." and "O_NOFOLLOW" in how))


def is_ours(name: str, door: Door) -> bool:
    """Whether a whole path is the index, the store, or, for the watcher, a directory really beneath the root."""
    index = {f"{door.directory}/index.db{end}" for end in ("", "-wal", "-shm", "-journal")}
    real = os.path.realpath(name) + "/"
    # What the watchdog asks about the daemon's own threads is a number of the kernel's.
    kernels = name.startswith("/proc/self/fd/") or re.fullmatch(r"/proc/self/task/\d+/schedstat", name) is not None
    return name in index or kernels or real.startswith((f"{door.cold}/", f"{door.root}/"))


class Swapper(threading.Thread):
    """Exchanges a directory with a link that leads out, and a file with one, without a moment in between."""

    def __init__(self, root: Path, outside: Path) -> None:
        super().__init__()
        self._pairs = [(root / "swap", root / ".swap"), (root / "leaf", root / ".leaf")]
        (root / "swap").mkdir()
        for name in ("swap/file", "leaf"):
            (root / name).write_bytes(INSIDE)
        (root / ".swap").symlink_to(outside)
        (root / ".leaf").symlink_to(outside / "file")
        self._exchange = ctypes.CDLL(None, use_errno=True).renameat2
        self.turn = threading.Semaphore(0)
        self.flips = 0
        self.is_done = threading.Event()

    def run(self) -> None:
        """Flip in bursts, one burst for each turn that is given, so that requests fall among them."""
        try:
            while self.flips < FLIPS:
                self.turn.acquire(timeout=1)
                for _ in range(random.randrange(1, 8)):
                    self._flip()
        finally:
            self.is_done.set()

    def _flip(self) -> None:
        one, other = self._pairs[random.randrange(2)]
        # Where the daemon has just moved one of the two there is nothing to exchange.
        self._exchange(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE)
        self.flips += 1


ASKED = (
    ("GET", "content/swap/file", None),
    ("GET", "content/swap/canary", None),
    ("GET", "content/leaf", None),
    ("HEAD", "content/swap/canary", None),
    ("PUT", "assets/swap/canary", {}),
    ("PUT", "assets/swap/file", {}),
    ("PUT", "assets/leaf", {}),
    ("GET", "open/swap/file?wait=0", None),
    ("POST", "demote", {"paths": ["swap/file", "leaf", "swap/canary"], "wait": False}),
    ("POST", "promote", {"paths": ["swap/file", "leaf", "swap/canary"], "wait": False}),
    ("DELETE", "assets/swap/canary", None),
)


@pytest.mark.parametrize("number", seeds(PART, 1))
def test_no_swap_leads_out(number: int, outside: Path, record_property: pytest.RecordProperty) -> None:
    """A directory and a file become links and back, all the time: no byte from outside comes in, and none goes out."""
    chance = random.Random(number)
    before = told(outside)
    statuses: set[int] = set()
    with a_door(LOG__LEVEL="info", TIERING__INTERVAL="1s") as door:
        swapper = Swapper(door.root, outside)
        swapper.start()
        asked = 0
        while not swapper.is_done.is_set():
            swapper.turn.release()
            method, target, body = chance.choice(ASKED)
            reply = door.ask(method, f"/v1/{target}", body=body)
            statuses.add(reply.status)
            assert CANARY[:20] not in reply.body
            assert reply.headers.get("Content-Length") != str(len(CANARY))
            asked += 1
        swapper.join()
        check_nothing_came_in(door)
    assert told(outside) == before
    assert {200, 409} <= statuses, "the swaps were never in the way"
    record_property("flips", swapper.flips)
    record_property("requests", asked)


def check_nothing_came_in(door: Door) -> None:
    """Neither the index nor the store knows anything of the canary."""
    assets: list[dict[str, Any]] = list(door.client.assets())
    digest = f"sha256:{hashlib.sha256(CANARY).hexdigest()}"
    assert not [asset for asset in assets if asset["digest"] == digest or asset["size"] == len(CANARY)]
    for copy in door.cold.rglob("*"):
        with suppress(IsADirectoryError, FileNotFoundError):
            assert CANARY[:20] not in copy.read_bytes()


def told(place: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return everything about a directory that a daemon could have changed."""
    return {each.name: (each.read_bytes(), each.stat().st_mtime_ns, each.stat().st_nlink) for each in place.iterdir()}
