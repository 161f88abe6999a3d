"""Everything at once for a while: owners, readers, faults on the wire, dying servers, and a daemon that is killed.

`python tests/soak.py MINUTES SEED`. Four owners write, rename, remove and read their files through a daemon that gets
SIGKILL every 90 seconds, on a SeaweedFS that is killed every 150, behind a proxy that breaks one request in twenty.
Whatever an owner reads must be what he wrote last. After each kill everything is looked for, and at the end everything
is read everywhere. How much memory and how many descriptors, tasks and threads the daemon gained is printed.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from buckets import Bucket
from daemon_process import MIB, Daemon, a_directory
from fault_proxy import PARTS, Fault, FaultProxy, Kind, Where
from holdings import Holdings, audit, lost

from daemon.client import TierdError
from demo.seaweed import Seaweed

if TYPE_CHECKING:
    from collections.abc import Callable

OWNERS: Final = 4
PAUSE_SECONDS: Final = 0.15
"""Between two acts of an owner: some twenty a second in all."""
KILL_SECONDS: Final = 90
STORE_SECONDS: Final = 150
SAMPLE_SECONDS: Final = 2
ONE_IN: Final = 20
LARGE: Final = 11 * MIB
WARM_SECONDS: Final = 30
"""How long a life is left out of the slopes: caches fill, pools grow."""
OPERATIONS: Final = ("PUT", "GET", "HEAD", "part", "create", "complete", "DELETE")
KINDS: Final = (Kind.RESET, Kind.CUT, Kind.SLOW_DOWN, Kind.INTERNAL, Kind.LATE_INTERNAL, Kind.LOST, Kind.FORBIDDEN)
WORDS: Final = ("unreachable", "not-ready", "unavailable", "throttled", "conflict", "busy", "no-space")
"""How the daemon may refuse for a while. That an asset is unknown or damaged is no such word."""


class Owner:
    """Somebody with files of his own, who does one thing after the other."""

    def __init__(self, name: str, daemon: Daemon, seed: int) -> None:
        self.name = name
        self.daemon = daemon
        self.holdings = Holdings()
        self.chance = random.Random(f"{seed} {name}")
        self.acting = threading.Lock()
        """Held during an act: whoever holds it sees files and holdings agree."""
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self._made = 0

    def act(self) -> None:
        """Do something; what the daemon cannot do just now is done some other time."""
        acts: list[tuple[Callable[[], None], int]] = [
            (self.add, 25), (self.overwrite, 15), (self.rename, 5), (self.remove, 5),
            (self.read, 25), (self.open, 10), (self.demote, 15),
        ]  # fmt: skip
        [act] = self.chance.choices([act for act, _ in acts], [weight for _, weight in acts])
        with self.acting:
            if not self.holdings.files and act != self.add:
                return
            try:
                act()
            except TierdError as error:
                self._refused(act.__name__, error)
            else:
                self.done[act.__name__] += 1

    def _refused(self, act: str, error: TierdError) -> None:
        self.done[f"{act}: {error.code}"] += 1
        if error.code not in WORDS:
            self.violations.append(f"{self.name}: {act}: {error.code}: {error}")

    def add(self) -> None:
        """Write a new file; one in a hundred is large."""
        self._write(self._fresh())

    def overwrite(self) -> None:
        """Write a file anew, be it hot or cold."""
        self._write(self._any())

    def rename(self) -> None:
        """Give a file that is on disk another name."""
        path, name = self._any(), self._fresh()
        if not (self.daemon.root / path).exists():
            return
        (self.daemon.root / name).parent.mkdir(exist_ok=True)
        try:
            (self.daemon.root / path).rename(self.daemon.root / name)
        except FileNotFoundError:
            return  # It was demoted at this moment.
        self.holdings.rename(path, name)

    def remove(self) -> None:
        """Have a file removed from both tiers."""
        path = self._any()
        self.daemon.client.asset(path)
        self.holdings.remove(path)
        self.daemon.client.remove(path)

    def read(self) -> None:
        """Read a file, wherever it is."""
        path = self._any()
        if self.daemon.read(path) != self.holdings.files[path]:
            self.violations.append(f"{self.name}: other bytes were read of {path}")

    def open(self) -> None:
        """Have a file on disk, and read it there."""
        path = self._any()
        with self.daemon.client.open(path) as opened:
            if opened.path.read_bytes() != self.holdings.files[path]:
                self.violations.append(f"{self.name}: other bytes were on disk of {path}")

    def demote(self) -> None:
        """Have some files leave the disk."""
        self.daemon.client.demote([self._any() for _ in range(5)])

    def _write(self, path: str) -> None:
        size = LARGE if self.chance.random() < 0.01 else self.chance.randrange(100_000)
        content = self.chance.randbytes(size)
        self.holdings.put(path, content)
        target = self.daemon.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(".fresh")
        fresh.write_bytes(content)
        fresh.rename(target)

    def _fresh(self) -> str:
        self._made += 1
        return f"{self.name}/{self._made:06}.bin"

    def _any(self) -> str:
        return self.chance.choice([*self.holdings.files])


@dataclass
class Life:
    """One life of the daemon, as it was sampled: seconds since its start, and each figure then."""

    began: float
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def slopes(self) -> dict[str, float]:
        """Return how much each figure gained per minute, once warm; nothing of a short life."""
        warm = [(at, figures) for at, figures in self.samples if at > WARM_SECONDS]
        if len(warm) < 10:
            return {}
        times = [at for at, _ in warm]
        names = warm[0][1]
        return {
            name: 60 * statistics.linear_regression(times, [figures[name] for _, figures in warm]).slope
            for name in names
        }


class Soak:
    """All that goes on at once."""

    def __init__(self, daemon: Daemon, server: Seaweed, proxy: FaultProxy, seed: int) -> None:
        self.daemon = daemon
        self.server = server
        self.proxy = proxy
        self.chance = random.Random(seed)
        self.owners = [Owner(f"owner{number}", daemon, seed) for number in range(OWNERS)]
        self.over = threading.Event()
        self.lives = [Life(time.monotonic())]
        self.faults = self.restarts = 0
        self.errors: list[BaseException] = []

    def run(self, minutes: float) -> None:
        """Let everything go on for so long."""
        ends = time.monotonic() + 60 * minutes
        works = [*(lambda owner=owner: self._own(owner) for owner in self.owners), self._break_wire, self._sample]  # type: ignore[misc]
        threads = [threading.Thread(target=self._until_over, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            self._disturb(ends)
        finally:
            self.over.set()
            for thread in threads:
                thread.join(120)

    def holdings(self) -> Holdings:
        """Return what everybody has, together."""
        together = Holdings()
        for owner in self.owners:
            together.files |= owner.holdings.files
            together.former |= owner.holdings.former
            together.removed |= owner.holdings.removed
        return together

    def _until_over(self, work: Callable[[], None]) -> None:
        try:
            while not self.over.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - said at the end, and the end comes at once
            self.errors.append(error)
            self.over.set()

    def _own(self, owner: Owner) -> None:
        owner.act()
        time.sleep(PAUSE_SECONDS)

    def _break_wire(self) -> None:
        """Have about one request in twenty go wrong."""
        seen = self.proxy.seen.total()
        while self.proxy.seen.total() < seen + ONE_IN and not self.over.is_set():
            time.sleep(0.02)
        where = self.chance.choice([Where.BEFORE, Where.AFTER, *PARTS, Where.LAST])
        self.proxy.arm(Fault(self.chance.choice(OPERATIONS), self.chance.choice(KINDS), where))
        self.faults += 1

    def _sample(self) -> None:
        time.sleep(SAMPLE_SECONDS)
        life, pid = self.lives[-1], self.daemon.pid
        try:
            tasks = self.daemon.figure("tasks")
            figures = {"KiB": self.daemon.resident() / 1024, "tasks": tasks, **_counts(pid)}
        except (OSError, AssertionError):
            return  # It is dead, or not up again.
        life.samples.append((time.monotonic() - life.began, figures))

    def _disturb(self, ends: float) -> None:
        kill_at, store_at = time.monotonic() + KILL_SECONDS, time.monotonic() + STORE_SECONDS
        while time.monotonic() < ends and not self.over.is_set():
            time.sleep(0.5)
            if time.monotonic() >= kill_at:
                self._kill_daemon()
                kill_at = time.monotonic() + KILL_SECONDS
            if time.monotonic() >= store_at:
                self._restart_store()
                store_at = time.monotonic() + STORE_SECONDS

    def _kill_daemon(self) -> None:
        """Kill it in the middle of whatever it does, and look for everything before it is started again."""
        self.daemon.crash()
        with ExitStack() as stack:
            for owner in self.owners:
                stack.enter_context(owner.acting)
            missing = lost(self.daemon, self.holdings())
            assert not missing, f"lost: {missing}"
            self.daemon.start()
        self.lives.append(Life(time.monotonic()))
        print(f"kill {len(self.lives) - 1}: nothing is lost of {len(self.holdings().files)} files", flush=True)

    def _restart_store(self) -> None:
        self.server.kill()
        time.sleep(self.chance.uniform(1, 5))
        self.server.start()
        self.restarts += 1

    def report(self) -> None:
        """Print what was done, and what the daemon gained."""
        done = sum((owner.done for owner in self.owners), Counter())
        print("acts     ", ", ".join(f"{count} {what}" for what, count in done.most_common()))
        print(
            f"disturbed {len(self.lives) - 1} kills, {self.restarts} restarts of the store, {self.faults} faults armed"
        )
        slopes = [slopes for life in self.lives if (slopes := life.slopes())]
        for name in slopes[0] if slopes else ():
            last = [figures[name] for life in self.lives for _, figures in life.samples[-1:]]
            gained = statistics.median(slope[name] for slope in slopes)
            print(f"{name:9} {gained:+.2f} a minute (median of {len(slopes)} lives), at most {max(last):.0f} at an end")


def _counts(pid: int) -> dict[str, float]:
    place = Path(f"/proc/{pid}")
    return {"files": len([*(place / "fd").iterdir()]), "threads": len([*(place / "task").iterdir()])}


def main(minutes: float, seed: int) -> int:
    """Soak, and return 1 where anything was not as it must be."""
    with ExitStack() as stack:
        server = stack.enter_context(Seaweed(stack.enter_context(a_directory())))
        proxy = stack.enter_context(FaultProxy(server.endpoint))
        bucket = Bucket(server.endpoint)
        stack.callback(bucket.close)
        bucket.make()
        directory = stack.enter_context(a_directory(dir="/var/tmp"))
        settings: dict[str, Any] = {"STORE__ENDPOINT": proxy.endpoint, "CACHE__SIZE_LIMIT": "60 MiB"}
        daemon = Daemon(directory, bucket, settings)
        daemon.log.touch()
        stack.callback(daemon.crash)
        daemon.start()
        soak = Soak(daemon, server, proxy, seed)
        print(f"soak: {minutes:g} minutes, seed {seed}", flush=True)
        soak.run(minutes)
        soak.report()
        proxy.arm()
        violations = [violation for owner in soak.owners for violation in owner.violations]
        for violation in violations:
            print(violation)
        for error in soak.errors:
            raise error
        daemon.crash()
        daemon.set(CACHE__SIZE_LIMIT="100 GiB")  # The audit has everything come back.
        daemon.start()
        audit(daemon, soak.holdings())
        print(f"audit     {len(soak.holdings().files)} files: every byte is right, on disk and in the store")
        daemon.stop()
        return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2])))
