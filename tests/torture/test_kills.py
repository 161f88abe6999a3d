"""SIGKILL at every named point of the real daemon, on a real store: nothing is ever lost, and the next start heals all.

A case is a chain of kills on one root: each step starts the daemon with a wound, and somebody acts until it has died
there. After each death every asset is looked for on disk and in the store; at the end the installed daemon brings all
to rest, and everything is read everywhere. `tests/deadly.py` says what the points are.
"""

from __future__ import annotations

import itertools
import random
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from daemon_process import MIB, a_directory, sha256
from doomed import Doomed
from effort import scaled, seeds
from holdings import Holdings, audit, lost

from daemon.client import TierdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from buckets import Bucket

PART = "R2 kill -9 at every named point"
SEEDS = seeds(PART, scaled(test=2, quick=4, long=50))
MOVING_SEEDS = seeds(f"{PART}, migrations", scaled(test=1, quick=3, long=50))
SMALL = 20
LARGE = 11 * MIB
"""Three parts."""


class World:
    """A daemon that dies, its owner's files, and what he and the applications do."""

    def __init__(self, daemon: Doomed, seed: int) -> None:
        self.daemon = daemon
        self.chance = random.Random(seed)
        self.holdings = Holdings()
        self._layouts = itertools.cycle(["episodic", "mirror"])
        self._names = 0

    # What the owner does, whether a daemon runs or not.

    def drop(self, path: str, content: bytes) -> None:
        """Write a file, whole before it has its name."""
        self.holdings.put(path, content)
        self.daemon.drop({path: content})

    def fresh(self) -> str:
        """Return a path that was never used."""
        self._names += 1
        return f"{self._names % 4}/{self._names:03}.bin"

    def content(self) -> bytes:
        """Return a small content that no other file has."""
        return self.chance.randbytes(self.chance.randrange(1, 60_000))

    def any(self, *states: str) -> str:
        """Return some small file of ours that is in one of these states."""
        found = [path for path, asset in self.daemon.assets().items() if asset["state"] in states]
        return self.chance.choice(sorted({path for path in found if path in self.holdings.files} - {"large.mov"}))

    def break_index(self) -> None:
        """Overwrite the first page of the index, and lose what was not in it yet."""
        (self.daemon.directory / "index.db-wal").unlink(missing_ok=True)
        with (self.daemon.directory / "index.db").open("r+b") as file:
            file.write(self.chance.randbytes(4096))

    def write_large(self) -> None:
        """Write the large file anew."""
        self.drop("large.mov", self.chance.randbytes(LARGE))

    def write_what_is_away(self) -> None:
        """Write anew what is not on disk."""
        for path in self.holdings.files:
            if not (self.daemon.root / path).exists():
                self.drop(path, self.content())

    def turn(self) -> None:
        """Name another layout: every remote copy is to move."""
        self.daemon.set(LAYOUT__NAME=next(self._layouts))

    # What makes a daemon pass its points, again and again until it is dead.

    def settle(self, path: str) -> None:
        """Wait until a file is at rest as it is now."""
        digest = f"sha256:{sha256(self.holdings.files[path])}"

        def is_so() -> bool:
            asset = self.daemon.assets().get(path, {"state": ""})
            return (asset["state"], asset.get("digest")) == ("replicated", digest)

        self.daemon.wait(path, is_so)

    def rest(self) -> dict[str, int]:
        """Wait until nothing is under way; return how many assets are in each state."""
        return self.daemon.wait_rest()

    def add(self) -> None:
        """Drop a new file."""
        path = self.fresh()
        self.drop(path, self.content())
        self.settle(path)

    def overwrite(self) -> None:
        """Write a file anew, be it hot or cold."""
        path = self.any("replicated", "cold")
        self.drop(path, self.content())
        self.settle(path)

    def rename(self) -> None:
        """Give a file another name."""
        path, name = self.any("replicated"), self.fresh()
        (self.daemon.root / path).rename(self.daemon.root / name)
        self.holdings.rename(path, name)
        self.settle(name)

    def enlarge(self) -> None:
        """Write the large file anew, once the last one has come through."""
        self.rest()
        self.write_large()
        self.settle("large.mov")

    def demote(self) -> None:
        """Have everything leave the disk; where it has, have it back."""
        hot = self.rest()["replicated"]
        (self.daemon.client.demote if hot else self.daemon.client.promote)(filter={})

    def promote(self) -> None:
        """Have everything come back; where it has, have it leave. Its owner clears empty directories away."""
        cold = self.rest()["cold"]
        if cold:
            for directory in self.daemon.root.iterdir():
                with suppress(OSError):
                    directory.rmdir()
        (self.daemon.client.promote if cold else self.daemon.client.demote)(filter={})

    def spare(self) -> None:
        """Have everything leave while somebody has it open."""
        self.rest()
        self.daemon.client.promote(filter={})
        with (self.daemon.root / self.any("replicated")).open("rb"):
            self.daemon.client.demote(filter={})

    def remove(self) -> None:
        """Have a file of its own removed from both tiers."""
        path = self.fresh()
        self.drop(path, self.content())
        self.settle(path)
        self.holdings.remove(path)
        self.daemon.client.remove(path)

    def migrate(self) -> Mapping[str, Any]:
        """Have everything but the large file leave the disk, then all remote copies move and superseded ones go."""
        small = [path for path in self.holdings.files if path != "large.mov"]
        self.daemon.client.demote(small)
        try:
            *_, last = self.daemon.client.resume_migration()
        except TierdError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            *_, last = self.daemon.client.migrate(prune=True)
        report: dict[str, Any] = last["report"]
        return report

    def finish(self) -> None:
        """Have a migration end, by whoever runs now; nothing has failed."""
        failed: list[int] = []

        def is_over() -> bool:
            try:
                failed.append(self.migrate()["failed"])
            except TierdError as error:
                if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            return bool(failed)

        self.daemon.wait("the migration is over", is_over)
        assert failed == [0]

    def look(self) -> None:
        """Do nothing: a start is enough."""
        self.daemon.client.health()


