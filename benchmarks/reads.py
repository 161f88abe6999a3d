"""P4 to P7: reading what is hot, past the daemon and through it, and what is cold."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.ground import a_ground, wait_until, write_files
from benchmarks.load import first_and_last, pace
from benchmarks.peers import Peers
from benchmarks.race import Race
from benchmarks.servers import has, nginx, rclone_http, rclone_mount, s3fs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.ground import Ground
    from demo.service import Service

KIB: Final = 1 << 10
MIB: Final = 1 << 20
CLIENTS: Final = 8
PACE_SECONDS: Final = 3.0
OPENS: Final = 5000


def paths(place: Path) -> list[str]:
    """P4: a path that the application knows is a file like any other."""
    race = Race("P4 open, read 64 KiB, close", "us", less_is_better=True)
    with a_ground(place) as ground, ExitStack() as stack:
        service = stack.enter_context(ground.service("host"))
        files = _taken_in(service, CLIENTS, 64 * KIB)
        plain = write_files(place / "plain", CLIENTS, 64 * KIB) / files[0]
        contestants = {"tierd": service.root / files[0], "plain file": plain}
        if has("fusermount3"):
            mount = stack.enter_context(rclone_mount(place, Peers(ground.server.endpoint).remote))
            contestants["rclone mount"] = mount / "host" / files[0]
        if has("s3fs"):
            contestants["s3fs"] = stack.enter_context(s3fs(place, ground.server.endpoint)) / "host" / files[0]
        race.run({name: _reader(path) for name, path in contestants.items()})
    return race.lines("tierd", target=0.9)


def opens(place: Path) -> list[str]:
    """P5: asking where a hot asset is."""
    lines = ["P5 GET /v1/open, hot, 8 connections"]
    with a_ground(place) as ground:
        for number in range(5):
            # Anew each time: leases are bounded, and last for a minute.
            with ground.service(f"host-{number}") as service:
                files = _taken_in(service, CLIENTS, 64 * KIB)
                found = pace(_socket(service), [f"/v1/open/{file}" for file in files], seconds=PACE_SECONDS)
                counted = service.client.status()["rates"]["hit_ratio"]
                lines.append(
                    f"    {found.per_second:10,.0f}/s  p50 {found.p50 * 1e3:.2f} ms  p99 {found.p99 * 1e3:.2f} ms"
                    f"  hit ratio {counted:.2f}"
                )
    return lines


def contents(place: Path) -> list[str]:
    """P6: hot bytes over the socket."""
    lines = []
    for size, unit, target in ((64 * KIB, "answers/s", 1.2), (256 * MIB, "answers/s", 0.8)):
        race = Race(f"P6 GET /v1/content, hot, {size // KIB:,} KiB", unit)
        with a_ground(place / f"{size}") as ground, ExitStack() as stack:
            service = stack.enter_context(ground.service("host"))
            files = _taken_in(service, CLIENTS if size < MIB else 2, size)
            contestants = {"tierd": _pacer(_socket(service), [f"/v1/content/{file}" for file in files])}
            targets = [f"/{file}" for file in files]
            contestants["rclone serve http"] = _pacer(
                stack.enter_context(rclone_http(ground.place, service.root)), targets
            )
            if has("nginx"):
                contestants["nginx"] = _pacer(stack.enter_context(nginx(ground.place, service.root)), targets)
            race.run(contestants)
        physical = "nginx" if size < MIB and "nginx" in contestants else None
        lines += race.lines("tierd", target=target, physical=physical)
    return lines


def cold(place: Path) -> list[str]:
    """P7: bytes of a cold asset, from the request to the first and to the last."""
    lines = []
    for size in (64 * KIB, 64 * MIB):
        first = Race(f"P7 cold, {size // KIB:,} KiB, first byte", "ms", less_is_better=True)
        last = Race(f"P7 cold, {size // KIB:,} KiB, last byte", "ms", less_is_better=True)
        with a_ground(place / f"{size}") as ground, ground.service("host") as service:
            [file] = _taken_in(service, 1, size)
            _run_both(first, last, ground, service, file)
        lines += first.lines("tierd", target=1 / 1.2) + last.lines("tierd", target=0.8)
    return lines


def _run_both(first: Race, last: Race, ground: Ground, service: Service, file: str) -> None:
    took: dict[str, list[float]] = {"tierd": [], "bare GET": []}
    peers = Peers(ground.server.endpoint)

    def tierd(_: int) -> float:
        service.client.demote(filter={})
        begun, ended = first_and_last(_socket(service), f"/v1/content/{file}")
        took["tierd"].append(ended * 1e3)
        return begun * 1e3

    def bare(_: int) -> float:
        begun, ended = peers.bare_get(f"host/{file}")
        took["bare GET"].append(ended * 1e3)
        return begun * 1e3

    first.run({"tierd": tierd, "bare GET": bare}, rounds=9)
    last.reached = took


def latency(place: Path) -> list[str]:
    """P8: one file at a time, from its last byte written to its remote copy proven."""
    took = []
    with a_ground(place) as ground, ground.service("host") as service:
        events = service.client.events(after=0)
        for number in range(100):
            time.sleep(0.05)  # idle, as a host is on which one file arrives now and then
            began = time.perf_counter()
            (service.root / f"{number}.bin").write_bytes(os.urandom(64 * KIB))
            while next(events)["after"] != "replicated":
                pass
            took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return [
        "P8 one file of 64 KiB closed -> replicated [ms]",
        f"    p50 {took[49]:.0f}, p99 {took[98]:.0f}, most {took[99]:.0f}; to reach: p50 150, p99 500",
    ]


def _taken_in(service: Service, count: int, size: int) -> list[str]:
    """Give the daemon some files, and return their paths once they are replicated."""
    at = write_files(service.directory / "fresh", count, size)
    names = sorted(str(path.relative_to(at)) for path in at.rglob("*.bin"))
    for each in at.iterdir():
        each.rename(service.root / each.name)
    wait_until(lambda: service.status()["assets"]["replicated"] == count)
    return names


def _socket(service: Service) -> str:
    return str(service.directory / "tierd.sock")


def _pacer(address: str | tuple[str, int], targets: list[str]) -> Callable[[int], float]:
    return lambda _: pace(address, targets, seconds=PACE_SECONDS).per_second


def _reader(path: Path) -> Callable[[int], float]:
    def run(_: int) -> float:
        began = time.perf_counter()
        for _each in range(OPENS):
            fd = os.open(path, os.O_RDONLY)
            os.read(fd, 64 * KIB)
            os.close(fd)
        return (time.perf_counter() - began) / OPENS * 1e6

    return run
