"""Removing one local copy, and only after its remote copy was proven again a moment ago.

The order is the promise: the store is asked afresh, the intent is committed, the file is renamed into the trash while
the kernel keeps everybody else from opening it, looked at once more there, the new state is committed, and only then
is it unlinked. A crash at any point leaves the bytes on disk, or in the store with the index knowing it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.changes import Change
from index.errors import CatalogError, IndexFullError
from index.lifecycle import Event
from index.warmth import Use
from tiering.evidence import is_as_proven
from tiering.outcome import Outcome
from tiering.rehash import rehash
from tiering.store import NotFoundError, PreconditionError, StoreError, UnavailableError
from tiering.trash import Safety, discard, listing, move_to_trash, put_back, recheck, require_none, trashed_sha256
from tiering.tree import ChangedError, FileError
from tiering.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset, AssetId, Proof, Sighting
    from index.catalog import Catalog
    from index.changes import FoundObject
    from tiering.observer import Observer
    from tiering.store import Store
    from tiering.succession import Succession
    from tiering.tree import Tree
    from tiering.turns import Turns

log = logging.getLogger(__name__)

BY_HAND: Final = "request"
"""The reason of a demotion that a person asked for."""
REPLACED: Final = "replaced"
"""The reason of one whose object another host has replaced: what is on disk here is out of date."""

_NO_FILE_LEASE: Final = (
    "the kernel grants no file lease on it, so that somebody may still have it open"
    " (it is another user's and tierd lacks CAP_LEASE, or its file system knows no file leases)"
)


@dataclass(slots=True)
class Departure:
    """A demotion under way: `over` is set when it has ended, `wanted` by who needs the asset meanwhile.

    `waits` is set while its copy waits in the trash, `until` says how long, in seconds since the epoch.
    """

    over: asyncio.Event
    wanted: asyncio.Event
    waits: asyncio.Event
    until: float = 0.0


class Demoter:
    """Demotes one asset at a time it is asked to; refuses, and says why, where anything is not as it must be."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        store: Store,
        *,
        succession: Succession,
        turns: Turns,
        is_leased: Callable[[AssetId], bool],
        observer: Observer,
        grace: float,
    ) -> None:
        """`grace` is how long a copy waits in the trash where the kernel cannot show that nobody has it open."""
        self._catalog = catalog
        self._tree = tree
        self._store = store
        self._succession = succession
        self._turns = turns
        self._is_leased = is_leased
        self._observer = observer
        self._grace = grace
        self._departures: dict[AssetId, Departure] = {}

    def __repr__(self) -> str:
        return f"<Demoter {len(self._departures)} under way>"

    async def recall(self, asset_id: AssetId) -> None:
        """Wait until no demotion of this asset is under way; one that still can be given up is."""
        departure = self._departures.get(asset_id)
        if departure is not None:
            departure.wanted.set()
            await departure.over.wait()

    def waits_because(self, asset_id: AssetId) -> str | None:
        """Return until when the asset's copy waits in the trash and why, for people; None where it does not."""
        departure = self._departures.get(asset_id)
        if departure is None or not departure.waits.is_set():
            return None
        until = datetime.fromtimestamp(departure.until, UTC).isoformat(timespec="seconds")
        return f"its local copy waits in the trash until {until}: {_NO_FILE_LEASE}"

    async def demote(
        self,
        asset: Asset,
        *,
        reason: str,
        waits: asyncio.Event | None = None,
        successor: FoundObject | None = None,
    ) -> Outcome:
        """Remove the local copy of a replicated asset, if that is safe now. `reason` is for the metrics.

        `waits` is set when its copy has to wait in the trash, which `waits_because` then tells more of. `successor` is
        the later content that the asset has then, where one was found.

        The outcome is `done`, `refused`, or `failed` where the store does not answer: for no other asset will it, then.
        """
        if asset.id in self._departures:
            return Outcome(asset, "refused", "it is being demoted already")
        try:
            async with self._turns.take(asset.id):
                outcome = await self._depart(asset, reason, waits or asyncio.Event(), successor)
        except UnavailableError as error:
            return Outcome(asset, "failed", str(error))
        except (StoreError, FileError, CatalogError) as error:
            return Outcome(asset, "refused", str(error))
        if outcome.done:
            self._observer.demoted(outcome.asset, reason)
        return outcome

    async def _depart(self, asset: Asset, reason: str, waits: asyncio.Event, successor: FoundObject | None) -> Outcome:
        departure = self._departures[asset.id] = Departure(asyncio.Event(), asyncio.Event(), waits)
        try:
            return await self._demote(asset, departure, reason, successor)
        finally:
            del self._departures[asset.id]
            departure.over.set()

    async def _demote(self, asset: Asset, departure: Departure, reason: str, successor: FoundObject | None) -> Outcome:
        seen = await asyncio.to_thread(_sight, self._tree, asset)
        if reason not in {BY_HAND, REPLACED} and await self._was_read(asset, seen):
            return Outcome(asset, "refused", "it was read since the last scan")
        # Hashed before the store is asked: the answer must be fresh when the file leaves.
        if seen.ctime_ns != asset.ctime_ns:
            asset = await rehash(self._catalog, self._tree, asset, settle=self._grace)
        wrong = await self._doubt(_proof_of(asset) if successor is None else successor.proof)
        if wrong is not None and successor is not None:
            raise PreconditionError(wrong)
        if wrong is not None:
            successor = await self._succession.successor(asset)
            if successor is None:
                return await self._mistrust(asset, wrong)
        asset = await self._catalog.apply(Change.about(asset, Event.CHOSEN, reason=reason), patient=False)
        # Whoever grants a lease from here on waits for us first: one granted since the choice is seen, and so is a pin.
        if asset.pinned and reason != REPLACED:
            return await self._spare(asset, "it is pinned")
        if self._is_leased(asset.id):
            return await self._spare(asset, "it is leased")
        try:
            await self._take_away(asset, departure)
        except FileError as error:
            return await self._spare(asset, error.reason)
        outcome = await self._give_up(asset, reason)
        return outcome if successor is None or not outcome.done else await self._succeed(outcome.asset, successor)

    async def _succeed(self, asset: Asset, successor: FoundObject) -> Outcome:
        """Take in what has replaced the object. After a stop before this, whoever asks finds it at its key."""
        await self._catalog.adopt_cold([successor])
        return Outcome(await self._catalog.get(asset.id), "done")

    async def _mistrust(self, asset: Asset, wrong: str) -> Outcome:
        self._observer.mismatched(asset)
        log.error(
            "remote copy is wrong, it is uploaded again: %s (%s)",
            printable(asset.path),
            wrong,
            extra={"asset": asset.id},
        )
        asset = await self._catalog.apply(Change.about(asset, Event.MISMATCHED, reason=wrong))
        return Outcome(asset, "refused", wrong)

    async def _give_up(self, asset: Asset, reason: str) -> Outcome:
        try:
            asset = await self._catalog.apply(Change.about(asset, Event.EVICTED, reason=reason), patient=False)
        except IndexFullError as error:
            # Whoever reads it must not wait until there is room.
            await unbroken(asyncio.to_thread(bring_back, self._tree, asset))
            return await self._spare(asset, str(error))
        await self._discard(asset)
        return Outcome(asset, "done")

    async def _doubt(self, proof: Proof) -> str | None:
        """Ask the store afresh; return what is wrong with the remote copy, None where it is as proven."""
        try:
            info = await self._store.head(proof.key)
        except NotFoundError:
            return f"the store has no {proof.key} any more"
        if not is_as_proven(info, proof):
            return f"the object {proof.key} is another one than was proven"
        return None

    async def _was_read(self, asset: Asset, seen: Sighting) -> bool:
        """Whether somebody who did not ask us read the file since we last looked; then it is as warm as that."""
        accessed = seen.atime_ns / 1e9
        if accessed <= asset.last_access:
            return False
        await self._catalog.touch({asset.id: Use(accessed, 0)})
        return True

    async def _take_away(self, asset: Asset, departure: Departure) -> None:
        """Bring the file where nobody can miss it. Raise FileError, with the file back at its name."""
        try:
            await unbroken(asyncio.to_thread(move_to_trash, self._tree, asset))
            if await unbroken(asyncio.to_thread(recheck, self._tree, asset)) is Safety.GRACE:
                await self._wait_grace(asset, departure)
        except BaseException:
            await unbroken(asyncio.to_thread(bring_back, self._tree, asset))
            raise

    async def _wait_grace(self, asset: Asset, departure: Departure) -> None:
        departure.until = time.time() + self._grace
        departure.waits.set()
        try:
            async with asyncio.timeout(self._grace):
                await departure.wanted.wait()
        except TimeoutError:
            await asyncio.to_thread(recheck, self._tree, asset)
            if await asyncio.to_thread(trashed_sha256, self._tree, asset) != _proof_of(asset).sha256:
                raise ChangedError(asset.path, "was changed while it was taken away") from None
        else:
            raise ChangedError(asset.path, "was asked for meanwhile")

    async def _discard(self, asset: Asset) -> None:
        try:
            await asyncio.to_thread(discard, self._tree, asset.id)
        except FileError as error:
            log.warning("demoted, but its copy stays in the trash until the next start: %s", error)

    async def _spare(self, asset: Asset, reason: str) -> Outcome:
        asset = await self._catalog.apply(Change.about(asset, Event.SPARED, reason=reason))
        return Outcome(asset, "refused", reason)


def _sight(tree: Tree, asset: Asset) -> Sighting:
    require_none(tree, asset)
    return tree.sight(asset.path)


def bring_back(tree: Tree, asset: Asset) -> None:
    """Give a copy in the trash its name again. Where its owner wrote a new file meanwhile, that one stays."""
    if asset.id not in listing(tree) or put_back(tree, asset):
        return
    if asset.proof is not None and trashed_sha256(tree, asset) == asset.proof.sha256:
        discard(tree, asset.id)
    else:
        log.error(
            "kept in the trash, since it is not in the store and its name is taken: %s",
            printable(asset.path),
            extra={"asset": asset.id},
        )


def _proof_of(asset: Asset) -> Proof:
    if asset.proof is None:
        raise ValueError(f"{printable(asset.path)} is {asset.state} without a proof")
    return asset.proof