@dataclass(frozen=True)
class Step:
    """One kill: who acts until it happens, at which passage at most, and what the owner did before that start."""

    point: str
    act: Callable[[World], None] = World.look
    most: int = 1
    before: Callable[[World], None] = field(default=lambda _: None)


Chain = list[list[Step]]
"""Some steps only make sense after others: these go together, in order. For the rest chance decides."""


def both(name: str, act: Callable[[World], None] = World.look, most: int = 1, **more: Callable[[World], None]) -> Chain:
    """Die before a step, and after it."""
    return [[Step(f"{when} {name}", act, most, **more)] for when in ("before", "after")]


def after(first: Step, *points: str, before: Callable[[World], None] = lambda _: None) -> list[Step]:
    """Die once, and in what the next starts do about it, further on each time."""
    return [first, *(Step(point, before=before if point is points[0] else lambda _: None) for point in points)]


TAKEN_AWAY = Step("after trash rename", World.demote, 4)
CHAINS: dict[str, Chain] = {
    "uploads": [
        *both("commit discovered", World.add, 2),
        *both("commit claimed", World.add, 2),
        *both("put", World.add, 2),
        *both("commit verified", World.add, 2),
    ],
    "rewrites": [
        *both("commit changed", World.overwrite),
        *both("replace", World.overwrite),
        *both("copy", World.rename),
    ],
    "parts": [
        *both("create_upload", World.enlarge),
        *both("commit begin_upload", World.enlarge),
        *both("put_part", World.enlarge, 3),
        *both("commit record_part", World.enlarge, 3),
        *both("complete", World.enlarge),
        *both("commit end_upload", World.enlarge),
    ],
    "resumed parts": [
        after(Step("after commit record_part", World.enlarge), "before list_parts", "after list_parts"),
        after(Step("after commit record_part", World.enlarge), "before abort", "after abort", before=World.write_large),
    ],
    "demotions": [
        *both("head", World.demote, 9),
        *both("commit chosen", World.demote, 5),
        *both("trash rename", World.demote, 9),
        *both("trash sync directory", World.demote, 18),
    ],
    "departures": [
        *both("recheck", World.demote, 9),
        *both("commit evicted", World.demote, 5),
        *both("discard", World.demote, 9),
        *both("commit spared", World.spare),
    ],
    "landings": [
        *both("land create", World.promote, 9),
        *both("land reserve", World.promote, 9),
        *both("land write", World.promote, 9),
        *both("land sync", World.promote, 9),
        *both("land chmod", World.promote, 9),
    ],
    "promotions": [
        *both("commit wanted", World.promote, 9),
        *both("get", World.promote, 9),
        *both("land link", World.promote, 9),
        *both("land sync directory", World.promote, 9),
        *both("commit restored", World.promote, 5),
        *both("tree mkdir", World.promote, 2),
        *both("tree sync directory", World.promote, 2),
    ],
    "recovered uploads and promotions": [
        after(
            Step("after commit claimed", World.add), "before commit recovery deferred", "after commit recovery deferred"
        ),
        after(
            Step("after commit wanted", World.promote, 5),
            "before commit recovery deferred",
            "after commit recovery deferred",
        ),
        after(
            Step("after land link", World.promote, 5),
            "before commit recovery restored",
            "after commit recovery restored",
        ),
        after(
            Step("after commit wanted", World.promote, 5),
            "before commit recovery changed",
            "after commit recovery changed",
            before=World.write_what_is_away,
        ),
    ],
    "recovered demotions": [
        after(
            TAKEN_AWAY,
            "before recovery trash link",
            "after recovery trash link",
            "before recovery trash sync directory",
            "before recovery trash unlink",
            "after recovery trash unlink",
            "before commit recovery spared",
            "after commit recovery spared",
        ),
        after(Step("after commit evicted", World.demote), "before recovery discard", "after recovery discard"),
    ],
    "removals": [
        *both("remove take away", World.remove),
        *both("commit removed", World.remove),
        *both("remove discard", World.remove),
        *both("delete", World.remove),
        *both("commit purged", World.remove),
    ],
    "recovered removals": [
        after(Step("after commit removed", World.remove), "before recovery discard", "after recovery discard"),
        after(
            Step("after remove take away", World.remove),
            "before recovery trash link",
            "after recovery trash link",
            "after recovery trash unlink",
        ),
    ],
    "broken index": [
        [Step("before set aside", before=World.break_index), Step("after set aside"), Step("before migrate")],
        [Step("after set aside", before=World.break_index), Step("before commit adopt_cold")],
        [Step("after migrate", before=World.break_index), Step("after commit adopt_cold")],
        [Step("before commit remember", before=World.break_index), Step("after commit remember")],
    ],
    "probes": [
        *both("probe put"),
        *both("probe create_upload"),
        *both("probe put_part"),
        *both("probe abort"),
        *both("probe delete"),
    ],
}
MIGRATIONS: Chain = [
    [
        Step("before commit misplace", World.migrate),
        Step("after commit misplace", World.migrate),
        Step("after copy", World.migrate, 3),
        Step("before commit rekeyed", World.migrate, 3),
    ],
    [
        Step("after commit misplaced", World.migrate, 3),
        Step("before copy", World.migrate, 3),
        Step("before commit placed", World.migrate, 2),
        Step("after commit rekeyed", World.migrate, 2),
    ],
    [
        Step("before delete", World.migrate, 9),
        Step("after delete", World.migrate, 9),
    ],
]
FIRST_START: Chain = [
    after(Step("before tree mkdir"), "after tree mkdir", "before migrate", "after migrate"),
    after(Step("before commit remember"), "after commit remember", "before tree mark", "after tree mark"),
]


