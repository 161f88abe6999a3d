"""Hosts that share a bucket, at once and without agreement: they converge, nothing is lost, nothing stale is served.

Owners write, remove and read on every host; uploads, demotions, looks and messages come when they come, the messages
late, twice and in any order. All through it nobody replaces in the store what he has not seen, unless a person said so.
When all is quiet, every host serves what the bucket holds, or shows why it does not: its own bytes, kept, and stuck.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from core import Place
from effort import scaled, seeds
from trees import plant

from index.asset import RelPath
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import State
from tiering.answers import Selection
from tiering.metadata import Passport
from tiering.outcome import TierError
from tiering.store import NotFoundError, StoreError
from tiering.stores.memory import MemoryStore
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from core import Core

    from tiering.store import Attributes, Condition, ObjectInfo

PART = "R12 hosts that share a bucket"
SEEDS = seeds(PART, scaled(test=1, quick=1, long=40))
OPERATIONS = scaled(test=120, quick=2_500, long=10_000)
PATHS = [f"{number % 3}/{number}.bin" for number in range(9)]
ROUNDS = 12
"""So often everybody may look, at most, before all must be quiet."""
AT_REST = {State.REPLICATED, State.COLD, State.GONE, State.STUCK}
WEATHER = (TierError, StoreError, FileError, UnknownAssetError, StaleTransitionError)


class Bucket(MemoryStore):
    """Remembers what was written, and sends messages; what replaces something unseen is a violation."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: dict[str, set[bytes]] = defaultdict(set)
        self.messages: list[tuple[str, str]] = []
        self.violations: list[str] = []
        self.allowed: set[str] = set()
        """The contents that a person let replace whatever is there."""

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Store."""
        before = self._objects.get(key)
        info = await super().put(key, body, attributes, condition)
        self._judge(key, before.info.metadata if before else None, attributes)
        self.contents[key].add(body)
        self.messages.append(("put", key))
        return info

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """See Store."""
        await super().delete(key, etag=etag)
        self.messages.append(("removed", key))

    def _judge(self, key: str, before: Any, attributes: Attributes) -> None:
        was, now = Passport.from_metadata(before or {}), Passport.from_metadata(attributes.metadata)
        if was is None or now is None or now.host == was.host or now.sha256 in self.allowed:
            return
        if now.replaces != was.sha256:
            # Raised here, it would only be one more upload that did not succeed.
            self.violations.append(f"{key}: {now.host} replaced what {was.host} wrote and it never saw")


class Owner:
    """Everybody on one host: what he wrote, and what is his on this host still."""

    def __init__(self, core: Core, bucket: Bucket, chance: random.Random, name: str) -> None:
        self.core, self.bucket, self.chance, self.name = core, bucket, chance, name
        self.latest: dict[str, bytes] = {}
        """What he wrote last at a path and has not removed since."""
        self.mail: list[tuple[str, str]] = []
        self.heard = 0
        self.written = 0
        self.reads: Counter[str] = Counter()

    async def write(self, path: str) -> None:
        """Write a content that nobody else writes."""
        self.written += 1
        content = f"{self.name} {self.written}".encode()
        plant(self.core.tree, path, content)
        self.latest[path] = content
        await self.core.scan()

    async def unlink(self, path: str) -> None:
        """Remove the local file."""
        (self.core.tree.root / path).unlink(missing_ok=True)
        self.latest.pop(path, None)
        await self.core.scan()

    async def remove(self, path: str) -> None:
        """Remove it from both tiers."""
        await self.core.registry.remove(RelPath(path))
        self.latest.pop(path, None)
        await self.core.registry._purge_all()

    async def read(self, path: str) -> None:
        """Read: a whole content that was written there, or none."""
        content = await self.core.read(path)
        assert content in self.bucket.contents[path] or content == self.latest.get(path), (path, content)

    async def demote(self, path: str) -> None:
        """Let the local copy go."""
        await self.core.orders.demote(Selection(paths=(RelPath(path),)))

    async def upload(self, _: str) -> None:
        """Upload what waits."""
        await self.core.upload_all()

    async def decide(self, path: str) -> None:
        """Be the person who acts: let the local bytes win, or take them away."""
        asset = await self.core.find(path)
        if asset.state is not State.STUCK:
            return
        if self.chance.random() < 0.5:
            await self.unlink(path)
            return
        self.bucket.allowed.add(await asyncio.to_thread(self.core.tree.sha256, RelPath(path)))
        await self.core.orders.retry(Selection(paths=(RelPath(path),)), overwrite=True)

    async def look(self, _: str) -> None:
        """Look what others did."""
        await self.core.neighbours.look()
        await self.core.neighbours.give_way()

    async def hear(self, _: str) -> None:
        """Get some of the messages: old ones again, the last ones first."""
        self.mail += self.bucket.messages[self.heard :]
        self.heard = len(self.bucket.messages)
        self.chance.shuffle(self.mail)
        for kind, key in self.mail[:4]:
            await self._see_to(kind, key)
        del self.mail[: self.chance.randrange(5)]

    async def hear_all(self) -> None:
        """Get every message that is left."""
        mail = [*self.mail, *self.bucket.messages[self.heard :]]
        self.mail, self.heard = [], len(self.bucket.messages)
        for kind, key in mail:
            await self._see_to(kind, key)
        await self.core.neighbours.give_way()

    async def _see_to(self, kind: str, key: str) -> None:
        if kind == "removed":
            await self.core.neighbours.removed(key)
            return
        with suppress(NotFoundError):
            await self.core.neighbours.take([await self.bucket.head(key)])

    async def settle(self) -> None:
        """Do once what the daemon does by itself."""
        await self.core.scan()
        await self.core.upload_all()
        await self.core.registry._purge_all()
        await self.hear_all()
        await self.look("")


def a_host(directory: Path, bucket: Bucket, name: str) -> AbstractAsyncContextManager[Core]:
    """Start the core of a host in a place of its own."""
    (directory / name).mkdir()
    return Place(directory / name, bucket, name).core()


async def at_once(owners: list[Owner], chance: random.Random, operations: int, *, told: bool) -> Counter[str]:
    """Do so many operations, some at a time, one on each host."""
    acts: dict[str, int] = {
        "write": 6, "read": 8, "upload": 8, "demote": 4, "remove": 1, "look": 1, "unlink": 1, "decide": 1,
        "hear": 3 if told else 0,
    }  # fmt: skip
    done: Counter[str] = Counter()
    while done.total() < operations:
        chosen = chance.choices([*acts], [*acts.values()], k=len(owners))
        work = [getattr(owner, act)(chance.choice(PATHS)) for owner, act in zip(owners, chosen, strict=True)]
        for error in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, WEATHER):
                raise error
        done.update(chosen)
    return done


def judge_alone(owner: Owner, path: str, state: State) -> None:
    """What its owner wrote last is in the store's history, or on his disk."""
    content = owner.latest.get(path)
    if content is None or content in owner.bucket.contents[path]:
        return
    assert owner.core.on_disk(path) == content, f"{owner.name}: {content!r} of {path} is nowhere ({state})"


