"""The uploader: claims what is new, sends it, and says what came of it. The queue is the index, nothing else."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from index.asset import Failure, printable
from index.changes import Change
from index.errors import IndexFaultError, StaleTransitionError
from index.lifecycle import Event, State
from tiering.answers import Transfer
from tiering.drive import MustWaitError
from tiering.pacing import RETRY_MOST, backoff
from tiering.rollout import EVERYTHING, Rollout
from tiering.source import AlteredError, NotYetError, Source
from tiering.store import CredentialsError, RefusedError, StoreError, ThrottledError, UnavailableError
from tiering.tree import FileError, MissingError, NotRegularError
from tiering.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from tiering.couriers import Couriers, Delivery
    from tiering.observer import Observer
    from tiering.pacing import Pacer
    from tiering.prober import Prober
    from tiering.sender import Sender, Sent
    from tiering.tree import Tree

log = logging.getLogger(__name__)

BUSY_FIRST: Final = 0.05
BUSY_MOST: Final = 5.0
UNREADABLE_MOST: Final = 60.0
IDLE_SECONDS: Final = 60.0
"""How long nothing is looked for where nothing is due and nobody says that there is work."""
BUG: Final = "bug"
"""The code of a failure that nobody foresaw."""


class Uploader:
    """Uploads the assets that are due, as many at once as the pacer allows."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        sender: Sender,
        *,
        describe: Callable[[Asset], Awaitable[Asset]],
        couriers: Couriers,
        prober: Prober,
        pacer: Pacer,
        observer: Observer,
        clock: Callable[[], float],
        settle: float,
    ) -> None:
        """`describe` returns an asset with what is known of it before its first upload."""
        self._catalog = catalog
        self._tree = tree
        self._sender = sender
        self._describe = describe
        self._couriers = couriers
        self._prober = prober
        self._pacer = pacer
        self._observer = observer
        self._clock = clock
        self._settle = settle
        self._rollout = EVERYTHING
        self._let_in = False
        """Whether all that the roll-out covers has been made due."""
        self._free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._attempts: dict[AssetId, asyncio.Task[None]] = {}
        self._turns = Turns()
        self._sources: dict[Source, float] = {}
        self.under_way = 0

    def __repr__(self) -> str:
        return f"<Uploader {self.under_way} under way, {self._pacer!r}>"

    def transfers(self) -> list[Transfer]:
        """Return what is on its way to the store."""
        now = self._clock()
        return [
            Transfer(
                path=source.asset.path,
                direction="upload",
                size=source.size,
                done=source.kept + source.sent,
                moved=source.sent,
                seconds=now - since,
            )
            for source, since in self._sources.items()
        ]

    def stop(self) -> None:
        """Claim nothing more; `run` ends when what was claimed is done."""
        self._stopping.set()
        self._catalog.work.set()
        self._free.set()

    def follow(self, rollout: Rollout) -> None:
        """Upload what this roll-out covers from now on, and nothing else. What is under way is finished."""
        self._rollout, self._let_in = rollout, False
        self._catalog.work.set()

    async def run(self) -> None:
        """Upload what is due, for ever, once the store has shown what it can be trusted with."""
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(self._receive(group), name="deliveries")
            while not self._stopping.is_set():
                room = self._pacer.limit - self.under_way
                if room <= 0:
                    await self._wait_free()
                    continue
                for asset in await self._claim(room):
                    self._begin(asset, group)
            while self.under_way:
                await self._wait_free()
            delivering.cancel()

    async def _wait_free(self) -> None:
        self._free.clear()
        await self._free.wait()

    def _begin(self, asset: Asset, group: asyncio.TaskGroup) -> None:
        """Upload it, and give up what may still be under way for an older generation: nobody wants that any more."""
        older = self._attempts.get(asset.id)
        if older is not None:
            older.cancel()
        self.under_way += 1
        able = self._prober.capabilities
        if able is None or not self._couriers.take(asset, able):
            self._attempt(asset, group)

    def _begin_over(self, asset: Asset, group: asyncio.TaskGroup) -> None:
        if asset.id in self._attempts:
            # A newer generation is under way already: nobody wants this one any more.
            self._end(1)
        else:
            self._attempt(asset, group)

    def _attempt(self, asset: Asset, group: asyncio.TaskGroup) -> None:
        self._attempts[asset.id] = group.create_task(self._work(asset), name=f"upload {asset.id}")

    def _end(self, count: int) -> None:
        self.under_way -= count
        self._free.set()

    async def _claim(self, room: int) -> list[Asset]:
        """Return what is due, or wait for a reason to look again."""
        self._catalog.work.clear()
        now = self._clock()
        covers = self._rollout.covers
        if not self._let_in:
            self._let_in = True
            await self._catalog.let_in(covers, now=now)
        if not self._pacer.pause_left and self._prober.capabilities is not None:
            claimed = await self._catalog.claim(room, now=now, covers=covers)
            if claimed:
                return claimed
        await self._wait_work(now)
        return []

    async def _wait_work(self, now: float) -> None:
        ahead = (await self._catalog.next_due() or 0.0) - now
        if ahead > max(RETRY_MOST, self._settle):
            # Nothing is put off for so long: the clock was set back since.
            await self._catalog.make_due(now=now)
            return
        delay = min((wait for wait in (self._pacer.pause_left, ahead) if wait > 0), default=IDLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(delay, 0.001)):
                await self._catalog.work.wait()

    async def _work(self, asset: Asset) -> None:
        try:
            # What was given up has ended before the next begins: the two would share one multipart upload.
            async with self._turns.take(asset.id):
                await self.upload(asset)
        finally:
            if self._attempts.get(asset.id) is asyncio.current_task():
                del self._attempts[asset.id]
            self._end(1)

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        while True:
            deliveries = await self._couriers.deliveries()
            left = await self.settle(deliveries)
            self._end(len(deliveries) - len(left))
            for asset in left:
                self._begin_over(asset, group)

    async def settle(self, deliveries: Sequence[Delivery]) -> list[Asset]:
        """Commit what couriers bring, all at once; return what they could not do: it is to be done over."""
        ended = [each for each in deliveries if not isinstance(each.outcome, MustWaitError)]
        if ended:
            await self._catalog.apply_each([self._changes(*each) for each in ended])
        return [each.asset for each in deliveries if isinstance(each.outcome, MustWaitError)]

    async def upload(self, asset: Asset) -> Asset | None:
        """Upload one claimed asset and commit what came of it; None where it was overtaken meanwhile."""
        started = self._clock()
        try:
            outcome: Sent | Exception = await self._send(asset)
        except IndexFaultError:
            # Nobody's fault but the index's: the asset stays claimed, and the next start has it uploaded again.
            raise
        except Exception as error:  # noqa: BLE001 - one asset's trouble must not end the uploads of all others
            outcome = error
        return await self._commit(*self._changes(asset, outcome, self._clock() - started))

    def _changes(self, asset: Asset, outcome: Sent | Exception, seconds: float) -> Sequence[Change]:
        """Tell all who count how an upload ended, and return what is to be committed."""
        if isinstance(outcome, Exception):
            return [self._set_back(asset, outcome, seconds)]
        self._pacer.succeeded()
        self._observer.uploaded(asset, outcome.result, seconds, outcome.sent_bytes)
        return _success(asset, outcome)

    def _set_back(self, asset: Asset, error: Exception, seconds: float) -> Change:
        self._pace(error)
        result, change = setback(asset, error, now=self._clock())
        self._observer.uploaded(asset, result, seconds, 0)
        if change.failure is not None and result != "busy":
            trace = error if change.failure.code == BUG else None
            log.warning(
                "upload %s: %s (%s)", result, printable(asset.path), error, exc_info=trace, extra={"asset": asset.id}
            )
        return change

    async def _send(self, asset: Asset) -> Sent:
        able = self._prober.capabilities
        if able is None:
            raise UnavailableError("the store has not yet shown what it can be trusted with")
        asset = await self._describe(asset)
        with Source(self._tree, asset, settle=self._settle) as source, self._shown(source):
            return await self._sender.send(source, able)

    @contextmanager
    def _shown(self, source: Source) -> Iterator[None]:
        """Have it among the transfers while the block runs."""
        self._sources[source] = self._clock()
        try:
            yield
        finally:
            del self._sources[source]

    def _pace(self, error: Exception) -> None:
        if isinstance(error, ThrottledError):
            self._pacer.throttled()
        elif isinstance(error, UnavailableError):
            self._pacer.failed(error.advice)
        elif isinstance(error, StoreError):
            self._pacer.succeeded()

    async def _commit(self, *changes: Change) -> Asset | None:
        try:
            return await self._catalog.apply(*changes)
        except StaleTransitionError:
            return None