@pytest.fixture
def world(bucket: Bucket, seed: int) -> Iterator[World]:
    """Begin with nothing."""
    with a_directory(dir="/var/tmp") as directory:
        daemon = Doomed(directory, bucket, {"TIERING__INTERVAL": "1h"})
        try:
            yield World(daemon, seed)
        finally:
            sys.stdout.write(f"{daemon.deaths}\n{daemon.said[-20_000:]}")
            daemon.crash()


def in_some_order(chain: Chain, chance: random.Random) -> list[Step]:
    """Return the steps, groups shuffled."""
    return [step for group in chance.sample(chain, len(chain)) for step in group]


def kill(world: World, steps: Sequence[Step]) -> None:
    """Die at every step, and lose nothing."""
    for step in steps:
        step.before(world)
        nth = world.chance.randint(1, step.most)
        world.daemon.start_wounded(step.point, nth)
        world.daemon.die(lambda act=step.act: act(world))
        assert not lost(world.daemon, world.holdings), f"after {world.daemon.deaths}"


def judge(world: World) -> None:
    """Start what is installed, and read everything everywhere."""
    daemon = world.daemon
    daemon.start_installed()
    audit(daemon, world.holdings)
    daemon.crash()
    if daemon.bucket.unfinished():
        # Begun, and killed before the index knew: left alone for a day, since it might be another host's.
        daemon.start_a_day_later()
        daemon.wait("all uploads are swept", lambda: not daemon.bucket.unfinished())
        daemon.crash()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CHAINS)
def test_killed_at_every_point(world: World, name: str, record_property: Callable[[str, object], None]) -> None:
    """Of a daemon that has assets."""
    world.daemon.start()
    for _ in range(SMALL):
        world.drop(world.fresh(), world.content())
    world.drop("large.mov", world.chance.randbytes(LARGE))
    world.daemon.wait_replicated(SMALL + 1)
    world.daemon.crash()
    kill(world, in_some_order(CHAINS[name], world.chance))
    judge(world)
    record_property("kills", len(world.daemon.deaths))


@pytest.mark.parametrize("seed", MOVING_SEEDS)
def test_killed_while_all_remote_copies_move(world: World, record_property: Callable[[str, object], None]) -> None:
    """To another layout and back, most of them of cold assets; whoever takes it up in the end has it done."""
    world.daemon.start()
    for _ in range(SMALL):
        world.drop(world.fresh(), world.content())
    world.drop("large.mov", world.chance.randbytes(LARGE))
    world.daemon.wait_replicated(SMALL + 1)
    world.daemon.crash()
    for steps in world.chance.sample(MIGRATIONS, scaled(test=1, quick=3, long=3)):
        world.turn()
        kill(world, steps)
        world.daemon.start()
        world.finish()
        world.daemon.crash()
    judge(world)
    record_property("kills", len(world.daemon.deaths))


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_in_the_first_start(world: World, record_property: Callable[[str, object], None]) -> None:
    """On a root that has files already."""
    for _ in range(SMALL):
        world.drop(world.fresh(), world.content())
    kill(world, [step for group in FIRST_START for step in group])
    judge(world)
    record_property("kills", len(world.daemon.deaths))
