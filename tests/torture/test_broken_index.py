"""The index broken in every way that a disk or a person can break it: told, or harmless, and made again from the truth.

A world is a tree, a store, and the index that a killed or stopped daemon left. It is broken, and the next daemon lives
on it as the real one does: what it does not recognise it sets aside. Whatever it believes, it serves no wrong byte and
loses none, though everything that may leave the disk is told to. At the end the index is thrown away: what comes back
from the tree and the store must be the truth, to the last id and generation.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest
from core import Clock, Core, Rules
from daemon_process import sha256
from effort import scaled, seeds
from trees import make_tree

from daemon.opening import STORE, mark_root, open_catalog, set_aside
from daemon.seal import is_sealed, seal
from index.asset import RelPath
from index.errors import CatalogError, CorruptIndexError, UnknownAssetError
from index.lifecycle import State
from tiering.file_lease import ignore_sigio
from tiering.metadata import Passport
from tiering.outcome import ConflictError, DamagedError
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from buckets import Bucket
    from daemon_process import Launch

    from index.asset import Asset

PART = "R7 a broken index"
SEEDS = seeds(PART, scaled(test=1, quick=7, long=140))
PAGE = 4096
PARTS = ("", "-wal", "-shm")
URL = "s3://bucket/r7"


class Told(NamedTuple):
    """What must come back of an asset."""

    id: str
    key: str
    size: int
    sha256: str
    generation: int


class World:
    """What outlives a daemon, its owner's files, and what the truth about each is."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.directory = directory
        self.root = directory / "media"
        self.index = directory / "index.db"
        self.store = MemoryStore(URL)
        self.files: dict[str, bytes] = {}
        self.truth: dict[str, Told] = {}
        self.set_aside = 0

    def write(self, path: str) -> None:
        """Its owner writes a file, new or anew, whole before it has its name."""
        self.files[path] = self.chance.randbytes(self.chance.randrange(5000))
        fresh = self.root / ".fresh"
        fresh.write_bytes(self.files[path])
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(self.root / path)

    def rename(self, path: str, name: str) -> None:
        """Its owner renames a file."""
        (self.root / path).rename(self.root / name)
        self.files[name] = self.files.pop(path)

    async def live(self, act: Callable[[Core], Awaitable[None]]) -> None:
        """Live as the daemon does: an index that turns out to be broken is set aside, and life begins anew."""
        while True:
            try:
                await self._live_once(act)
            except* CorruptIndexError:
                set_aside(self.index, f"broken-{self.set_aside}")
                self.set_aside += 1
            else:
                return

    async def _live_once(self, act: Callable[[Core], Awaitable[None]]) -> None:
        ignore_sigio()
        tree = make_tree(self.root)
        sealed = is_sealed(tree, self.index)
        aside = len(list(self.directory.glob("index.db.*")))
        catalog = await open_catalog(self.index, store_url=URL)
        self.set_aside += len(list(self.directory.glob("index.db.*"))) > aside
        try:
            await catalog.remember(STORE, URL)
            root_id, _ = await mark_root(catalog, tree)
            async with asyncio.TaskGroup() as group:
                core = Core(
                    tree, catalog, self.store, group, clock=Clock(), rules=Rules(), root_id=root_id, doubted=not sealed
                )
                core.discovery.done.clear()
                await core.recover()
                await core.scan()
                await core.discovery.run()
                await core.scan()
                await act(core)
        finally:
            await catalog.close()
        seal(tree, self.index)

    def state_of_files(self, into: Path) -> None:
        """Copy the index as it is on disk now."""
        into.mkdir()
        for part in PARTS:
            with suppress(FileNotFoundError):
                shutil.copy2(f"{self.index}{part}", into / f"index.db{part}")

    def put_back(self, left: str) -> None:
        """Put the index back as it was killed or closed."""
        if left == "closed":
            shutil.copy2(self.directory / "seal", self.root / ".tierd" / "seal")
        kept = self.directory / left
        for part in PARTS:
            self.index.with_name(f"index.db{part}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.copy2(kept / f"index.db{part}", f"{self.index}{part}")


async def a_history(world: World) -> None:
    """Let a daemon have a past: an old index, one that a kill has left, and one that was closed in order."""
    chance = world.chance
    world.root.mkdir()

    async def begin(core: Core) -> None:
        for number in range(20):
            world.write(f"{number % 3}/{number:02}.bin")
        await core.scan()
        await core.upload_all()
        await demote(core, chance.sample(sorted(world.files), 7))

    async def go_on(core: Core) -> None:
        paths = chance.sample(sorted(world.files), 14)
        for path in paths[:4]:
            world.write(path)
        for number, path in enumerate(paths[4:8]):
            if (world.root / path).exists():
                world.rename(path, f"1/renamed{number}.bin")
        for number in range(20, 24):
            world.write(f"new/{number}.bin")
        await core.scan()
        await core.upload_all()
        for path in paths[8:11]:
            await core.read(RelPath(path))
        await demote(core, [*paths[:2], *paths[11:], "new/20.bin", "new/21.bin"])
        world.truth = {asset.path: told(asset) for asset in await core.assets() if asset.path in world.files}
        world.state_of_files(world.directory / "killed")

    await world.live(begin)
    world.state_of_files(world.directory / "old")
    await world.live(go_on)
    world.state_of_files(world.directory / "closed")
    (world.root / ".tierd" / "seal").rename(world.directory / "seal")
    assert world.truth.keys() == world.files.keys()


async def demote(core: Core, paths: list[str]) -> None:
    """Have these leave the disk, as far as they may."""
    if core.reconciler.brake.engaged:
        return
    for path in paths:
        with suppress(UnknownAssetError):
            asset = await core.find(path)
            if asset.state is State.REPLICATED:
                await core.demoter.demote(asset, reason="request")


def told(asset: Asset) -> Told:
    """Return what must come back of an asset that is at rest."""
    assert asset.proof is not None
    return Told(asset.id, asset.proof.key, asset.proof.size, asset.proof.sha256, asset.proof.generation)


# How it is broken.


def spoil(world: World, how: Callable[[bytearray, random.Random], None]) -> None:
    """Alter the file or its log."""
    parts = [each for each in (world.index, world.index.with_name("index.db-wal")) if each.exists()]
    part = world.chance.choice([each for each in parts if each.stat().st_size])
    content = bytearray(part.read_bytes())
    written = part.stat().st_mtime_ns
    how(content, world.chance)
    part.write_bytes(content)
    os.utime(part, ns=(written, written))  # What rots does not change its time.


def flip_bytes(content: bytearray, chance: random.Random) -> None:
    """Flip a bit here and there."""
    for _ in range(chance.choice([1, 1, 5, 50])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_page(content: bytearray, chance: random.Random) -> None:
    """Put noise where a page was."""
    start = chance.randrange(0, len(content), PAGE)
    content[start : start + PAGE] = chance.randbytes(len(content[start : start + PAGE]))


def zero_page(content: bytearray, chance: random.Random) -> None:
    """Put nothing where a page was."""
    start = chance.randrange(0, len(content), PAGE)
    content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))