def setback(asset: Asset, error: Exception, *, now: float) -> tuple[str, Change]:
    """Decide what follows from an upload that did not succeed: a word for the metrics, and the change to commit."""
    match error:
        case AlteredError():
            return "changed", Change.about(asset, Event.CHANGED, sighting=error.sighting, due_at=now)
        case RefusedError() | NotRegularError():
            code = error.code if isinstance(error, RefusedError) else "not-regular"
            failure = _failure(asset, code, error, retry_at=None)
            return "refused", Change.about(asset, Event.REFUSED, failure=failure)
        case NotYetError():
            return "busy", Change.about(asset, Event.DEFERRED, failure=_busy(asset, error, now))
        case StoreError() | FileError() | OSError() | StaleTransitionError():
            return "deferred", Change.about(asset, Event.DEFERRED, failure=_later(asset, error, now))
        case _:
            failure = _failure(asset, BUG, error, retry_at=None)
            return "refused", Change.about(asset, Event.REFUSED, failure=failure)


def _busy(asset: Asset, error: NotYetError, now: float) -> Failure:
    """Whoever writes now is done soon: looked for often at first, and for ever."""
    if error.after is not None:
        return _failure(asset, "busy", error, retry_at=now + error.after)
    return _failure(
        asset, "busy", error, retry_at=now + backoff(_tries(asset, "busy"), first=BUSY_FIRST, most=BUSY_MOST)
    )


