"""The keeper: keeps the disk below its watermarks, and sends away what nobody has asked for in a long time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from tiering import standing
from tiering.answers import Disk
from tiering.rules import Action
from tiering.standing import Standing
from tiering.tree import FileError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.demoter import Demoter
    from tiering.outcome import Outcome
    from tiering.planner import Demotion, Planner
    from tiering.space import Space
    from tiering.watermarks import Watermarks

log = logging.getLogger(__name__)

PAGE: Final = 1000
AT_ONCE: Final = 64
"""So many share a commit, and its one wait for the disk: with 16 a demotion takes half as long again."""
RANK_MOST: Final = 10_000
"""How far down the order a rank is counted."""


@dataclass(slots=True)
class Bout:
    """What is to become free, and what has, in bytes. `is_broken_off`: the store does not answer, for any asset."""

    excess: int
    freed: int = 0
    is_broken_off: bool = False

    @property
    def left(self) -> int:
        """What is still to become free."""
        return self.excess - self.freed

    def note(self, step: Demotion, outcome: Outcome) -> None:
        """Count what came of one step."""
        self.freed += step.asset.disk_bytes if outcome.done else 0
        self.is_broken_off = self.is_broken_off or outcome.result == "failed"


class Keeper:
    """Looks every `interval` seconds, and whenever somebody needs room."""

    def __init__(
        self,
        catalog: Catalog,
        demoter: Demoter,
        planner: Planner,
        *,
        space: Space,
        watermarks: Watermarks | None,
        receive: Callable[[], Awaitable[None]],
        left: Callable[[Asset], None],
        reason_to_wait: Callable[[], str | None],
        interval: float,
        clock: Callable[[], float],
    ) -> None:
        """`watermarks` is None where the disk tells nothing; `reason_to_wait` says why nothing may leave it now.

        `receive` gives their place in the policy's order to those that have none yet; `left` is told who was demoted.
        """
        self._catalog = catalog
        self._demoter = demoter
        self.planner = planner
        self._space = space
        self.watermarks = watermarks
        self._policy = planner.policy
        self.receive = receive
        self._left = left
        self.reason_to_wait = reason_to_wait
        self.interval = interval
        self._clock = clock
        self._bout = asyncio.Lock()
        self._wake = asyncio.Event()
        self._lacking = 0
        """The bytes for which room was wanted last time and could not be made."""

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the disk below its marks, for ever."""
        while True:
            self._wake.clear()
            try:
                await self.tend()
            except FileError as error:
                log.warning("the disk cannot be looked at: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval):
                    await self._wake.wait()

    def waits_because(self, asset: Asset) -> str | None:
        """Return until when its local copy waits in the trash and why, for people; None where it does not."""
        return self._demoter.waits_because(asset.id)

    def pressure(self) -> str:
        """Return how full the disk is against its marks, in words."""
        if self.watermarks is None:
            return "watermarks are off: the store lies on the same file system"
        used = self._space.usage().ratio
        return f"the disk is {used:.1%} full, demotion begins above {self.watermarks.high:.0%}"

    def disk(self) -> Disk:
        """Return the disk as it is now."""
        usage = self._space.usage()
        disk = self._space.file_system()
        marks = self.watermarks
        return Disk(
            total=disk.total,
            free=disk.available,
            used=usage.used,
            limit=usage.capacity,
            high=marks.high if marks else 1.0,
            low=marks.low if marks else 1.0,
            full=self._space.is_full(wanted=self._lacking),
        )

    def next_bout(self) -> standing.Bout | None:
        """Return what the watermarks will do next; None where they are off."""
        return None if self.watermarks is None else standing.next_bout(self._space.usage(), self.watermarks)

    async def standing(self, asset: Asset) -> Standing:
        """Return where it stands in the policy's order, as far down as is counted."""
        bout = self.next_bout()
        rank, ahead, seen, above = None, 0, 0, 0
        async for page in self._in_order(self._policy.order):
            for each in page:
                if each.id == asset.id:
                    rank, ahead = seen, above
                if rank is not None and (bout is None or above >= bout.size):
                    return Standing(rank, ahead, each if bout else None)
                seen, above = seen + 1, above + each.disk_bytes
            if seen >= RANK_MOST:
                break
        return Standing(rank, ahead)

    async def tend(self) -> int:
        """Demote what the watermarks and the age rule say; return the bytes that became free."""
        async with self._bout:
            if self.reason_to_wait() is not None:
                return 0
            excess = self.watermarks.excess(self._space.usage()) if self.watermarks is not None else 0
            return await self._carry_out(excess, "watermark")

    async def make_room(self, size: int) -> None:
        """Free what a promotion of `size` bytes needs, as far as that can be done now."""
        async with self._bout:
            if self._space.is_free(size) or self.reason_to_wait() is not None:
                return
            usage = self._space.usage()
            needed = max(usage.used + size - usage.capacity, size)
            await self._carry_out(needed, "space")
            was_full, self._lacking = self._lacking > 0, 0 if self._space.is_free(size) else size
            if self._lacking and not was_full:
                log.warning("the disk is full and nothing more may leave it: %s", self.pressure())

    async def _carry_out(self, excess: int, reason: str) -> int:
        """Demote page by page, counting what really became free: the coldest, then what is old."""
        bout = Bout(excess)
        await self.receive()
        await self._send_preferred(bout, reason)
        for grade in self.planner.grades(now=self._clock()):
            await self._go_through(self._policy.order, bout, reason, grade=grade)
            if bout.left <= 0 or bout.is_broken_off:
                break
        if self._policy.order != self._policy.oldest_first and not bout.is_broken_off:
            await self._go_through(self._policy.oldest_first, bout, reason)
        if bout.freed:
            log.info("demoted", extra={"bytes": bout.freed, "reason": reason})
        return bout.freed

    async def _send_preferred(self, bout: Bout, reason: str) -> None:
        """Where room is needed, demote first what rules prefer to be cold."""
        rules = [rule for rule in self.planner.rules if rule.action is Action.COLD and self._clock() < rule.until]
        for query in chain.from_iterable(rule.queries() for rule in rules):
            cursor = None
            while bout.left > 0 and not bout.is_broken_off:
                page, cursor = await self._catalog.list(query, limit=PAGE, cursor=cursor)
                await self._work_through(page, bout, reason)
                if cursor is None:
                    break

    async def _go_through(self, order: Sequence[str], bout: Bout, reason: str, *, grade: int = 0) -> None:
        async for page in self._in_order(order):
            await self._work_through(page, bout, reason, grade=grade)
            if bout.is_broken_off or self._is_over(page, bout.left):
                return

    async def _work_through(self, page: Sequence[Asset], bout: Bout, reason: str, *, grade: int = 0) -> None:
        """Demote of one page what is to go; what is spared is made up for by those that come after it."""
        rest = page
        while steps := self.planner.plan(rest, excess=bout.left, reason=reason, now=self._clock(), grade=grade):
            await self._demote_all(steps, bout)
            if bout.is_broken_off:
                return
            tried = {step.asset.id for step in steps}
            rest = [asset for asset in rest if asset.id not in tried]

    async def _demote_all(self, steps: Sequence[Demotion], bout: Bout) -> None:
        async def demote(step: Demotion) -> None:
            if not bout.is_broken_off:
                outcome = await self._demoter.demote(step.asset, reason=step.reason)
                bout.note(step, outcome)
                if outcome.done:
                    self._left(step.asset)

        await for_each(steps, demote, at_once=AT_ONCE, name="demote")

    async def _in_order(self, order: Sequence[str]) -> AsyncIterator[list[Asset]]:
        cursor = None
        while True:
            page, cursor = await self._catalog.candidates(order=order, limit=PAGE, after=cursor)
            if not page:
                return
            yield page

    def _is_over(self, page: Sequence[Asset], excess: int) -> bool:
        """Nothing more to free, and the rest of the order is younger still."""
        return excess <= 0 and not self.planner.is_old(page[-1], now=self._clock())
