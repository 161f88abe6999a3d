"""Everything at a glance, and one asset in full: what it is, what would happen to it next, and why."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from index import outside
from index.lifecycle import UNPROTECTED, State
from tiering.answers import BrakeState, Disk, Explanation, Queue, RolloutState, ScrubState, Status
from tiering.rules import preference
from tiering.standing import said_of_heat, said_of_standing
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.asset import Asset, RelPath
    from index.catalog import Catalog
    from tiering.answers import Transfer
    from tiering.keeper import Keeper
    from tiering.prober import Prober
    from tiering.promoter import Promoter
    from tiering.reconciler import Reconciler
    from tiering.scrubber import Scrubber
    from tiering.thermometer import Thermometer
    from tiering.uploader import Uploader

SAMPLE_SECONDS: Final = 1.0
TRANSFERS_SHOWN: Final = 20


class Inspector:
    """Answers from memory, but for what one asset needs from the index."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        find: Callable[[RelPath], Awaitable[Asset]],
        keeper: Keeper,
        uploader: Uploader,
        promoter: Promoter,
        prober: Prober,
        reconciler: Reconciler,
        scrubber: Scrubber,
        thermometer: Thermometer,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._find = find
        self._planner = keeper.planner
        self._keeper = keeper
        self._uploader = uploader
        self._promoter = promoter
        self._prober = prober
        self._reconciler = reconciler
        self._scrubber = scrubber
        self._thermometer = thermometer
        self._clock = clock
        self._oldest_unprotected: float | None = None
        self._oldest_check: float | None = None

    async def run(self) -> None:
        """Keep the figures fresh that only the index can tell, for ever."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Read the figures that only the index can tell."""
        self._oldest_unprotected = await self._catalog.oldest_unprotected()
        self._oldest_check = await self._catalog.oldest_check()

    def status(self) -> Status:
        """Return everything at a glance."""
        totals = self._catalog.totals
        disk, faults = self._disk()
        return Status(
            assets=totals.assets,
            bytes=totals.bytes,
            queue=self._queue(),
            disk=disk,
            store=self._prober.state(),
            brake=self._brake(),
            scrub=self._scrub(),
            rollout=self._rollout(),
            index_full=self._catalog.is_full,
            faults=faults,
            unwatched=str(self._reconciler.blind),
        )

    def transfers(self) -> list[Transfer]:
        """Return what is on its way, those first that have most before them."""
        under_way = [*self._uploader.transfers(), *self._promoter.transfers()]
        return heapq.nlargest(TRANSFERS_SHOWN, under_way, key=lambda each: each.size - each.done)

    def _disk(self) -> tuple[Disk, tuple[str, ...]]:
        """Return the disk, and why hot bytes cannot be served from it, if that is so."""
        try:
            return self._keeper.disk(), ()
        except FileError as error:
            nothing = Disk(total=0, free=0, used=0, limit=0, high=1.0, low=1.0)
            return nothing, (f"the cache root cannot be reached: {error.reason}",)

    def _queue(self) -> Queue:
        totals = self._catalog.totals
        since = self._oldest_unprotected if totals.unprotected else None
        return Queue(
            waiting=totals.assets[State.NEW] - totals.outside,
            uploading=self._uploader.under_way,
            promoting=len(self._promoter),
            oldest_unprotected_seconds=0.0 if since is None else max(0.0, self._clock() - since),
            unprotected_bytes=totals.unprotected_bytes,
        )

    def _brake(self) -> BrakeState:
        brake = self._reconciler.brake
        return BrakeState(engaged=brake.engaged, reason=brake.reason, since=brake.since, missing=brake.missing)

    def _rollout(self) -> RolloutState:
        rollout, totals = self._planner.rollout, self._catalog.totals
        return RolloutState(
            mode=rollout.mode, percent=rollout.percent, outside=totals.outside, outside_bytes=totals.outside_bytes
        )

    def _scrub(self) -> ScrubState:
        oldest, scrubber = self._oldest_check, self._scrubber
        return ScrubState(
            oldest_seconds=0.0 if oldest is None else max(0.0, self._clock() - oldest),
            suspects=scrubber.suspects,
            doubt=scrubber.doubt,
            read_back_at=scrubber.read_back_at,
            hashed_at=scrubber.hashed_at,
        )

    async def explain(self, path: RelPath) -> Explanation:
        """Return what would happen to the asset next, and why."""
        await self._keeper.receive()
        asset = await self._find(path)
        now = self._clock()
        coming, reasons = self._outlook(asset, now)
        if asset.state is not State.REPLICATED:
            return Explanation(asset=asset, rank=None, next=coming, reasons=tuple(reasons))
        standing = await self._keeper.standing(asset)
        if self._planner.policy.name == "heat":
            reasons.append(said_of_heat(asset, self._thermometer))
        if not asset.pinned:
            # What is kept has its place in the order all the same, but no bout takes it.
            is_kept = self._planner.reason_to_stay(asset, now=now) is not None
            bout = None if is_kept else self._keeper.next_bout()
            reasons += said_of_standing(asset, standing, bout, self._thermometer)
        return Explanation(asset=asset, rank=standing.rank, next=coming, reasons=tuple(reasons))

    def _outlook(self, asset: Asset, now: float) -> tuple[str, list[str]]:
        if asset.state in UNPROTECTED:
            return self._outlook_unprotected(asset, now)
        match asset.state:
            case State.REPLICATED:
                return self._outlook_replicated(asset, now)
            case State.COLD:
                return self._outlook_cold(asset)
            case State.DEMOTING if why := self._keeper.waits_because(asset):
                return "is demoted", [why]
            case State.DAMAGED:
                failure = asset.failure.message if asset.failure else "its remote copy is missing or wrong"
                return "waits for a person", [failure]
            case _:
                return f"is {asset.state}", []

    def _obstacles(self) -> list[str]:
        """Say why nothing at all is uploaded at present, if that is so."""
        store = self._prober.state()
        return [] if store.reachable else [f"nothing is uploaded at present: {store.reason}"]

    def _outlook_replicated(self, asset: Asset, now: float) -> tuple[str, list[str]]:
        stay = self._keeper.reason_to_wait() or self._planner.reason_to_stay(asset, now=now)
        idle = f"it was last asked for {now - asset.last_access:.0f} s ago"
        if stay:
            return "stays", [stay, idle]
        preferred = preference(self._planner.rules, asset, now=now)
        later = [f"the rule '{preferred.text}' has it leave after others"] if preferred else []
        return "may be demoted", [idle, *later, self._keeper.pressure()]

    def _outlook_cold(self, asset: Asset) -> tuple[str, list[str]]:
        why = self._promoter.waits_because(asset)
        if why:
            return "is promoted once it is out of its archive", [why]
        return "is promoted when it is asked for", ["its bytes are in the store"]

    def _outlook_unprotected(self, asset: Asset, now: float) -> tuple[str, list[str]]:
        failure = asset.failure
        if failure is None:
            return "is uploaded", ["its content is not yet proven to be in the store", *self._obstacles()]
        if failure.code == outside.CODE:
            return "stays on this disk only", [self._planner.rollout.reason]
        said = f"{failure.code}: {failure.message} (attempt {failure.attempts})"
        if failure.retry_at is None:
            return "waits for a person", [said, "`tierd retry` tries again"]
        return f"is tried again in {max(0.0, failure.retry_at - now):.0f} s", [said]
