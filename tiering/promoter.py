"""Bringing one asset back: whole, proven, durable, and never over a file that its owner wrote meanwhile."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from index.asset import Failure, ProofMethod, printable
from index.changes import Change
from index.errors import IndexFullError, StaleTransitionError
from index.lifecycle import Event
from tiering.answers import Transfer
from tiering.arrival import Arrival, Stream
from tiering.landing import ContentError, Landing
from tiering.outcome import DamagedError, NoSpaceError, RestoringError, TierError
from tiering.store import ArchivedError, CorruptError, NotFoundError, PreconditionError, StoreError, UnavailableError
from tiering.tree import ChangedError, DiskFullError, ExistsError, FileError
from tiering.workers import begin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.asset import Asset, AssetId, Proof, Sighting
    from index.catalog import Catalog
    from tiering.observer import Observer
    from tiering.space import Space
    from tiering.store import Store
    from tiering.succession import Succession
    from tiering.thaw import Thaw
    from tiering.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remedies:
    """What helps where an object is not to be had as it was proven: a later content of it, or patience."""

    succession: Succession
    thaw: Thaw


class Promoter:
    """Promotes at most `concurrency` assets at once, each once however many ask for it.

    The work belongs to `group`, not to whoever asked first: callers come and go.
    """

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        store: Store,
        *,
        group: asyncio.TaskGroup,
        space: Space,
        make_room: Callable[[int], Awaitable[None]],
        remedies: Remedies,
        observer: Observer,
        clock: Callable[[], float],
        concurrency: int,
    ) -> None:
        self._catalog = catalog
        self._tree = tree
        self._store = store
        self._group = group
        self._space = space
        self._make_room = make_room
        self._succession = remedies.succession
        self._thaw = remedies.thaw
        self._observer = observer
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._arrivals: dict[AssetId, Arrival] = {}

    def __repr__(self) -> str:
        return f"<Promoter {len(self._arrivals)} under way>"

    def __len__(self) -> int:
        return len(self._arrivals)

    def is_under_way(self, asset: Asset) -> bool:
        """Whether it is being promoted."""
        return asset.id in self._arrivals

    def transfers(self) -> list[Transfer]:
        """Return what is on its way back."""
        now = self._clock()
        return [
            Transfer(
                path=arrival.asset.path,
                direction="promotion",
                size=arrival.stream.size,
                done=arrival.stream.arrived,
                moved=arrival.stream.arrived,
                seconds=now - arrival.since,
            )
            for arrival in self._arrivals.values()
            if arrival.stream is not None
        ]

    def begin(self, asset: Asset) -> Arrival:
        """Begin to promote a cold asset, or join who has begun. Raise UnavailableError where the daemon is ending."""
        arrival = self._arrivals.get(asset.id)
        if arrival is None:
            arrival = Arrival(asset)
            task = begin(self._group, self._fly(arrival), name=f"promote {asset.id}")
            task.add_done_callback(partial(self._give_up, arrival))
            self._arrivals[asset.id] = arrival
        return arrival

    def _give_up(self, arrival: Arrival, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step runs nothing of `_fly`, not even its `finally`.
        if self._arrivals.get(arrival.asset.id) is arrival:
            del self._arrivals[arrival.asset.id]
            arrival.fail(asyncio.CancelledError())

    def waits_because(self, asset: Asset) -> str:
        """Return what an asset waits for that was asked for out of an archive; nothing of any other."""
        try:
            self._thaw.check(asset)
        except RestoringError as error:
            return str(error)
        return ""

    async def _fly(self, arrival: Arrival) -> None:
        started = self._clock()
        try:
            async with self._slots:
                asset, result = await self._promote(arrival)
        except (StoreError, FileError, TierError, StaleTransitionError) as error:
            # A full disk is said once, not to each who asks; and so is what comes out of an archive.
            if not isinstance(error, NoSpaceError | RestoringError):
                log.warning(
                    "promotion failed: %s (%s)", printable(arrival.asset.path), error, extra={"asset": arrival.asset.id}
                )
            self._observer.promoted(arrival.asset, _word_for(error), self._clock() - started)
            arrival.fail(error)
        except BaseException as error:
            arrival.fail(error)
            raise
        else:
            self._observer.promoted(asset, result, self._clock() - started)
            arrival.finish(asset)
        finally:
            del self._arrivals[arrival.asset.id]

    async def _promote(self, arrival: Arrival) -> tuple[Asset, str]:
        proof = _proof_of(arrival.asset)
        if arrival.asset.is_listed:
            path = printable(arrival.asset.path)
            raise UnavailableError(f"{path}: what its object holds is still being learnt", hint="ask again in a moment")
        self._thaw.check(arrival.asset)
        await self._make_room(proof.size)
        if not self._space.is_free(proof.size):
            raise NoSpaceError(
                f"{printable(arrival.asset.path)} needs {proof.size} bytes of disk, and no more could be freed",
                hint="unpin or release assets, raise [cache] size_limit, or add disk",
            )
        with self._space.reserve(proof.size):
            asset = await self._begin(arrival.asset)
            return await self._restore(arrival, asset, proof)

    async def _begin(self, asset: Asset) -> Asset:
        try:
            return await self._catalog.apply(Change.about(asset, Event.WANTED), patient=False)
        except IndexFullError as error:
            raise NoSpaceError(str(error), hint="free space on the index's file system") from error

    async def _restore(self, arrival: Arrival, asset: Asset, proof: Proof) -> tuple[Asset, str]:
        try:
            sighting = await self._fetch(arrival, asset, proof)
        except ExistsError:
            arrival.break_off(ChangedError(asset.path, "was written anew while it was promoted"))
            return await self._give_way(asset), "overtaken"
        except (NotFoundError, PreconditionError, CorruptError, ContentError) as error:
            raise await self._doubt(asset, proof, error) from error
        except ArchivedError as error:
            asset = await self._catalog.apply(Change.about(asset, Event.DEFERRED, reason=str(error)))
            raise await self._thaw.ask(asset, proof) from error
        except DiskFullError as error:
            await self._catalog.apply(Change.about(asset, Event.DEFERRED, reason=str(error)))
            raise NoSpaceError(str(error), hint="free space on the cache root's file system") from error
        except (StoreError, FileError) as error:
            await self._catalog.apply(Change.about(asset, Event.DEFERRED, reason=str(error)))
            raise
        # All of it was read, and its digest agreed: whatever was only claimed is proven now.
        if proof.method is ProofMethod.CLAIMED:
            proof = replace(proof, method=ProofMethod.READ_BACK, at=self._clock())
        change = Change.about(asset, Event.RESTORED, sighting=sighting, proof=proof)
        return await self._catalog.apply(change), "restored"

    async def _doubt(self, asset: Asset, proof: Proof, error: Exception) -> StoreError | DamagedError:
        """Commit what follows from a remote copy that is missing or wrong; return what whoever asked is told."""
        asset = await self._catalog.apply(Change.about(asset, Event.DEFERRED, reason=str(error)))
        try:
            if await self._succession.settle(asset):
                return UnavailableError(f"{proof.key} was replaced by a later content of it", hint="ask again")
        except StoreError as weather:
            return weather
        failure = Failure("damaged", str(error), 1, None)
        await self._catalog.apply(Change.about(asset, Event.MISMATCHED, failure=failure, reason=str(error)))
        self._observer.mismatched(asset)
        return DamagedError(
            f"{printable(asset.path)}: its remote copy {proof.key} is missing or wrong ({error})",
            hint="restore the object in the store, then `tierd retry`; or write the file anew; or, where another host"
            " removed it, `tierd rm`",
        )

    async def _give_way(self, asset: Asset) -> Asset:
        """Take in what its owner put at the name meanwhile. Raise FileError where that is no file, or gone again."""
        try:
            theirs = await asyncio.to_thread(self._tree.sight, asset.path)
        except FileError as error:
            await self._catalog.apply(Change.about(asset, Event.DEFERRED, reason=str(error)))
            raise
        return await self._catalog.apply(Change.about(asset, Event.CHANGED, sighting=theirs, due_at=self._clock()))

    async def _fetch(self, arrival: Arrival, asset: Asset, proof: Proof) -> Sighting:
        """Download, twice if the first body is wrong: a broken wire is not a broken object."""
        try:
            return await self._download(arrival, asset, proof)
        except (CorruptError, ContentError) as error:
            log.warning("downloaded again: %s (%s)", printable(asset.path), error, extra={"asset": asset.id})
            arrival.break_off(error)
            return await self._download(arrival, asset, proof)

    async def _download(self, arrival: Arrival, asset: Asset, proof: Proof) -> Sighting:
        landing = await asyncio.to_thread(Landing, self._tree, asset.path, proof.size)
        stream = Stream(landing)
        arrival.begin(stream, now=self._clock())
        try:
            await self._receive_or_ask_again(landing, stream, proof)
            sighting = await asyncio.to_thread(
                landing.land, mode=proof.mode, mtime_ns=proof.mtime_ns, sha256=proof.sha256
            )
            stream.prove(sighting.fingerprint)
        finally:
            stream.end()
        return sighting

    async def _receive_or_ask_again(self, landing: Landing, stream: Stream, proof: Proof) -> None:
        """Take one word that the object is missing or another for weather: it has cost nobody anything yet."""
        try:
            await self._receive(landing, stream, proof)
        except (NotFoundError, PreconditionError) as error:
            log.warning("asked for again: %s (%s)", proof.key, error)
            await self._receive(landing, stream, proof)

    async def _receive(self, landing: Landing, stream: Stream, proof: Proof) -> None:
        async with self._store.get(proof.key, etag=proof.etag) as download:
            if download.info.size != proof.size:
                raise CorruptError(f"{proof.key} has {download.info.size} bytes, not {proof.size}", key=proof.key)
            async for chunk in download.chunks():
                await asyncio.to_thread(landing.write, chunk)
                stream.advance()


def _proof_of(asset: Asset) -> Proof:
    if asset.proof is None:
        raise DamagedError(f"{printable(asset.path)} is {asset.state}, but no remote copy of it is known")
    return asset.proof


def _word_for(error: Exception) -> str:
    match error:
        case NoSpaceError():
            return "no-space"
        case DamagedError():
            return "damaged"
        case _:
            return "deferred"