def swap_pages(content: bytearray, chance: random.Random) -> None:
    """Put a page where another was: a disk that wrote to the wrong place."""
    one, other = (chance.randrange(0, len(content) - PAGE + 1, PAGE) for _ in range(2))
    content[one : one + PAGE], content[other : other + PAGE] = (
        content[other : other + PAGE],
        content[one : one + PAGE],
    )


def truncate(content: bytearray, chance: random.Random) -> None:
    """Cut it."""
    del content[chance.randrange(len(content)) :]


def without(*parts: str) -> Callable[[World], None]:
    """Lose these files."""

    def lose(world: World) -> None:
        world.index.with_name("index.db-shm").touch()  # Nobody needs one here; an older daemon may have left it.
        for part in parts:
            world.index.with_name(f"index.db{part}").unlink(missing_ok=True)

    return lose


def take_foreign_log(world: World) -> None:
    """Put the log of another root's index beside ours."""
    shutil.copy2(world.directory / "other" / "killed" / "index.db-wal", f"{world.index}-wal")


def take_old(*parts: str) -> Callable[[World], None]:
    """Put a backup of these files back."""

    def restore(world: World) -> None:
        for part in parts:
            world.index.with_name(f"index.db{part}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.copy2(world.directory / "old" / f"index.db{part}", f"{world.index}{part}")

    return restore


ROT: dict[str, Callable[[World], None]] = {
    "bits": lambda world: spoil(world, flip_bytes),
    "noise": lambda world: spoil(world, flip_page),
    "zeros": lambda world: spoil(world, zero_page),
    "misplaced": lambda world: spoil(world, swap_pages),
    "cut": lambda world: spoil(world, truncate),
}
"""What no SQLite can always notice: a flip in a value is another value."""
DAMAGES = ROT | {
    "no index": without(""),
    "no log": without("-wal"),
    "no shm": without("-shm"),
    "no index, no log": without("", "-wal"),
    "no index, no shm": without("", "-shm"),
    "no log, no shm": without("-wal", "-shm"),
    "nothing": without(*PARTS),
    "foreign log": take_foreign_log,
    "backup": take_old(*PARTS),
    "backup of the index": take_old(""),
}


class Findings:
    """What a daemon on a broken index did."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.refused: dict[str, Exception] = {}
        self.assets: dict[str, Told] = {}


async def use(world: World, core: Core, found: Findings) -> None:
    """Do all that may be done, and read everything; a person who is asked says yes."""
    await core.upload_all()
    if core.reconciler.brake.engaged:
        core.reconciler.release()
        await core.scan()
        await core.upload_all()
    await demote(core, sorted(world.files))
    for path, content in world.files.items():
        try:
            if await core.read(RelPath(path)) != content:
                found.wrong.append(path)
        except (UnknownAssetError, DamagedError, ConflictError, CatalogError) as error:
            if isinstance(error, CorruptIndexError):
                raise
            found.refused[path] = error
    await core.upload_all()
    found.assets = {asset.path: told(asset) for asset in await core.assets() if asset.proof is not None}


def lost(world: World) -> list[str]:
    """Return the paths whose content is neither at its name nor in the store, by name, nor in the trash."""
    stored = {bytes(each.body) for each in world.store._objects.values()}
    kept = {each.read_bytes() for each in (world.root / ".tierd" / "trash").iterdir()}
    return [
        path
        for path, content in world.files.items()
        if not ((world.root / path).exists() and (world.root / path).read_bytes() == content)
        and content not in stored
        and content not in kept
    ]


async def rebuilt(world: World) -> dict[str, Told]:
    """Throw the index away, and return what comes back."""
    without(*PARTS)(world)
    found = Findings()
    await world.live(lambda core: use(world, core, found))
    assert (found.wrong, found.refused) == ([], {})
    return {path: found.assets[path] for path in world.files}


def passports(world: World) -> dict[str, Told]:
    """Return what the newest object at each path of ours says of itself: the truth as far as it is in the store."""
    newest: dict[str, Told] = {}
    for key, each in world.store._objects.items():
        passport = Passport.from_metadata(each.info.metadata or {})
        assert passport is not None
        if passport.path in world.files:
            newest[passport.path] = Told(passport.id, key, len(each.body), passport.sha256, passport.generation)
    return newest


def cases() -> list[tuple[str, str, int]]:
    """Return every damage to what a kill and what a stop has left; the least effort takes turns."""
    every = [(name, left, seed) for seed in SEEDS for name in DAMAGES for left in ("killed", "closed")]
    return scaled(test=every[::4] + every[3::4], quick=every, long=every)


@pytest.mark.parametrize(("name", "left", "seed"), cases())
async def test_a_broken_index(
    tmp_path: Path, name: str, left: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """It is noticed, or does no harm; and it can be made again."""
    world = World(tmp_path, seed)
    await a_history(world)
    if name == "foreign log":
        (tmp_path / "other").mkdir()
        await a_history(World(tmp_path / "other", seed + 1))
    world.put_back(left)
    DAMAGES[name](world)
    found = Findings()
    try:
        await world.live(lambda core: use(world, core, found))
    except* CatalogError as errors:
        # A flip in the header may look like another program's file, or a newer one: then nothing is begun.
        assert name in ROT
        record_property("starts refused", len(errors.exceptions))
    record_property("set aside", world.set_aside)
    assert not lost(world)
    assert not found.wrong
    assert not [error for error in found.refused.values() if isinstance(error, UnknownAssetError)]
    assert name in ROT or not found.refused
    back = await rebuilt(world)
    assert back == passports(world)
    assert {path: each.sha256 for path, each in back.items()} == {
        path: sha256(content) for path, content in world.files.items()
    }
    assert name in ROT or back == world.truth


@pytest.mark.parametrize("seed", seeds(PART, scaled(test=1, quick=2, long=20)))
def test_a_backup_is_put_back(bucket: Bucket, launch: Launch, seed: int) -> None:
    """The installed daemon on a real store: an old index hides nothing, and one that was sealed is not doubted."""
    daemon = launch(bucket)
    chance = random.Random(seed)
    files = {f"{number}.bin": chance.randbytes(500) for number in range(6)}
    daemon.drop({path: files[path] for path in ("0.bin", "1.bin")})
    daemon.wait_replicated(2)
    daemon.client.demote("0.bin")
    daemon.stop()
    backup = daemon.directory / "backup.db"
    shutil.copy2(daemon.directory / "index.db", backup)
    daemon.start()
    daemon.drop(files)
    daemon.wait("all", lambda: daemon.wait_rest()["replicated"] == len(files))
    # The inbox is listed once, and the store for what its classes hold: a page, and its end. The uploads of an index
    # that is doubted wait for another list of all.
    assert daemon.figure("store_requests_total", operation="list", result="ok") <= 3
    daemon.crash()  # Whoever kept a lease before that start would be waited for: the files go by hand.
    for path in ("0.bin", "2.bin", "3.bin"):
        (daemon.root / path).unlink()
    shutil.copy2(backup, daemon.directory / "index.db")
    (daemon.directory / "index.db-wal").unlink()
    daemon.start()
    daemon.wait("all to be learnt", lambda: daemon.assets().keys() == files.keys())
    daemon.wait_rest()
    assert all(daemon.read(path) == content for path, content in files.items())
