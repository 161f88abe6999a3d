"""P1 and P2: files that appear in the cache root, until every one of them is proven to be in the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.ground import a_ground, remove, settle, wait_replicated, write_files
from benchmarks.peers import Peers
from benchmarks.race import Race

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.service import Service

KIB: Final = 1 << 10
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """So many files of one size."""

    count: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.count:,} x {self.size // MIB} MiB"
            if self.size >= MIB
            else f"{self.count:,} x {self.size // KIB} KiB"
        )

    @property
    def megabytes(self) -> float:
        """All of it, in MB."""
        return self.count * self.size / 1e6


SMALL: Final = Load(4000, 64 * KIB)
MEDIUM: Final = Load(200, 2 * MIB)
LARGE: Final = Load(2, 256 * MIB)


def small(place: Path) -> list[str]:
    """P1: what counts is how little each object costs."""
    return _race(place, Race(f"P1 {SMALL} up", "objects/s"), SMALL, SMALL.count, target=1.0)


def large(place: Path) -> list[str]:
    """P2: what counts is how little each byte costs."""
    lines = _race(place / "medium", Race(f"P2 {MEDIUM} up", "MB/s"), MEDIUM, MEDIUM.megabytes, target=1.0)
    return lines + _race(place / "large", Race(f"P2 {LARGE} up", "MB/s"), LARGE, LARGE.megabytes, target=1.0)


def _race(place: Path, race: Race, load: Load, work: float, *, target: float) -> list[str]:
    with a_ground(place) as ground, ground.service("host") as service:
        peers = Peers(ground.server.endpoint)
        total = 0

        def tierd(number: int) -> float:
            nonlocal total
            total += load.count
            return _dropped(service, write_files(place / f"tierd-{number}", load.count, load.size), total)

        def peer(name: str, upload: Callable[[Path, str], None]) -> Callable[[int], float]:
            def run(number: int) -> float:
                directory = write_files(place / f"{name}-{number}", load.count, load.size)
                settle()
                began = time.perf_counter()
                upload(directory, f"{name}-{number}")
                seconds = time.perf_counter() - began
                remove(directory)
                return seconds

            return run

        contestants = {
            "tierd": tierd,
            "s5cmd": peer("s5cmd", peers.s5cmd_up),
            "rclone": peer("rclone", peers.rclone_up),
            "bare": peer("bare", peers.bare_up),
        }
        race.run({name: _rate(run, work) for name, run in contestants.items()})
    return race.lines("tierd", target=target, physical="bare")


def _rate(run: Callable[[int], float], work: float) -> Callable[[int], float]:
    return lambda number: work / run(number)


def _dropped(service: Service, directory: Path, total: int) -> float:
    """Move a whole directory into the root; return the seconds until nothing of it is unproven."""
    settle()
    began = time.perf_counter()
    directory.rename(service.root / directory.name)
    wait_replicated(service, total)
    return time.perf_counter() - began
