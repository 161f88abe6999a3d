"""Upload everything now, and say when nothing is left that only this disk has."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from index.lifecycle import State
from tiering.answers import DrainProgress, DrainReport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from index.catalog import Catalog

HEARTBEAT: Final = 5.0
STUCK_SHOWN: Final = 1000


class Drain:
    """Makes what waits for another try due at once, and watches it go."""

    def __init__(self, catalog: Catalog, *, scan: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> None:
        """`scan` makes a full scan, so that nothing is missed that the watcher did not report."""
        self._catalog = catalog
        self._scan = scan
        self._clock = clock

    async def drain(
        self,
        *,
        wait: bool,
        timeout: float | None,  # noqa: ASYNC109 - nothing is cut off then: the report says what is left
    ) -> AsyncGenerator[DrainProgress | DrainReport, None]:
        """Yield progress every few seconds, the report last; without `wait` the report of this moment."""
        await self._scan()
        await self._catalog.make_due(now=self._clock())
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while wait and self._is_moving() and not _is_over(deadline):
            yield self._left()
            await self._wait_news(deadline)
        yield await self._report()

    def _left(self) -> DrainProgress:
        totals = self._catalog.totals
        return DrainProgress(
            unprotected=totals.unprotected,
            unprotected_bytes=totals.unprotected_bytes,
            stuck=totals.assets[State.STUCK],
        )

    def _is_moving(self) -> bool:
        """Whether waiting helps: what is stuck waits for a person."""
        left = self._left()
        return left.unprotected > left.stuck

    async def _wait_news(self, deadline: float | None) -> None:
        now = asyncio.get_running_loop().time()
        until = now + HEARTBEAT if deadline is None else min(deadline, now + HEARTBEAT)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self._is_moving():
                    await self._catalog.wait_change(await self._catalog.newest_event())

    async def _report(self) -> DrainReport:
        left, outside = self._left(), self._catalog.totals.outside
        stuck = await self._catalog.in_states([State.STUCK], limit=STUCK_SHOWN)
        return DrainReport(
            done=left.unprotected == 0 and outside == 0,
            unprotected=left.unprotected,
            unprotected_bytes=left.unprotected_bytes,
            stuck=tuple(asset.path for asset in stuck),
            outside=outside,
        )


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and asyncio.get_running_loop().time() >= deadline
