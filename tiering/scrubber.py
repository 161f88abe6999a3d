"""The scrubber: looks at both tiers again, slowly and for ever, so that what rots is found before it is needed.

What seems missing or wrong is looked at a second time before it is believed, and where more of that is found at once
than is plausible the store is doubted, not the assets: nothing is concluded then.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index.asset import Failure, printable
from index.changes import Change
from index.errors import CatalogError, CorruptIndexError, StaleTransitionError, UnknownAssetError
from index.lifecycle import Event, State
from tiering.brake import allowance
from tiering.evidence import examine
from tiering.hasher import Hasher
from tiering.scrub import REST, ROUND_SECONDS, Walk, hash_interval, looks_a_round, read_back_interval
from tiering.store import StoreError, UnavailableError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.asset import Asset, AssetId, Proof
    from index.catalog import Catalog
    from tiering.observer import Observer
    from tiering.pacing import Bandwidth
    from tiering.store import Store
    from tiering.succession import Succession
    from tiering.tree import Tree
    from tiering.turns import Turns

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
AGAIN_SECONDS: Final = 60.0
"""When what seemed missing or wrong is looked at a second time."""
DOUBT_SECONDS: Final = 600.0
"""How often it is looked at while the store is doubted."""

READ_BACK: Final = "scrub: read-back"
HASH: Final = "scrub: hash"
"""The names under which the index remembers how far the walks are."""


@dataclass(slots=True)
class Suspect:
    """A cold asset whose remote copy seemed missing or wrong. `deep`: that was seen by reading it back."""

    asset: Asset
    result: str
    due_at: float
    deep: bool
    is_sure: bool = False


class Scrubber:
    """Three walks at low priority: through the store's heads, through its bodies, and through the files on disk."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        store: Store,
        *,
        turns: Turns,
        bandwidth: Bandwidth,
        succession: Succession,
        observer: Observer,
        clock: Callable[[], float],
        settle: float,
    ) -> None:
        """`bandwidth` is for the bytes that are read, of either tier; `settle` is as for the uploader."""
        self._catalog = catalog
        self._store = store
        self._bandwidth = bandwidth
        self._succession = succession
        self._hasher = Hasher(tree, turns=turns, bandwidth=bandwidth, settle=settle)
        self._observer = observer
        self._clock = clock
        self._suspects: dict[AssetId, Suspect] = {}
        self.doubt = ""
        """Why the store is doubted; empty where it is not."""
        self.read_back_at: float | None = None
        self.hashed_at: float | None = None
        """When these walks made their last steps."""

    def __repr__(self) -> str:
        return f"<Scrubber {len(self._suspects)} suspects>"

    @property
    def suspects(self) -> int:
        """How many cold assets wait for the second look."""
        return len(self._suspects)

    async def run(self) -> None:
        """Look, for ever."""
        self.read_back_at, self.hashed_at = await self._walked(READ_BACK), await self._walked(HASH)
        async with asyncio.TaskGroup() as group:
            for walk in (self.ask, self.read_back, self.hash_files):
                group.create_task(self._repeat(walk), name=f"scrubber: {walk.__name__}")

    async def _repeat(self, walk: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await walk()
            except UnavailableError as error:
                log.debug("the scrubber waits for the store: %s", error)
            except CorruptIndexError:
                raise
            except CatalogError as error:
                # A disk that is full for a while: all of this can wait, and nothing else should end for it.
                log.warning("the scrubber waits for the index: %s", error)

    # Heads

    async def ask(self) -> None:
        """Look a second time at what seemed wrong, then ask the store about what it was asked about longest ago."""
        await self._judge()
        cold = self._catalog.totals.assets[State.COLD]
        if len(self._suspects) > allowance(cold):
            return  # To look on would only find more.
        limit = looks_a_round(cold) + len(self._suspects)
        page = await self._catalog.least_checked(before=self._clock() - REST, limit=limit)
        looked: list[AssetId] = []

        async def look(asset: Asset) -> None:
            await self._look(asset, deep=False)
            if asset.id not in self._suspects:
                looked.append(asset.id)

        try:
            todo = [asset for asset in page if asset.id not in self._suspects]
            await for_each(todo, look, at_once=AT_ONCE, name="scrub")
        finally:
            await self._catalog.note_checked(looked, at=self._clock())

    async def _look(self, asset: Asset, *, deep: bool) -> str:
        """Look at one remote copy and return what was found; what seems wrong is suspected."""
        if asset.proof is None or asset.is_listed:
            return "unknown"
        result = await self._examine(asset, asset.proof, deep=deep)
        self._observer.scrubbed("read-back" if deep else "head", result)
        if result in {"right", "unknown"}:
            return result
        known = self._suspects.setdefault(asset.id, Suspect(asset, result, self._clock() + AGAIN_SECONDS, deep))
        known.result = result
        return result

    async def _examine(self, asset: Asset, proof: Proof, *, deep: bool) -> str:
        try:
            return await examine(self._store, proof, deep=deep, pace=self._bandwidth.take)
        except UnavailableError:
            self._observer.scrubbed("read-back" if deep else "head", "unknown")
            raise
        except StoreError as error:
            # This one will not do better in the next round: the others get their turn.
            log.warning(
                "cannot look at the remote copy of %s: %s",
                printable(asset.path),
                error.advice,
                extra={"asset": asset.id},
            )
            return "unknown"

    # The second look

    async def _judge(self) -> None:
        """Look again at the suspects whose time has come, and believe what is still so, unless that is too much."""
        now = self._clock()
        due = [suspect for suspect in self._suspects.values() if suspect.due_at <= now]
        await for_each(due, self._look_again, at_once=AT_ONCE, name="scrub")
        sure = [suspect for suspect in self._suspects.values() if suspect.is_sure]
        cold = self._catalog.totals.assets[State.COLD]
        if len(self._suspects) > allowance(cold):
            self._doubt(f"{len(self._suspects)} of {cold} cold assets seem missing or wrong in the store at once")
            for suspect in sure:
                suspect.due_at = now + DOUBT_SECONDS
            return
        if self.doubt:
            log.warning("the store is not doubted any more")
        self.doubt = ""
        for suspect in sure:
            await self._condemn(suspect)

    def _doubt(self, reason: str) -> None:
        if not self.doubt:
            log.error("the store is doubted, and nothing is concluded from it: %s", reason)
        self.doubt = reason

    async def _look_again(self, suspect: Suspect) -> None:
        try:
            asset = await self._catalog.get(suspect.asset.id)
        except UnknownAssetError:
            asset = None
        if asset is None or asset.state is not State.COLD or asset.proof != suspect.asset.proof:
            del self._suspects[suspect.asset.id]
            return
        suspect.asset = asset
        result = await self._look(asset, deep=suspect.deep)
        suspect.is_sure = result not in {"right", "unknown"}
        if not suspect.is_sure:
            del self._suspects[asset.id]

    async def _condemn(self, suspect: Suspect) -> None:
        asset = suspect.asset
        if await self._is_succeeded(asset):
            log.warning(
                "a later content of it was in the store, and was taken in: %s",
                printable(asset.path),
                extra={"asset": asset.id},
            )
            return
        why = f"its remote copy was found {suspect.result}, twice"
        try:
            await self._catalog.apply(
                Change.about(asset, Event.MISMATCHED, failure=Failure("damaged", why, 1, None), reason=why)
            )
        except (StaleTransitionError, UnknownAssetError) as error:
            log.info("not damaged after all: %s", error)
            return
        self._observer.mismatched(asset)
        log.error("damaged: %s: %s", printable(asset.path), why, extra={"asset": asset.id})

    async def _is_succeeded(self, asset: Asset) -> bool:
        """Whether its object was replaced by a later content of it. Where that is not known, it is looked at anew."""
        del self._suspects[asset.id]
        try:
            return await self._succession.settle(asset)
        except UnavailableError:
            raise
        except StoreError as error:
            log.warning(
                "cannot look at the remote copy of %s: %s",
                printable(asset.path),
                error.advice,
                extra={"asset": asset.id},
            )
            return False

    # Bodies

    async def read_back(self) -> None:
        """Read back the cold assets whose turn it is."""
        interval = read_back_interval(self._catalog.totals.assets[State.COLD])
        for asset in await self._next(READ_BACK, State.COLD, interval):
            await self._look(asset, deep=True)
            self.read_back_at = self._clock()

    async def hash_files(self) -> None:
        """Hash the files whose turn it is."""
        interval = hash_interval(self._catalog.totals.assets[State.REPLICATED])
        for asset in await self._next(HASH, State.REPLICATED, interval):
            self._observer.scrubbed("hash", await self._hasher.check(asset))
            self.hashed_at = self._clock()

    async def _walked(self, name: str) -> float | None:
        return Walk.read(await self._catalog.recall(name)).at or None

    async def _next(self, name: str, state: State, interval: float) -> list[Asset]:
        """Return the assets that are next on a walk. It has moved on then: what breaks off is not begun for ever."""
        walk = Walk.read(await self._catalog.recall(name))
        now = self._clock()
        count = walk.due(interval=interval, now=now)
        if count == 0:
            return []
        page = await self._catalog.in_states([state], limit=count, after=walk.after)
        if len(page) < count:  # The end: the beginning comes next.
            page = [*page, *await self._catalog.in_states([state], limit=count - len(page))]
        if page:
            await self._catalog.remember(name, str(Walk(now, page[-1].id)))
        return page
