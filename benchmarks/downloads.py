"""P3: everything that was demoted, asked back with one request, until it is durable and proven on disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.ground import a_ground, remove, settle, wait_replicated, write_files
from benchmarks.peers import Peers
from benchmarks.race import Race
from benchmarks.uploads import LARGE, MEDIUM, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.uploads import Load
    from demo.service import Service


def promotions(place: Path) -> list[str]:
    """P3, for the three sets of P1 and P2."""
    lines = _race(place / "small", Race(f"P3 {SMALL} back", "objects/s"), SMALL, SMALL.count)
    lines += _race(place / "medium", Race(f"P3 {MEDIUM} back", "MB/s"), MEDIUM, MEDIUM.megabytes)
    return lines + _race(place / "large", Race(f"P3 {LARGE} back", "MB/s"), LARGE, LARGE.megabytes)


def _race(place: Path, race: Race, load: Load, work: float) -> list[str]:
    with a_ground(place) as ground, ground.service("host") as service:
        peers = Peers(ground.server.endpoint)
        write_files(place / "files", load.count, load.size).rename(service.root / "files")
        wait_replicated(service, load.count)
        race.run(
            {
                "tierd": lambda _: work / _promoted(service),
                "s5cmd": lambda number: work / _downloaded(peers.s5cmd_down, place / f"s5cmd-{number}"),
                "rclone": lambda number: work / _downloaded(peers.rclone_down, place / f"rclone-{number}"),
            }
        )
    return race.lines("tierd", target=1.0)


def _promoted(service: Service) -> float:
    service.client.demote(filter={})
    settle()
    began = time.perf_counter()
    outcomes = service.client.promote(filter={})
    seconds = time.perf_counter() - began
    if any(outcome["outcome"] != "done" for outcome in outcomes):
        raise RuntimeError("not everything came back")
    return seconds


def _downloaded(download: Callable[[str, Path], None], directory: Path) -> float:
    directory.mkdir()
    settle()
    began = time.perf_counter()
    download("host", directory)
    seconds = time.perf_counter() - began
    remove(directory)
    return seconds
