"""The core in a simulated world, judged after every step: no byte is lost, no wrong one is seen.

Owners write, append, rename, link, delete and hold files open, at rest and in the middle of what the daemon does.
The daemon scans, uploads, demotes, promotes, reads, pins, leases and removes; requests fail, answers are lost, the
clock jumps, the disk is not there, the index is lost; and at any effect the process ends or the power is lost, also
while it recovers. See mortal.py for what is real and what is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from core import MONTH
from effort import scaled, seeds
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mortal import DISK_FAULTS, Deed, Judge, Life, Trouble, World, strange
from owner import PATHS, SIZES, Owner
from simulated_time import Loop
from uploads import ABLE, OPAQUE

from index.asset import RelPath
from index.errors import CatalogError, UnknownAssetError
from index.lifecycle import HOT, IN_FLIGHT, State
from tiering.answers import Selection
from tiering.metadata import Passport
from tiering.outcome import DamagedError, TierError
from tiering.store import StoreError
from tiering.sweeper import Sweeper
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mortal import Mortal
    from simulated_disk import Node

    Act = Callable[[Mortal], Coroutine[Any, Any, None]]

PART = "R1 model with crashes"
FAILURES = (StoreError, TierError, FileError, CatalogError)
"""What may be answered where the world is in trouble."""

paths = st.sampled_from(PATHS)
sizes = st.sampled_from(SIZES)
chances = st.integers(0, 2**32 - 1)
deaths = st.integers(-41, 40).map(lambda effects: effects if effects >= 0 else None)


UPLOADING = ("open", "lease", "fstat", "pread", "put", "answer", "stat", "commit")
DEMOTING = ("stat", "head", "lease", "rename", "fsync", "unlease", "unlink", "commit")
PROMOTING = ("create", "get", "pwrite", "utime", "fsync", "link", "link", "commit")
REMOVING = ("stat", "lease", "fstat", "rename", "rename", "fsync", "unlink", "commit")
"""When owners act in the middle of a step: right before one of these. Where there is most to be lost comes twice."""
ALL = (*UPLOADING, *DEMOTING, *PROMOTING, *REMOVING)


class Done:
    """What a case has done, for the table."""

    steps = 0
    crashes = 0


class Jury(Judge):
    """The invariants that can be broken at any effect, and not only at rest."""

    def __init__(self, world: World, owner: Owner) -> None:
        self._world = world
        self._owner = owner
        self.removed_bytes: set[bytes] = set()
        """What a person has removed, or begun to remove."""
        self.removed_paths: set[str] = set()
        self.removing: str | None = None
        """The path that a person is removing."""
        self.doomed: set[bytes] | None = None
        """What was expected there when he said so."""
        self.taken: list[Node] = []
        """What went into the trash with it, though it was not meant: its owner put it there at that very moment."""
        self.leased: dict[str, float] = {}
        """The assets that somebody was told are his, wherever their owner names them, and until when."""

    def doom(self, path: str) -> None:
        """A person removes what is at this path now."""
        self.doomed = self._owner.expected.get(path)
        self.removed_bytes |= self._owner.history[path]

    def removed(self, effect: str) -> None:
        """I1 and I5: whatever was removed or replaced, what the owner expects is somewhere."""
        for path, contents in self._owner.expected.items():
            if contents != self.doomed and not any(self.is_somewhere(path, content) for content in contents):
                self._world.violate(f"I1: {path} is lost with `{effect}`")

    def is_somewhere(self, path: str, content: bytes) -> bool:
        """Whether the content is on disk, in the trash, or in the store under a passport."""
        # Empty files cannot be told from one another: those who read them tell.
        if not content or self._world.disk.content(path) == content:
            return True
        if any(node.data == content for node in self._world.disk.files(".tierd/trash").values()):
            return True
        return self.is_stored(content)

    def is_stored(self, content: bytes) -> bool:
        """Whether an object that says whose it is has the content."""
        return any(
            each.body == content and Passport.from_metadata(each.info.metadata or {}) is not None
            for each in self._world.memory._objects.values()
        )

    def before_trash(self, asset_id: str, node: Node) -> None:
        """I2: a file leaves its name only where the intent is written and its copy was looked at a moment ago.

        And where nobody has it open, as far as a kernel can tell that.
        """
        if self._world.disk.grants_leases and self._world.disk.is_in_use(node):
            self._world.violate(f"I2: {asset_id} leaves the disk though somebody has it open")
        if node.data in self.removed_bytes:
            return
        columns = "id, state, path, proof_key, proof_etag, pinned, size, mtime_ns, inode"
        rows = {row[0]: row[1:] for row in self._world.index.rows(columns)}
        state, raw, key, etag, pinned, *looks = rows.get(asset_id, ("unknown", b"", "", "", 0))
        path = raw.decode()
        if path == self.removing:
            # Nothing shows that of what was not proven, and where the kernel keeps nobody off.
            is_unseen = state != State.REPLICATED and not self._world.disk.grants_leases
            if is_unseen and looks == [len(node.data), node.mtime_ns, node.number]:
                self.doom(path)
            else:
                self.taken.append(node)
            return
        seen, at = self._world.heads.get(key, ("", -1e9))
        now = self._world.clock.monotonic()
        if state != State.DEMOTING or seen != etag or now - at > 60:
            self._world.violate(f"I2: {path} leaves the disk, {state}, looked at {now - at:.0f} s ago")
        if pinned:
            self._world.violate(f"{path} leaves the disk though it is pinned")
        if self.leased.get(asset_id, 0.0) > now:
            self._world.violate(f"{path} leaves the disk though it is leased")

    def before_last_unlink(self, node: Node) -> None:
        """I2: bytes that are expected go only where the index knows an object that has them."""
        if not node.data or node.data in self.removed_bytes:
            return
        for path, contents in self._owner.expected.items():
            if node.data in contents and not any(map(self._is_known_to_be_stored, contents)):
                self._world.violate(f"I2: the last local copy of {path} is unlinked, and no proof of another is known")

    def _is_known_to_be_stored(self, content: bytes) -> bool:
        sha256 = hashlib.sha256(content).hexdigest()
        return self.is_stored(content) and (sha256,) in self._world.index.rows("proof_sha256")

    def before_delete(self, key: str, etag: str | None) -> None:
        """I10: only what a person removed is removed from the store, and only as it was."""
        rows = self._world.index.rows("path, state, purge, proof_key, proof_etag")
        tombs = [row for row in rows if row[1:] == (State.GONE, 1, key, etag)]
        if not any(row[0].decode() in self.removed_paths for row in tombs):
            self._world.violate(f"I10: {key} is deleted, and nobody said so")


class Model(RuleBasedStateMachine):
    """Owners and a daemon, and everything that can happen to them."""

    loop: Loop
    """What every life of a case runs on."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.loop)
        self.owner = Owner(self.world)
        self.jury = self.world.judge = Jury(self.world, self.owner)
        self.life: Life | None = None
        self.able = ABLE
        self.is_broken_off = False
        """Whether a step has failed: nothing more is to be judged, then."""

    @initialize(opaque=st.booleans(), leases=st.sampled_from((True, True, False)), fine=st.booleans())
    def start(self, *, opaque: bool, leases: bool, fine: bool) -> None:
        """The first start, on an empty root, of one kernel and one store or another."""
        self.world.disk.has_fine_times = fine
        self.able = OPAQUE if opaque else ABLE
        self.world.disk.grants_leases = leases

    # How a step is done

    def act(
        self, act: Act, death: int | None, chance: int, path: str | None = None, moments: tuple[str, ...] = ALL
    ) -> bool:
        """Let the daemon act, and perhaps die; return whether there was no trouble.

        Owners meddle with `path` most of all, at these moments.
        """
        return self._act(act, self._trouble(death, random.Random(chance), path, moments))

    def _act(self, act: Act, trouble: Trouble) -> bool:
        Done.steps += 1
        self.world.trouble = trouble
        self.world.trace.append(f"STEP {act.__qualname__}")
        self.owner.watch()
        calm = trouble.death is None and not trouble.faults and trouble.disk_fault is None and not trouble.meanwhile
        try:
            if self.life is None:
                self._begin(trouble)
            if self.life is not None and not self.life.act(act(self.life.core)):  # type: ignore[arg-type]
                self._bury(trouble)
        except BaseException:
            self.is_broken_off = True
            self._tell()
            raise
        self._require_no_violation()
        return calm

    def _begin(self, trouble: Trouble) -> None:
        life = self.life = Life(self.world, self.able)
        try:
            lives = life.begin()
        except FileError:
            # The disk failed before anything was open: systemd would start it again.
            lives = False
        if not lives:
            self._bury(trouble)

    def _bury(self, trouble: Trouble) -> None:
        Done.crashes += 1
        assert self.life is not None
        self.life.bury()
        self.life = None
        self.jury.leased.clear()
        power = trouble.chance.random() < 0.7
        seen = {path for path in PATHS if self.world.disk.node(path) is not None}
        self.world.end(power=power)
        if power:
            self._judge_loss(seen)
            # A file that came back is what its owner has there.
            for path in [path for path in self.owner.promised if self.world.disk.node(path) is not None]:
                del self.owner.promised[path]
            for path in [path for path, contents in self.owner.expected.items() if contents == self.jury.doomed]:
                del self.owner.expected[path]
            self.owner.look_after_loss(self._trashed(), self._proven())

    def _trouble(self, death: int | None, chance: random.Random, path: str | None, moments: tuple[str, ...]) -> Trouble:
        trouble = Trouble(chance, death)
        if chance.random() < 0.1:
            trouble.turns = (0, 0, 1, 40)
        if chance.random() < 0.2:
            trouble.faults = strange(chance, 6)
        if chance.random() < 0.05:
            trouble.disk_fault = (chance.randint(1, 20), chance.choice(tuple(DISK_FAULTS)))
        if chance.random() < 0.5:
            trouble.meanwhile = [
                Deed(*_moment(chance, moments), self._deed(chance, path)) for _ in range(chance.choice((1, 1, 2, 3)))
            ]
        return trouble

    def _bring(self, path: str, state: State, chance: int) -> None:
        """Mostly have an asset where a step means something, undisturbed; else it is found as it is."""
        random_ = random.Random(chance)
        if random_.random() < 0.5 or self._state(path) is state is State.COLD:
            return
        if self.world.disk.node(path) is None:
            self.owner.write(path, random_.choice(SIZES), random_)
        if self._state(path) is not State.REPLICATED:
            self._act(_upload, Trouble(random_))
        if state is State.COLD and self._state(path) is State.REPLICATED:
            self._act(lambda core: self._demote(core, path), Trouble(random_))

    def _state(self, path: str) -> State | None:
        states = {raw.decode(): state for raw, state in self.world.index.rows("path, state")}
        return State(states[path]) if path in states else None

    def _deed(self, chance: random.Random, path: str | None) -> Callable[[], bool]:
        """Return something that the owner does in the middle of a step, mostly to the file that it is about."""
        owner = self.owner
        if path is None or chance.random() < 0.3:
            path = chance.choice(PATHS)
        other, size = chance.choice(PATHS), chance.choice(SIZES)
        return chance.choice(
            (
                lambda: owner.write(path, size, chance),
                lambda: owner.write(path, size, chance),
                lambda: owner.save(path, size, chance),
                lambda: owner.patch(path, chance),
                lambda: owner.patch(path, chance),
                lambda: owner.append(path, chance),
                lambda: owner.delete(path, chance),
                lambda: owner.rename(path, other, chance),
                lambda: owner.rename(other, path, chance),
                lambda: owner.rename(path, other, chance, link=True),
                lambda: owner.touch(path, chance),
                lambda: owner.hold(path, writing=True),
                lambda: owner.hold(path, writing=False),
                lambda: owner.go_on(chance),
            )
        )

    def _judge_loss(self, seen: set[str]) -> None:
        """What was there, and given its name by the daemon, was durable before the index said so."""
        disk, owner = self.world.disk, self.owner
        for asset_id, raw in self.world.index.rows("CASE state WHEN 'replicated' THEN id END, path"):
            path = raw.decode()
            is_certain = path in owner.expected.keys() & seen - owner.unsynced and disk.has_home(path)
            is_lost = disk.node(path) is None and asset_id not in disk.files(".tierd/trash")
            if asset_id is not None and is_certain and is_lost:
                self.world.violate(f"{path} is replicated, and its file did not survive")

    def _trashed(self) -> dict[str, Node]:
        files = self.world.disk.files(".tierd/trash")
        rows = self.world.index.rows("id, path")
        return {raw.decode(): files[asset_id] for asset_id, raw in rows if asset_id in files}

    def _proven(self) -> dict[str, set[bytes]]:
        """Return by path what the index knows to be in the store."""
        known = {row[1]: row[0].decode() for row in self.world.index.rows("path, proof_sha256") if row[1] is not None}
        bodies = [each.body for each in self.world.memory._objects.values()]
        proven: dict[str, set[bytes]] = {}
        for body in bodies:
            path = known.get(hashlib.sha256(body).hexdigest())
            if path is not None:
                proven.setdefault(path, set()).add(body)
        return proven

    def _require_no_violation(self) -> None:
        if self.world.violations:
            self._tell()
            raise AssertionError("; ".join(self.world.violations))

    def _tell(self) -> None:
        note("\n".join(self.world.trace))

    # What owners do between the daemon's steps

    @rule(path=paths, size=sizes, chance=chances, whole=st.booleans())
    def write(self, path: str, size: int, chance: int, *, whole: bool) -> None:
        """Write a file, in place or by renaming a finished one over it."""
        self._own((self.owner.save if whole else self.owner.write)(path, size, random.Random(chance)))

    @rule(path=paths, chance=chances, adds=st.booleans())
    def alter(self, path: str, chance: int, *, adds: bool) -> None:
        """Add bytes to a file, or change some."""
        self._own((self.owner.append if adds else self.owner.patch)(path, random.Random(chance)))

    @rule(path=paths, chance=chances)
    def delete(self, path: str, chance: int) -> None:
        """Delete a file."""
        self._own(self.owner.delete(path, random.Random(chance)))

    @rule(old=paths, new=paths, chance=chances, link=st.booleans())
    def rename(self, old: str, new: str, chance: int, *, link: bool) -> None:
        """Rename a file, perhaps over another, or give it a second name."""
        self._own(self.owner.rename(old, new, random.Random(chance), link=link))

    @rule(old=paths, new=paths, chance=chances)
    def mislay(self, old: str, new: str, chance: int) -> None:
        """Rename a file, and delete it before it is uploaded under its new name."""
        self._bring(old, State.REPLICATED, chance)
        self._own(self.owner.rename(old, new, random.Random(chance)))
        self._act(lambda core: core.scan(), Trouble(random.Random(chance)))
        self._own(self.owner.delete(new, random.Random(chance)))
        self._act(lambda core: core.scan(), Trouble(random.Random(chance)))

    @rule(path=paths, chance=chances)
    def touch(self, path: str, chance: int) -> None:
        """Change a file's date or mode."""
        self._own(self.owner.touch(path, random.Random(chance)))

    @rule(path=paths, writing=st.booleans())
    def hold(self, path: str, *, writing: bool) -> None:
        """Open a file and keep it open."""
        self._own(self.owner.hold(path, writing=writing))

    @rule(chance=chances)
    def go_on(self, chance: int) -> None:
        """Write or close what is held open."""
        self._own(self.owner.go_on(random.Random(chance)))

    def _own(self, done: bool) -> None:  # noqa: FBT001 - what the act answered
        Done.steps += 1
        assert done, "a file lease outlived the call that took it"
        self._require_no_violation()

    # What the daemon does

    @rule(death=deaths, chance=chances)
    def scan(self, death: int | None, chance: int) -> None:
        """The whole tree is looked at."""
        self.act(lambda core: core.scan(), death, chance)

    @rule(path=paths, death=deaths, chance=chances)
    def hint(self, path: str, death: int | None, chance: int) -> None:
        """One path is looked at."""

        async def look(core: Mortal) -> None:
            await core.reconciler.look([RelPath(path)])

        self.act(look, death, chance, path)

    @rule(death=deaths, chance=chances)
    def upload(self, death: int | None, chance: int) -> None:
        """Whatever is due is uploaded."""
        self.act(_upload, death, chance, moments=UPLOADING)

    @rule(death=deaths, chance=chances)
    def upload_again(self, death: int | None, chance: int) -> None:
        """The same, for it takes more uploads than anything else to come far."""
        self.act(_upload, death, chance, moments=UPLOADING)

    @rule(death=deaths, chance=chances)
    def rekey(self, death: int | None, chance: int) -> None:
        """Remote copies follow their assets to other keys."""
        self.act(lambda core: _try(core.rekeyer.place_all()), death, chance)

    @rule(path=paths, death=deaths, chance=chances)
    def demote(self, path: str, death: int | None, chance: int) -> None:
        """One asset is demoted, if it may be."""
        self._bring(path, State.REPLICATED, chance)
        self.act(lambda core: self._demote(core, path), death, chance, path, DEMOTING)

    @rule(path=paths, death=deaths, chance=chances)
    def demote_again(self, path: str, death: int | None, chance: int) -> None:
        """The same."""
        self._bring(path, State.REPLICATED, chance)
        self.act(lambda core: self._demote(core, path), death, chance, path, DEMOTING)

    async def _demote(self, core: Mortal, path: str) -> None:
        if not core.reconciler.scanned.is_set():
            await core.scan()
        self._wait_for_leases(core)
        await _try(core.orders.demote(_only(path)))

    def _wait_for_leases(self, core: Mortal) -> None:
        """After a start, let the time pass for which others may hold a lease."""
        early = core.leases.settled_at - self.world.clock.time()
        if 0 < early <= 60:
            self.world.clock.sleep(early)

    @rule(death=deaths, chance=chances)
    def tend(self, death: int | None, chance: int) -> None:
        """A month later the keeper looks for what nobody has asked for."""

        async def tend(core: Mortal) -> None:
            if not core.reconciler.scanned.is_set():
                await core.scan()
            await core.keeper.tend()

        self.world.clock.sleep(MONTH + 1)
        self.act(tend, death, chance)

    @rule(death=deaths, chance=chances)
    def scrub(self, death: int | None, chance: int) -> None:
        """A week later both tiers are looked at again, and what seemed wrong a second time."""

        async def scrub(core: Mortal) -> None:
            for _ in range(2):
                await _try(core.scrubber.ask())
                await _try(core.scrubber.read_back())
                await _try(core.scrubber.hash_files())
                self.world.clock.sleep(61)

        self.world.clock.sleep(8 * 86_400)
        self.act(scrub, death, chance)

    @rule(path=paths, death=deaths, chance=chances)
    def promote(self, path: str, death: int | None, chance: int) -> None:
        """One asset is promoted, if it is cold."""
        self._bring(path, State.COLD, chance)
        self.act(lambda core: _try(core.orders.promote(_only(path))), death, chance, path, PROMOTING)

    @rule(path=paths, death=deaths, chance=chances)
    def read(self, path: str, death: int | None, chance: int) -> None:
        """Somebody reads: what he gets is what its owner wrote, or he is told that there is nothing."""
        answers: list[bytes | Exception] = []
        self._bring(path, State.COLD if chance % 3 else State.REPLICATED, chance)

        async def read(core: Mortal) -> None:
            try:
                answers.append(await core.read(path))
            except (*FAILURES, UnknownAssetError) as error:
                answers.append(error)

        calm = self.act(read, death, chance, path, PROMOTING)
        for answer in answers:
            self._judge_read(path, answer, calm=calm)

    def _judge_read(self, path: str, answer: bytes | Exception, *, calm: bool) -> None:
        seen = self.owner.seen[path]
        if isinstance(answer, bytes):
            right = answer in seen or (None in seen and answer in self.owner.history[path])
        elif isinstance(answer, UnknownAssetError):
            right = None in seen
        else:
            is_doubted = (
                self.life is not None and self.life.core is not None and self.life.core.reconciler.brake.engaged
            )
            is_written = path in self.owner.writers.values()
            right = not calm or is_doubted or is_written or (isinstance(answer, DamagedError) and self.world.has_lied)
        if not right:
            self.world.violate(f"I4: who reads {path} gets {answer!r}")
            self._require_no_violation()

    @rule(path=paths, death=deaths, chance=chances)
    def open(self, path: str, death: int | None, chance: int) -> None:
        """Somebody asks for a file, and for a lease on it."""

        async def open_(core: Mortal) -> None:
            with suppress(*FAILURES):
                opened = await core.tiers.open(RelPath(path), wait=30)
                if opened.lease is not None:
                    self.jury.leased[opened.asset.id] = self.world.clock.monotonic() + 60

        self.act(open_, death, chance, path, PROMOTING)

    @rule(path=paths, death=deaths, chance=chances, pinned=st.booleans())
    def pin(self, path: str, death: int | None, chance: int, *, pinned: bool) -> None:
        """An asset is pinned, or let go."""

        async def pin(core: Mortal) -> None:
            await _try((core.orders.pin if pinned else core.orders.unpin)(_only(path)))

        self.act(pin, death, chance, path, PROMOTING)

    @rule(path=paths, death=deaths, chance=chances)
    def remove(self, path: str, death: int | None, chance: int) -> None:
        """A person removes an asset from both tiers; whether it was removed before a death is not known."""
        self._bring(path, State.REPLICATED, chance)
        self.owner.promised.pop(path, None)
        self.jury.removed_paths.add(path)
        before = set(self.jury.removed_bytes)
        answers: list[bool] = []

        async def remove(core: Mortal) -> None:
            find = core.registry._find

            async def find_and_doom(wanted: RelPath) -> Any:
                asset = await find(wanted)
                # What the owner writes from here on was not there when it was asked for, and stays.
                self.jury.doom(path)
                return asset

            def sight_and_doom(wanted: str) -> Any:
                seen = sight(wanted)
                # What was never proven goes as it is when it is looked at.
                if (State.REPLICATED, path.encode()) not in self.world.index.rows("state, path"):
                    self.jury.doom(path)
                return seen

            sight = core.tree.sight_settled
            core.registry._find = find_and_doom
            core.tree.sight_settled = sight_and_doom  # type: ignore[method-assign]
            try:
                await core.registry.remove(RelPath(path))
            except (*FAILURES, UnknownAssetError):
                answers.append(False)
            else:
                answers.append(True)
                await core.registry._purge_all()
            finally:
                core.registry._find = find
                core.tree.sight_settled = sight  # type: ignore[method-assign]

        self.jury.removing = path
        self.act(remove, death, chance, path, REMOVING)
        self._require_returned()
        self.jury.removing = None
        doomed, self.jury.doomed = self.jury.doomed, None
        if answers == [False]:
            self.jury.removed_bytes = before
        elif doomed is not None and self.owner.expected.get(path) == doomed:
            self.owner.expected.pop(path)

    def _require_returned(self) -> None:
        """What was taken with what a person removed, and was not meant, has a name again, or its owner let it go."""
        taken, self.jury.taken = self.jury.taken, []
        if self.life is None or self.world.trouble.disk_fault is not None:
            return
        wanted = {content for kept in self.owner.expected.values() for content in kept if content}
        for node in taken:
            if node.data in wanted and not any(self.world.disk.content(path) == node.data for path in PATHS):
                self.world.violate("I2: what its owner put there while another was removed does not come back")
        self._require_no_violation()

    @rule(death=deaths, chance=chances)
    def together(self, death: int | None, chance: int) -> None:
        """Several things at once."""
        random_ = random.Random(chance)
        path = random_.choice(PATHS)
        deeds = [self._some_act(random_, path) for _ in range(3)]

        async def all_(core: Mortal) -> None:
            async with asyncio.TaskGroup() as group:
                for deed in deeds:
                    group.create_task(_try(deed(core)))

        self._bring(path, State.REPLICATED, chance)
        self.act(all_, death, chance, path)

    def _some_act(self, chance: random.Random, path: str) -> Act:
        """Return something that the daemon does, mostly to this path."""
        path = path if chance.random() < 0.7 else chance.choice(PATHS)
        acts: tuple[Act, ...] = (
            lambda core: core.scan(),
            _upload,
            lambda core: self._demote(core, path),
            lambda core: self._demote(core, path),
            lambda core: core.orders.promote(_only(path)),  # type: ignore[dict-item,return-value]
            lambda core: core.read(path),  # type: ignore[dict-item,return-value]
        )
        return chance.choice(acts)

    # What happens to the world

    @rule(seconds=st.sampled_from((-86_400.0, -61.0, -0.5, 0.5, 61.0, 3600.0, 86_400.0)))
    def jump(self, seconds: float) -> None:
        """The time of day is set, or time passes."""
        if seconds > 0:
            self.world.clock.sleep(seconds)
        self.world.clock.jump(seconds)
        Done.steps += 1

    @rule(chance=chances)
    def unmount(self, chance: int) -> None:
        """The disk is away for a while, and an empty directory is in its place: nothing follows from that."""
        if self.life is None or chance % 3:
            return
        before = self._states()
        self.world.disk.is_mounted = False
        try:
            self.act(_look_at_nothing, None, 0)
        finally:
            self.world.disk.is_mounted = True
        if self._states() != before:
            self.world.violate("I9: an empty mount was believed")
        self.act(lambda core: core.scan(), None, chance)

    def _states(self) -> list[Any]:
        return sorted(self.world.index.rows("path, state, generation"))

    @rule(orderly=st.booleans(), chance=chances)
    def lose_index(self, chance: int, *, orderly: bool) -> None:
        """Somebody deletes the index; a start rebuilds it from the tree and the store."""
        Done.steps += 1
        if chance % 4:
            return
        self._stop(orderly=orderly, chance=chance)
        self._forget_names()
        self.owner.promised |= self._promises()
        self.world.index.lose()

    def _promises(self) -> dict[str, bytes]:
        """Return what is cold, and has an object of its own that says so: it outlives the index."""
        objects = self.world.memory._objects
        columns = "path, proof_key, state, EXISTS (SELECT 1 FROM misplaced WHERE asset_id = id)"
        cold = [(row[0].decode(), row[1]) for row in self.world.index.rows(columns) if row[2:] == (State.COLD, 0)]
        return {path: objects[key].body for path, key in cold if key in objects and self.world.disk.node(path) is None}

    def _forget_names(self) -> None:
        """Expect nothing at a name that the index alone knew, if it has had no time to tell it to the store.

        The file is lost, and its object has an older name: it was not seen yet that it is lost, or the object was to
        follow at the next occasion.
        """
        columns = "path, state, EXISTS (SELECT 1 FROM misplaced WHERE asset_id = id)"
        told = {row[0].decode() for row in self.world.index.rows(columns) if row[1:] == (State.COLD, 0)}
        objects = [
            (passport.path, each.body)
            for each in self.world.memory._objects.values()
            if (passport := Passport.from_metadata(each.info.metadata or {})) is not None
        ]
        trash = {node.data for node in self.world.disk.files(".tierd/trash").values()}
        for path, contents in list(self.owner.expected.items()):
            there = {self.world.disk.content(path), *trash, *(body for name, body in objects if name == path)}
            if path not in told and not contents & there:
                del self.owner.expected[path]

    @rule(orderly=st.booleans(), chance=chances)
    def stop(self, chance: int, *, orderly: bool) -> None:
        """The daemon stops, in order or not; recovering twice is as good as once."""
        Done.steps += 1
        self._stop(orderly=orderly, chance=chance)
        if chance % 2:
            self._recover_twice()

    def _stop(self, *, chance: int, orderly: bool) -> None:
        if self.life is None:
            return
        if orderly:
            self.life.end()
            self.life = None
            self.jury.leased.clear()
            assert not self.world.disk.held(), "descriptors are left open"
        else:
            self._bury(Trouble(random.Random(chance)))
        self._require_no_violation()

    def _recover_twice(self) -> None:
        """I6: what a start makes of what it finds, it makes of it again."""

        async def twice(core: Mortal) -> None:
            once = self._facts()
            await core.recover()
            if self._facts() != once:
                self.world.violate("I6: recovering again changes something")

        self.act(twice, None, 0)

    def _facts(self) -> tuple[Any, ...]:
        disk = self.world.disk
        return (
            self._states(),
            {path: disk.content(path) for path in PATHS},
            {name: node.data for name, node in disk.files(".tierd/trash").items()},
        )

    # The invariants

    @invariant()
    def nothing_is_lost(self) -> None:
        """I1: what its owner expects is on disk, in the trash, or in the store under a passport that names it."""
        self.jury.removed("this step")
        for path, content in self.owner.promised.items():
            if not self.jury.is_somewhere(path, content):
                self.world.violate(f"I1: {path}, which was cold when the index was lost, is nowhere")
        self._require_no_violation()

    @invariant()
    def nothing_is_half(self) -> None:
        """I3: a file under a public name is whole: a content that its owner gave this path."""
        for path in PATHS:
            content = self.world.disk.content(path)
            if content is not None and content not in self.owner.history[path]:
                self.world.violate(f"I3: {path} never had these bytes")
        self._require_no_violation()

    @invariant()
    def nothing_is_damaged(self) -> None:
        """I9: nothing is called damaged as long as the store says what is so."""
        if not self.world.has_lied and any(state == State.DAMAGED for (state,) in self.world.index.rows("state")):
            self.world.violate("I9: an asset is damaged whose object is right")
        self._require_no_violation()

    def teardown(self) -> None:
        """I7: left alone, everything comes to rest, and every byte is right."""
        try:
            if not self.world.violations and not self.is_broken_off:
                self._come_to_rest()
        finally:
            with suppress(BaseException):
                if self.life is not None:
                    self.life.bury()
            self.world.close()

    def _come_to_rest(self) -> None:
        for fd in [*self.owner.writers, *self.owner.readers]:
            self.owner.let_go(fd)
        calm = Trouble(random.Random(1))
        for is_last in (False, True):
            self.world.trouble = calm
            self.owner.watch()
            if self.life is None:
                self._begin(calm)
            assert self.life is not None
            try:
                assert self.life.act(self._settle(self.life.core))  # type: ignore[arg-type]
                self._require_no_violation()
                # An index that was lost knows what is in the trash from its second start on.
                assert not is_last or not self._trashed_wanted(), "left in the trash"
            except BaseException:
                self._tell()
                raise
            self._stop(orderly=True, chance=0)

    def _trashed_wanted(self) -> set[bytes]:
        trash = {node.data for node in self.world.disk.files(".tierd/trash").values()}
        return trash & {content for kept in self.owner.expected.values() for content in kept if content}

    async def _settle(self, core: Mortal) -> None:
        # A tombstone keeps its path until the object is gone that was removed with it.
        await core.registry._purge_all()
        # Whoever deletes a file while the disk is doubted must say that he meant it.
        core.reconciler.release()
        for _ in range(4):
            await core.scan()
            await core.rekeyer.place_all()
            await core.upload_all()
            # A name that was left to another file, or a store that lied: a person looks, and says what is right.
            results = await core.orders.retry(Selection(paths=tuple(map(RelPath, PATHS))), overwrite=True)
            if not any(result.outcome == "done" for result in results) and not await core.catalog.count_misplaced():
                break
        self.world.clock.sleep(MONTH)
        await Sweeper(core.catalog, core.store, clock=self.world.clock).sweep()
        await self._judge_rest(core)

    async def _judge_rest(self, core: Mortal) -> None:
        disk = self.world.disk
        for asset in await core.assets():
            assert asset.state not in IN_FLIGHT, (asset.path, asset.state)
            assert asset.state in {State.REPLICATED, State.COLD}, (asset.path, asset.state, asset.failure)
            assert (disk.node(asset.path) is not None) == (asset.state in HOT), (asset.path, asset.state)
        assert not disk.files(".tierd/unfinished")
        assert not self.world.memory._uploads, "uploads are left in the store"
        for path, contents in self.owner.expected.items():
            assert await core.read(path) in contents, path