async def judge(owner: Owner, path: str, *, told: bool) -> str:
    """Check one asset of one host after all is quiet; return what it is."""
    there = owner.bucket._objects.get(path)
    try:
        state = await owner.core.state(path)
    except UnknownAssetError:
        state = State.GONE
    judge_alone(owner, path, state)
    if state is State.STUCK:
        return "stuck"
    if there is None:
        # Without messages nobody knows that it was removed before he asks.
        assert state is State.GONE or not told, f"{owner.name}: {path} is {state}, and nowhere in the bucket"
        return "gone"
    assert state in AT_REST, f"{owner.name}: {path} is {state}"
    assert await owner.core.read(path) == there.body, f"{owner.name}: {path} is not what the bucket holds"
    return "same"


@pytest.mark.parametrize("told", [True, False], ids=["messages", "looks"])
@pytest.mark.parametrize("hosts", [2, 5])
@pytest.mark.parametrize("seed", SEEDS)
async def test_they_converge(
    tmp_path: Path, record_property: Callable[[str, object], None], seed: int, hosts: int, *, told: bool
) -> None:
    """After any history: the same content everywhere, or a conflict that is shown with its bytes."""
    chance = random.Random(f"{seed} {hosts} {told}")
    bucket = Bucket()
    async with AsyncExitStack() as stack:
        owners = []
        for number in range(hosts):
            core = await stack.enter_async_context(a_host(tmp_path, bucket, f"h{number}"))
            owners.append(Owner(core, bucket, chance, f"h{number}"))
        done = await at_once(owners, chance, OPERATIONS, told=told)
        for _ in range(ROUNDS):
            seen = len(bucket.messages)
            for owner in owners:
                await owner.settle()
            if len(bucket.messages) == seen:
                break
        assert len(bucket.messages) == seen, "they never come to rest"
        assert bucket.violations == []
        found = Counter([await judge(owner, path, told=told) for owner in owners for path in PATHS])
    record_property("operations", done.total())
    record_property("conflicts kept", found["stuck"])
