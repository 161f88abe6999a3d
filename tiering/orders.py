"""What people order for many assets at once: promote, demote, pin, unpin, retry. One result an asset, in order."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from index.changes import Change
from index.errors import CatalogError, UnknownAssetError
from index.lifecycle import HOT, Event, State
from index.listing import Query
from tiering.answers import Result
from tiering.demoter import BY_HAND
from tiering.outcome import Outcome, RestoringError, TierError
from tiering.store import RefusedError, StoreError
from tiering.tree import FileError
from tiering.workers import begin, for_each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from index.asset import Asset, RelPath
    from index.catalog import Catalog
    from tiering.answers import Selection
    from tiering.demoter import Demoter
    from tiering.planner import Planner
    from tiering.promoter import Promoter

    Order = Callable[[Asset], Awaitable[Outcome]]

AT_ONCE: Final = 32
PAGE: Final = 1000


class Orders:
    """Carries out one order for a selection; a plan is the same order with nothing done."""

    def __init__(  # noqa: PLR0913 - orders are about everything that moves
        self,
        catalog: Catalog,
        promoter: Promoter,
        demoter: Demoter,
        planner: Planner,
        *,
        find: Callable[[RelPath], Awaitable[Asset]],
        receive: Callable[[], Awaitable[None]],
        expected: Callable[[Asset], float],
        reason_to_wait: Callable[[], str | None],
        require_overwritable: Callable[[Asset], Awaitable[None]],
        group: asyncio.TaskGroup,
        clock: Callable[[], float],
    ) -> None:
        """`reason_to_wait` says why nothing may leave the disk now; work that nobody waits for is `group`'s.

        `receive` gives their place in the policy's order to those that have none yet; `expected` says how many reads of
        an asset are to be expected within a half-life. `require_overwritable` raises RefusedError where what is at an
        asset's key is needed.
        """
        self._catalog = catalog
        self._promoter = promoter
        self._demoter = demoter
        self._planner = planner
        self._find = find
        self._receive = receive
        self._expected = expected
        self._reason_to_wait = reason_to_wait
        self._require_overwritable = require_overwritable
        self._group = group
        self._clock = clock

    async def promote(self, selection: Selection, *, dry_run: bool = False, wait: bool = True) -> list[Result]:
        """Bring cold assets back."""
        return await self._carry_out(selection, self._judge_promotion, self._promote, dry_run=dry_run, wait=wait)

    async def demote(self, selection: Selection, *, dry_run: bool = False, wait: bool = True) -> list[Result]:
        """Remove local copies: times are overridden, safety never. What has to wait in the trash is `started`.

        A plan says also how many reads would miss them.
        """
        if dry_run:
            return await self._foresee(selection)
        return await self._carry_out(selection, self._judge_demotion, self._demote, dry_run=dry_run, wait=wait)

    async def pin(self, selection: Selection, *, dry_run: bool = False, wait: bool = True) -> list[Result]:
        """Keep hot what is hot, and bring back what is cold."""
        return await self._set_pinned(selection, pinned=True, dry_run=dry_run, wait=wait)

    async def unpin(self, selection: Selection, *, dry_run: bool = False, wait: bool = True) -> list[Result]:
        """Let the policy decide again."""
        return await self._set_pinned(selection, pinned=False, dry_run=dry_run, wait=wait)

    async def retry(
        self, selection: Selection, *, overwrite: bool = False, dry_run: bool = False, wait: bool = True
    ) -> list[Result]:
        """Try again what is stuck, damaged or waiting; `overwrite` lets it replace a foreign object at its key.

        What is the only remote copy of another asset is refused.
        """

        async def act(asset: Asset) -> Outcome:
            if overwrite and asset.state in HOT:
                try:
                    await self._require_overwritable(asset)
                except RefusedError as error:
                    return Outcome(asset, "refused", error.advice)
            change = Change.about(asset, Event.RETRIED, overwrite=overwrite, due_at=self._clock())
            return Outcome(await self._catalog.apply(change, patient=False), "done")

        return await self._carry_out(selection, _judge_retry, act, dry_run=dry_run, wait=wait)

    async def _carry_out(
        self,
        selection: Selection,
        judge: Callable[[Asset], Outcome | None],
        act: Order,
        *,
        dry_run: bool,
        wait: bool,
    ) -> list[Result]:
        """Judge every asset and, if there is something to do, do it; the work is the group's, not the caller's."""
        results: list[Result] = []
        work: list[tuple[int, Asset]] = []
        async for found in self._select(selection):
            if isinstance(found, Result):
                results.append(found)
                continue
            outcome = judge(found) or Outcome(found, "planned" if dry_run else "started")
            if outcome.result == "started":
                work.append((len(results), found))
            results.append(_result(found.path, outcome))
        if work:
            task = begin(self._group, self._work_off(work, act, results), name="orders")
            if wait:
                await asyncio.shield(task)
        return list(results)

    async def _foresee(self, selection: Selection) -> list[Result]:
        """Return what would leave, where nobody named an order in that of the policy, and after that what would not."""
        await self._receive()
        (column,) = self._planner.policy.order
        foreseen: list[tuple[float, Result]] = []
        async for found in self._select(selection):
            key = math.inf
            if isinstance(found, Result):
                result = found
            elif (outcome := self._judge_demotion(found)) is not None:
                result = _result(found.path, outcome)
            else:
                result = replace(_result(found.path, Outcome(found, "planned")), regret=self._expected(found))
                place = getattr(found, column)
                key = -math.inf if place is None else place
            foreseen.append((key, result))
        if selection.paths is None:
            foreseen.sort(key=lambda each: each[0])
        return [result for _, result in foreseen]

    async def _work_off(self, work: list[tuple[int, Asset]], act: Order, results: list[Result]) -> None:
        async def carry_out(step: tuple[int, Asset]) -> None:
            at, asset = step
            results[at] = _result(asset.path, await self._attempt(asset, act))

        await for_each(work, carry_out, at_once=AT_ONCE, name="order")

    async def _attempt(self, asset: Asset, act: Order) -> Outcome:
        try:
            return await act(asset)
        except RestoringError as error:
            return Outcome(await self._catalog.get(asset.id), "started", str(error))
        except (TierError, StoreError, FileError, CatalogError) as error:
            return Outcome(asset, "failed", str(error))

    async def _select(self, selection: Selection) -> AsyncIterator[Asset | Result]:
        if selection.paths is not None:
            for path in selection.paths:
                yield await self._find_or_say(path)
            return
        cursor = None
        while True:
            page, cursor = await self._catalog.list(selection.query or Query(), limit=PAGE, cursor=cursor)
            for asset in page:
                yield asset
            if cursor is None:
                return

    async def _find_or_say(self, path: RelPath) -> Asset | Result:
        try:
            return await self._find(path)
        except UnknownAssetError:
            return Result(path=path, outcome="unknown", reason="there is no such asset")
        except (TierError, FileError) as error:
            return Result(path=path, outcome="refused", reason=str(error))
        except StoreError as error:
            return Result(path=path, outcome="failed", reason=str(error))

    def _judge_promotion(self, asset: Asset) -> Outcome | None:
        match asset.state:
            case State.COLD | State.PROMOTING:
                return None
            case State.DAMAGED | State.GONE:
                return Outcome(asset, "refused", f"it is {asset.state}: there is nothing right to bring back")
            case _:
                return Outcome(asset, "unchanged", "it is on disk")

    def _judge_demotion(self, asset: Asset) -> Outcome | None:
        if asset.state not in HOT:
            return Outcome(asset, "unchanged", f"it is {asset.state}")
        reason = self._reason_to_wait() or self._planner.reason_to_stay(asset, now=self._clock(), by_hand=True)
        return Outcome(asset, "refused", reason) if reason is not None else None

    async def _promote(self, asset: Asset) -> Outcome:
        return Outcome(await self._promoter.begin(asset).wait(), "done")

    async def _demote(self, asset: Asset) -> Outcome:
        waits = asyncio.Event()
        demotion = begin(self._group, self._demoter.demote(asset, reason=BY_HAND, waits=waits), name="demotion by hand")
        waiting = asyncio.ensure_future(waits.wait())
        try:
            await asyncio.wait([demotion, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if demotion.done():
            return demotion.result()
        # That takes minutes, for which nobody should have to wait without a word.
        return Outcome(await self._catalog.get(asset.id), "started", self._demoter.waits_because(asset.id) or "")

    async def _set_pinned(self, selection: Selection, *, pinned: bool, dry_run: bool, wait: bool) -> list[Result]:
        def judge(asset: Asset) -> Outcome | None:
            is_wanted_back = pinned and asset.state is State.COLD
            return Outcome(asset, "unchanged") if asset.pinned is pinned and not is_wanted_back else None

        async def act(asset: Asset) -> Outcome:
            await self._catalog.set_pinned([asset.id], pinned)
            if pinned and asset.state is State.COLD:
                asset = await self._promoter.begin(asset).wait()
            return Outcome(asset, "done")

        return await self._carry_out(selection, judge, act, dry_run=dry_run, wait=wait)


def _judge_retry(asset: Asset) -> Outcome | None:
    if asset.state in {State.STUCK, State.DAMAGED} or (asset.state is State.NEW and asset.failure is not None):
        return None
    return Outcome(asset, "unchanged", f"it is {asset.state}, and waits for nothing")


def _result(path: RelPath, outcome: Outcome) -> Result:
    return Result(
        path=path,
        outcome=outcome.result,
        reason=outcome.reason,
        state=outcome.asset.state,
        size=outcome.asset.size,
    )