def _moment(chance: random.Random, moments: tuple[str, ...]) -> tuple[str, int]:
    """Return when a deed is done: at any call, or right before one of a kind."""
    if chance.random() < 0.3:
        return "", chance.randint(1, chance.choice((10, 30, 120)))
    return chance.choice(moments), chance.choice((1, 1, 1, 2, 3))


async def _upload(core: Mortal) -> None:
    await core.scan()
    await core.upload_all()


async def _look_at_nothing(core: Mortal) -> None:
    await core.scan()
    await core.reconciler.look([RelPath(path) for path in PATHS])


async def _try(work: Coroutine[Any, Any, Any]) -> None:
    with suppress(*FAILURES):
        await work


def _only(path: str) -> Selection:
    return Selection(paths=(RelPath(path),))


STEPS = 80
LIVES = 30
CASES = scaled(test=46, quick=46, long=1520)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """What the core says of a million troubles is half of the time that they take."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a seed says is the same in every run.

    Hypothesis draws from the constants of all modules that are loaded, whichever those are, and every line that the
    product gains would make other cases of the seeds.
    """
    monkeypatch.setattr(HypothesisProvider, "_maybe_draw_constant", lambda *_, **__: None)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Give a loop of one's own, and close it."""
    made = Loop()
    yield made
    made.close()


@pytest.mark.parametrize("case", seeds(PART, CASES))
def test_model(case: int, loop: Loop, record_property: Any) -> None:
    """Some lives of eighty steps each, of which none loses or garbles a byte."""
    before = Done.steps, Done.crashes
    machine: Any = seed(case)(type("Model", (Model,), {"loop": loop}))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=LIVES,
                stateful_step_count=STEPS,
                database=None,
                deadline=None,
                # Shrinking replays hundreds of lives; the printed steps are short enough as they are.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        record_property("steps", Done.steps - before[0])
        record_property("crashes", Done.crashes - before[1])