def _later(asset: Asset, error: Exception, now: float) -> Failure:
    match error:
        case CredentialsError():
            # Nothing is wrong with the asset: it waits its turn, and the attempt does not count.
            attempts = asset.failure.attempts if asset.failure is not None else 0
            return Failure(error.code, str(error), attempts, now + 1.0)
        case StoreError():
            return _failure(asset, error.code, error, retry_at=now + backoff(_tries(asset, error.code)))
        case StaleTransitionError():
            return _failure(asset, "overtaken", error, retry_at=now)
        case _:
            # Also where it is missing: the reconciler says what that means, for it sees whether the whole disk is.
            code = "missing" if isinstance(error, MissingError) else "unreadable"
            return _failure(asset, code, error, retry_at=now + backoff(_tries(asset, code), most=UNREADABLE_MOST))


def _tries(asset: Asset, code: str) -> int:
    """Count this try and those before it that ended the same way."""
    return 1 + (asset.failure.attempts if asset.failure is not None and asset.failure.code == code else 0)


def _failure(asset: Asset, code: str, error: Exception, *, retry_at: float | None) -> Failure:
    message = error.advice if isinstance(error, StoreError) else str(error)
    return Failure(code, message, _tries(asset, code), retry_at)


def _success(asset: Asset, sent: Sent) -> tuple[Change, Change]:
    """Both events are committed as one: nothing is gained by showing that the bytes were sent a moment earlier."""
    acknowledged = Change.about(asset, Event.SENT, sha256=sent.proof.sha256, content_type=sent.content_type)
    verified = Change(
        id=asset.id,
        state=State.VERIFYING,
        generation=asset.generation,
        event=Event.VERIFIED,
        proof=sent.proof,
        sha256=sent.proof.sha256,
        content_type=sent.content_type,
    )
    return acknowledged, verified
