"""The core against a model, with a death at any step: what was proven is never lost, what is read is never wrong."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from effort import EFFORT, Effort, scaled
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mortal import DeathError, Mortal

from index.asset import RelPath
from index.errors import UnknownAssetError
from index.lifecycle import HOT, IN_FLIGHT, State
from tiering.metadata import Passport
from tiering.stores.memory import MemoryStore

PART = "R1 model with crashes"
PATHS = ("a", "b.bin", "d/c", "d/e/f")
paths = st.sampled_from(PATHS)
sizes = st.sampled_from((0, 1, 500, 3000, 3001, 4500))
deaths = st.none() | st.integers(0, 30)


class Core(RuleBasedStateMachine):
    """Owners write, rename and delete files; tierd scans, uploads, demotes, promotes and removes, and dies."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="tierd-model-"))
        self.root = self.place / "media"
        self.root.mkdir()
        self.store = MemoryStore()
        self.loop = asyncio.new_event_loop()
        self.versions = 0
        self.current: dict[str, bytes] = {}
        """What the owner's last act left at each path; it must exist somewhere, until he deletes it."""
        self.history: dict[str, set[bytes]] = {path: set() for path in PATHS}
        self.half_removed: set[bytes] = set()
        """Contents whose removal by a person was cut short: if his file's name is taken again, the old copy is kept."""
        self.doubtful: set[str] = set()
        """Paths that the owner deleted: the newest proven content may come back, or nothing."""

    @initialize()
    def start(self) -> None:
        """The first start, on an empty root."""
        self.live(None, _nothing)

    def live(self, death: int | None, act: Any) -> Any:
        """Start a daemon, let it act and perhaps die, and end it."""

        async def life() -> Any:
            async with asyncio.TaskGroup() as group:
                core = await Mortal.begin(self.root, self.place / "index.db", self.store, group)
                try:
                    core.steps.left = death
                    await core.recover()
                    return await act(core)
                finally:
                    await core.end()

        try:
            return self.loop.run_until_complete(life())
        except DeathError:
            return None
        except BaseExceptionGroup as group:
            _, others = group.split(DeathError)
            if others is not None:
                raise others from None
            return None

    @rule(path=paths, size=sizes, atomic=st.booleans())
    def write(self, path: str, size: int, *, atomic: bool) -> None:
        """The owner writes a file, in place or by renaming a finished one over it."""
        self.versions += 1
        content = (b"%06d" % self.versions * (size // 6 + 1))[:size]
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if atomic:
            fresh = file.with_name(f".{file.name}.new")
            fresh.write_bytes(content)
            fresh.rename(file)
        else:
            file.write_bytes(content)
        self.current[path] = content
        self.history[path].add(content)
        self.doubtful.discard(path)

    @rule(path=paths)
    def delete(self, path: str) -> None:
        """The owner deletes a file."""
        if (self.root / path).exists():
            (self.root / path).unlink()
            self.current.pop(path, None)
            self.doubtful.add(path)

    @rule(old=paths, new=paths)
    def rename(self, old: str, new: str) -> None:
        """The owner renames a file, perhaps over another."""
        if old == new or not (self.root / old).exists():
            return
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / old).rename(self.root / new)
        content = self.current.pop(old, None) or (self.root / new).read_bytes()
        self.doubtful.add(old)
        self.current[new] = content
        self.history[new].add(content)
        self.doubtful.discard(new)

    @rule(death=deaths)
    def scan(self, death: int | None) -> None:
        """The whole tree is looked at."""
        self.live(death, lambda core: core.scan())

    @rule(death=deaths)
    def upload(self, death: int | None) -> None:
        """Whatever is due is uploaded."""

        async def act(core: Mortal) -> None:
            await core.scan()
            await core.upload_all()

        self.live(death, act)

    @rule(path=paths, death=deaths)
    def demote(self, path: str, death: int | None) -> None:
        """One asset is demoted, if it is replicated."""

        async def act(core: Mortal) -> None:
            for asset in await core.assets():
                if asset.path == path and asset.state is State.REPLICATED:
                    await core.demoter.demote(asset, reason="request")

        self.live(death, act)

    @rule(path=paths, death=deaths)
    def read(self, path: str, death: int | None) -> None:
        """Somebody reads: what he gets is what its owner wrote, or he is told that there is nothing."""

        async def act(core: Mortal) -> None:
            try:
                content = await core.read(RelPath(path))
            except UnknownAssetError:
                assert path not in self.current, f"{path} was written and is unknown"
                return
            if path in self.current:
                assert content == self.current[path]
            else:
                assert content in self.history[path], f"{path} never had this content"

        self.live(death, act)

    @rule(path=paths, death=deaths)
    def remove(self, path: str, death: int | None) -> None:
        """A person removes an asset from both tiers."""

        async def act(core: Mortal) -> None:
            try:
                await core.registry.remove(RelPath(path))
            except Exception:  # noqa: BLE001 - unknown, or busy: then nothing was removed
                return
            self.current.pop(path, None)
            self.doubtful.add(path)

        before = dict(self.current)
        self.live(death, act)
        if death is not None and path in before:
            self.half_removed.add(before[path])
            # Whether it was removed before the death is not known: it may be there or not, but not half.
            self.current.pop(path, None)
            self.doubtful.add(path)

    @precondition(lambda self: self.versions > 0)
    @invariant()
    def nothing_is_lost(self) -> None:
        """I1: what its owner wrote last is on disk, in the trash, or in the store under a passport that names it."""
        for path, content in self.current.items():
            assert self._is_somewhere(path, content), f"{path} is lost"

    def _is_somewhere(self, path: str, content: bytes) -> bool:
        file = self.root / path
        if file.exists():
            return file.read_bytes() == content
        trash = self.root / ".tierd" / "trash"
        if any(each.read_bytes() == content for each in trash.iterdir()):
            return True
        return self.loop.run_until_complete(self._is_in_store(path, content))

    async def _is_in_store(self, path: str, content: bytes) -> bool:
        async for page in self.store.list():
            for info in page:
                head = await self.store.head(info.key)
                passport = Passport.from_metadata(head.metadata or {})
                async with self.store.get(info.key) as download:
                    body = b"".join([chunk async for chunk in download.chunks()])
                if passport is not None and body == content:
                    return True
        return False

    @invariant()
    def nothing_is_half(self) -> None:
        """I3: a file under a public name is whole: a content that its owner gave this path."""
        for path in PATHS:
            file = self.root / path
            if file.exists():
                assert file.read_bytes() in self.history[path]

    def teardown(self) -> None:
        """I7: left alone, everything comes to rest, and every byte is right."""
        try:
            self.live(None, self._settle)
        finally:
            self.loop.close()
            shutil.rmtree(self.place)

    async def _settle(self, core: Mortal) -> None:
        # A tombstone keeps its path until the object is gone that was removed with it.
        await core.registry._purge_all()
        for _ in range(4):
            await core.scan()
            await core.upload_all()
        assets = await core.assets()
        assert not [asset for asset in assets if asset.state in IN_FLIGHT]
        for asset in assets:
            assert asset.state in {State.REPLICATED, State.COLD}, (asset.path, asset.state, asset.failure)
            assert (self.root / asset.path).exists() == (asset.state in HOT)
        assert {file.read_bytes() for file in (self.root / ".tierd" / "trash").iterdir()} <= self.half_removed
        for path, content in self.current.items():
            assert await core.read(RelPath(path)) == content


async def _nothing(core: Mortal) -> None:
    """Only start and end."""


LIVES = scaled(test=60, quick=600, long=20_000)

TestCore = Core.TestCase
TestCore.settings = settings(
    max_examples=LIVES,
    # Every submission is judged by the same lives; `make torture` without QUICK looks for new ones.
    derandomize=EFFORT is not Effort.LONG,
    stateful_step_count=25,
    deadline=None,
    # Shrinking replays hundreds of lives; the printed steps are short enough as they are.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
