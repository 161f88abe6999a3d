"""What other hosts do to a bucket that is shared: looked for now and then, and taken in.

The store decides, never what was told of it: an object is asked who it is before anything follows. What a look does not
find concludes nothing. A local copy whose object another host has replaced is out of date: it leaves like any other,
and its asset is cold with the later content.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from index.asset import Failure, printable
from index.changes import Change, succeeds
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import Event, State
from tiering.demoter import REPLACED
from tiering.discovery import newest
from tiering.evidence import is_as_proven
from tiering.store import NotFoundError, StoreError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from index.changes import FoundObject
    from tiering.demoter import Demoter
    from tiering.discovery import Discovery
    from tiering.promoter import Promoter
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
AGAIN_SECONDS: Final = 5.0
"""When a local copy that is out of date, and could not leave, is tried again."""
SHARE: Final = 20.0
"""A look takes at most this part of the time, however large the bucket is."""
FED_SHARE: Final = 24.0
"""How much less often is looked while a queue tells everything."""
DAMAGED_MOST: Final = 1000
KNOWN_MOST: Final = 100_000


class Neighbours:
    """Brings the index up to what others have put, replaced or removed. Each step can be repeated."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        discovery: Discovery,
        demoter: Demoter,
        promoter: Promoter,
        *,
        every: float,
        is_fed: Callable[[], bool],
        reason_to_wait: Callable[[], str | None],
    ) -> None:
        """`every` is how many seconds pass from look to look, 0 for no look; `is_fed`: a queue tells what happens."""
        self._catalog = catalog
        self._store = store
        self._discovery = discovery
        self._demoter = demoter
        self._promoter = promoter
        self._every = every
        self._is_fed = is_fed
        self._reason_to_wait = reason_to_wait
        self._late: dict[AssetId, FoundObject] = {}
        self._hurry = asyncio.Event()
        self._idle: dict[str, str] = {}
        """Objects, by key and ETag, that led to nothing: nobody's, or older than what is known."""

    def __repr__(self) -> str:
        return f"<Neighbours {len(self._late)} out of date>"

    @property
    def out_of_date(self) -> int:
        """How many local copies are known to be out of date, and could not leave yet."""
        return len(self._late)

    async def run(self) -> None:
        """Look, for ever, and see to what could not be done at once."""
        await self._discovery.done.wait()
        due = time.monotonic() + self._every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(AGAIN_SECONDS, self._every or AGAIN_SECONDS)):
                    await self._hurry.wait()
            self._hurry.clear()
            await self.give_way()
            if self._every and time.monotonic() >= due + (self._every * (FED_SHARE - 1) if self._is_fed() else 0):
                due = await self._look_again()

    async def _look_again(self) -> float:
        began = time.monotonic()
        try:
            await self.look()
            await self.give_way()
        except StoreError as error:
            log.info("what other hosts did was not looked for: %s", error.advice)
        ended = time.monotonic()
        return ended + max(self._every, SHARE * (ended - began))

    async def look(self) -> None:
        """Go through all that the store has. Raise StoreError."""
        async for page in self._store.list():
            await self.take([info for info in page if self._idle.get(info.key) != info.etag])

    async def take(self, infos: Sequence[ObjectInfo]) -> None:
        """Take in what these objects, as a list or a message tells of them, are. Raise StoreError."""
        known = await self._catalog.known_objects([info.key for info in infos])
        news = [info for info in infos if (info.key, info.etag) not in known]
        found = await self._discovery.inspect(news)
        ours = {each.proof.key for each in found}
        for info in news:
            if info.key not in ours:
                self._ignore(info.key, info.etag)
        await self._catalog.adopt_cold(newest(found))
        for each in found:
            await self._judge(each)
        await self._revive({info.key: info for info in infos if (info.key, info.etag) in known})

    async def _revive(self, known: Mapping[str, ObjectInfo]) -> None:
        """Mend assets that were missing in the store, and that somebody has put there again as they were."""
        if not self._catalog.totals.assets[State.DAMAGED]:
            return
        for asset in await self._catalog.in_states([State.DAMAGED], limit=DAMAGED_MOST):
            info = known.get(asset.proof.key) if asset.proof is not None else None
            # An older one is what was found wrong.
            if asset.proof is None or info is None or info.modified <= asset.proof.at:
                continue
            if is_as_proven(info, asset.proof):
                with suppress(StaleTransitionError, UnknownAssetError):
                    await self._catalog.apply(Change.about(asset, Event.RETRIED, reason="its object is there again"))

    async def removed(self, key: str) -> None:
        """Somebody says that the object at this key was removed. Raise StoreError where that cannot be found out."""
        try:
            there = await self._store.head(key)
        except NotFoundError:
            for asset in await self._catalog.having(key):
                await self._bury(asset, key)
        else:
            await self.take([there])

    async def _bury(self, asset: Asset, key: str) -> None:
        """Draw the conclusion. What is on disk stays, and does not come back to the store by itself."""
        if asset.state not in {State.COLD, State.DAMAGED, State.REPLICATED}:
            return
        with suppress(StaleTransitionError, UnknownAssetError):
            if asset.state is State.REPLICATED:
                await self._catalog.apply(*_orphaned(asset, key))
                log.warning("%s: %s", printable(asset.path), _said(key), extra={"asset": asset.id})
            else:
                await self._catalog.apply(Change.about(asset, Event.REMOVED, reason="it was removed from the store"))
                await self._catalog.purged(asset.id)
                log.info("removed from the store: %s", printable(asset.path), extra={"asset": asset.id})

    async def _judge(self, found: FoundObject) -> None:
        """See to what the index could not take in by itself: a local copy is in the way, or it is old news."""
        known = await self._known(found)
        if known is None or known.proof is None:
            return
        if known.state is State.REPLICATED and is_outdated(known, found):
            self._late[known.id] = found
            self._hurry.set()
        elif known.id == found.id and known.generation > found.proof.generation and known.proof.key != found.proof.key:
            self._ignore(found.proof.key, found.proof.etag)

    async def give_way(self) -> None:
        """Let local copies that are out of date leave, as far as they can."""
        await for_each([*self._late.items()], self._give_way, at_once=AT_ONCE, name="give way")

    async def _give_way(self, late: tuple[AssetId, FoundObject]) -> None:
        asset_id, found = late
        if self._reason_to_wait() is not None:
            return
        asset = await self._get(asset_id)
        if asset is None or asset.state is not State.REPLICATED or not is_outdated(asset, found):
            self._late.pop(asset_id, None)
            return
        outcome = await self._demoter.demote(asset, reason=REPLACED, successor=found)
        if not outcome.done:
            log.debug("out of date, and still here: %s (%s)", printable(asset.path), outcome.reason)
            return
        self._late.pop(asset_id, None)
        log.info("another host has replaced it: %s", printable(asset.path), extra={"asset": asset.id})
        if asset.pinned and outcome.asset.state is State.COLD:
            self._promoter.begin(outcome.asset)

    def _ignore(self, key: str, etag: str) -> None:
        if len(self._idle) >= KNOWN_MOST:
            self._idle.clear()
        self._idle[key] = etag

    async def _known(self, found: FoundObject) -> Asset | None:
        """Return the asset that an object is of: by its id, or under another id at the same path."""
        asset = await self._get(found.id)
        if asset is not None:
            return asset
        try:
            return await self._catalog.find(found.path)
        except UnknownAssetError:
            return None

    async def _get(self, asset_id: AssetId) -> Asset | None:
        try:
            return await self._catalog.get(asset_id)
        except UnknownAssetError:
            return None


def is_outdated(known: Asset, found: FoundObject) -> bool:
    """Whether a local copy is out of date: the object that another host sent has other bytes, or another path."""
    is_other = known.sha256 != found.proof.sha256 or known.path != found.path
    return found.elsewhere and is_other and succeeds(found, known)


def _said(key: str) -> str:
    return f"the object {key} was removed from the store by another host or by hand, and only the local copy is left"


def _orphaned(asset: Asset, key: str) -> tuple[Change, Change, Change]:
    """Return what makes the local copy a new content that waits for a person.

    It counts one higher: if it is uploaded again, hosts that took it for removed see that it came after that.
    """
    hint = "`tierd retry` uploads it again, `tierd rm` removes it here too"
    failure = Failure("removed", f"{_said(key)}; {hint}", 1, None)
    ours, following = asset.generation, asset.generation + 1
    return (
        Change.about(asset, Event.MISMATCHED, reason=_said(key)),
        Change(id=asset.id, state=State.NEW, generation=ours, event=Event.CHANGED),
        Change(id=asset.id, state=State.NEW, generation=following, event=Event.REFUSED, failure=failure),
    )
