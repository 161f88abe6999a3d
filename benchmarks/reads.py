"""P4 to P7: reading what is hot, past the daemon and through it, and what is cold."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from benchmarks.debian import MissingPeerError
from benchmarks.ground import a_ground, wait_until, write_files
from benchmarks.load import first_and_last, pace
from benchmarks.peers import Peers
from benchmarks.race import Race, Span
from benchmarks.servers import bare_aiohttp, nginx, rclone_http, rclone_mount, s3fs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.ground import Ground
    from benchmarks.load import Pace
    from demo.service import Service

KIB: Final = 1 << 10
MIB: Final = 1 << 20
CLIENTS: Final = 8
PACE_SECONDS: Final = 3.0
OPENS: Final = 5000
RATE: Final = 12_000
SLOWEST_MS: Final = 2.0
ANSWER_BYTES: Final = 300
"""About what an open is answered with."""
_CORES: Final = sorted(os.sched_getaffinity(0))
ONE, OTHERS = {_CORES[0]}, set(_CORES[1:] or _CORES)

T = TypeVar("T")


def paths(place: Path) -> list[str]:
    """P4: a path that the application knows is a file like any other."""
    race = Race("P4 open, read 64 KiB, close", "us", less_is_better=True)
    with a_ground(place) as ground, ExitStack() as stack:
        service = stack.enter_context(ground.service("host"))
        files = _taken_in(service, CLIENTS, 64 * KIB)
        plain = write_files(place / "plain", CLIENTS, 64 * KIB) / files[0]
        contestants = {"tierd": service.root / files[0], "plain file": plain}
        mounts = {
            "rclone mount": lambda: rclone_mount(place, Peers(ground.server.endpoint).remote),
            "s3fs": lambda: s3fs(place, ground.server.endpoint),
        }
        places, missing = _entered(stack, mounts)
        contestants |= {name: at / "host" / files[0] for name, at in places.items()}
        race.run({name: _reader(path) for name, path in contestants.items()})
    return race.lines("tierd", target=0.9) + missing


def opens(place: Path) -> list[str]:
    """P5: asking where a hot asset is, of a daemon that has one core, and its clients the other."""
    race = Race("P5 GET /v1/open, hot, 8 connections, one core", "answers/s")
    slow: list[float] = []
    with a_ground(place) as ground, ExitStack() as stack:
        with _on(ONE):
            bare = stack.enter_context(bare_aiohttp(ground.place, ANSWER_BYTES))

        def tierd(number: int) -> float:
            # Anew each time: leases are bounded, and last for a minute.
            with _on(ONE), ground.service(f"host-{number}") as service:
                files = _taken_in(service, CLIENTS, 64 * KIB)
                found = _paced(_socket(service), [f"/v1/open/{file}" for file in files])
                _require_counted(service, found)
            slow.append(found.p99 * 1e3)
            return found.per_second

        race.run({"tierd": tierd, "bare aiohttp": lambda _: _paced(bare, ["/"] * CLIENTS).per_second})
    return _opens_lines(race, Span.of(slow))


def _opens_lines(race: Race, worst: Span) -> list[str]:
    """Return the report: what is to be reached is no ratio; what bare aiohttp reaches is what the machine allows."""
    *figures, ratio = race.lines("tierd", target=0)
    if race.noisy():
        return [*figures, ratio]
    is_reached = race.span("tierd").median >= RATE and worst.median < SLOWEST_MS
    wanted = f"to reach {RATE:,} answers/s, p99 below {SLOWEST_MS} ms: {'reached' if is_reached else 'MISSED'}"
    return [
        *figures,
        f"    p99 {worst:.2f} ms, every access counted; {wanted}",
        f"    tierd / bare aiohttp: {race.ratio('tierd', 'bare aiohttp'):.2f}",
    ]


def contents(place: Path) -> list[str]:
    """P6: hot bytes over the socket."""
    lines = []
    for size, target in ((64 * KIB, 1.2), (256 * MIB, 0.8)):
        race = Race(f"P6 GET /v1/content, hot, {size // KIB:,} KiB", "answers/s")
        with a_ground(place / f"{size}") as ground, ExitStack() as stack:
            service = stack.enter_context(ground.service("host"))
            files = _taken_in(service, CLIENTS if size < MIB else 2, size)
            contestants = {"tierd": _pacer(_socket(service), [f"/v1/content/{file}" for file in files])}
            servers = {
                "rclone serve http": partial(rclone_http, ground.place, service.root),
                "nginx": partial(nginx, ground.place, service.root),
            }
            addresses, missing = _entered(stack, servers)
            targets = [f"/{file}" for file in files]
            race.run(contestants | {name: _pacer(address, targets) for name, address in addresses.items()})
        physical = "nginx" if size < MIB and "nginx" in race.reached else None
        lines += race.lines("tierd", target=target, physical=physical) + missing
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
        if service.status()["assets"]["cold"] != 1:
            raise RuntimeError(f"{file} is not cold: nothing was measured")
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


def _entered(
    stack: ExitStack, peers: Mapping[str, Callable[[], AbstractContextManager[T]]]
) -> tuple[dict[str, T], list[str]]:
    """Start the peers that can be had; return them, and a line for each that cannot."""
    found, missing = {}, []
    for name, peer in peers.items():
        try:
            found[name] = stack.enter_context(peer())
        except MissingPeerError as error:
            missing.append(f"    without {name}: {error}")
    return found, missing


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Have what is started now run on these cores for ever."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _paced(address: str, targets: list[str]) -> Pace:
    with _on(OTHERS):
        return pace(address, targets, seconds=PACE_SECONDS)


def _require_counted(service: Service, found: Pace) -> None:
    counted = service.client.stats()["requests"]
    if counted != {"hit": found.count, "miss": 0, "error": 0}:
        raise RuntimeError(f"{found.count} opens were answered, and counted were {counted}")


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
