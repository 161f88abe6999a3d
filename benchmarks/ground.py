"""Where everybody runs: one server, one place on disk, one daemon, and files that no server has seen before."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo.s5cmd import S5cmd
from demo.seaweed import CREDENTIALS, Seaweed
from demo.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUCKET: Final = "bench"
CLOSED: Final = "http://127.0.0.1:9"
"""Where no server is."""
PER_DIRECTORY: Final = 100
LOOK_SECONDS: Final = 0.05
SELDOM_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Ground:
    """A server with an empty bucket, and a directory for everything else."""

    place: Path
    server: Seaweed

    def service(self, name: str, **settings: str) -> Service:
        """Return a daemon of this name, not yet started: with a root, an index and a prefix of its own."""
        place = self.place / name
        place.mkdir()
        ours = {
            "STORE__URL": f"s3://{BUCKET}/{name}",
            "STORE__ENDPOINT": self.server.endpoint,
            "METRICS__LISTEN": "",
            "TIERING__COOL_DOWN": "0s",
            "TIERING__MIN_RESIDENCE": "0s",
        }
        return Service(place, place / "log", settings={**ours, **settings}, credentials=CREDENTIALS)


@contextmanager
def a_ground(place: Path) -> Iterator[Ground]:
    """Start the server, and clean up after everything."""
    with ExitStack() as stack:
        server = stack.enter_context(Seaweed(place / "s"))
        S5cmd(server.endpoint).make_bucket(BUCKET)
        yield Ground(place, server)


def write_files(directory: Path, count: int, size: int) -> Path:
    """Fill a directory with files of random bytes, a hundred to a directory below it; return it."""
    for number in range(count):
        below = directory / f"{number // PER_DIRECTORY:04}"
        below.mkdir(parents=True, exist_ok=True)
        with (below / f"{number:06}.bin").open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))
    return directory


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS} seconds")
        time.sleep(LOOK_SECONDS)


def wait_replicated(service: Service, count: int) -> None:
    """Wait until so many assets are replicated, asking seldom: on two cores, every answer slows down what is timed."""
    began, deadline = time.monotonic(), time.monotonic() + PATIENCE_SECONDS
    first = done = service.status()["assets"]["replicated"]
    while done < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done} of {count} within {PATIENCE_SECONDS} seconds")
        rate = (done - first) / (time.monotonic() - began)
        left = (count - done) / rate if rate else SELDOM_SECONDS
        time.sleep(min(max(left / 2, LOOK_SECONDS / 2), SELDOM_SECONDS))
        done = service.status()["assets"]["replicated"]


def settle() -> None:
    """Let the disk have what was written, so that nobody pays for what another one wrote."""
    os.sync()


def remove(directory: Path) -> None:
    """Remove a tree."""
    shutil.rmtree(directory, ignore_errors=True)
