"""Accesses, gathered in memory and written in batches: a lost batch loses some seconds of heat and nothing else."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from index.errors import IndexFullError
from index.warmth import Use
from tiering.policies.heat import HeatPolicy
from tiering.thermometer import from_fact, to_fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from tiering.curve import Curve
    from tiering.policies.heat import Preset
    from tiering.thermometer import Thermometer

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 50.0
PAGE: Final = 1000
"""How many rows are given their heat in one commit."""
FACT: Final = "heat"
_UNUSED: Final = Use(0.0, 0)


class Accesses:
    """Who was asked for since the last batch: at most one entry an asset."""

    def __init__(
        self,
        catalog: Catalog,
        thermometer: Thermometer,
        *,
        curve: Curve,
        capacity: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        """`curve` hears of all that the index remembers; `capacity` is how many bytes the hot tier may hold."""
        self._catalog = catalog
        self._thermometer = thermometer
        self._curve = curve
        self._capacity = capacity
        self._clock = clock
        self._recent: dict[AssetId, Use] = {}
        self._told = 0
        """The cursor of the last access that the curve has heard of."""

    def __repr__(self) -> str:
        return f"<Accesses {len(self._recent)} to write>"

    def record(self, asset: Asset, *, hit: bool) -> None:
        """Somebody opened or read it now; a `hit` found it on disk."""
        _, times, misses = self._recent.get(asset.id, _UNUSED)
        self._recent[asset.id] = Use(self._clock(), times + 1, misses + (not hit))

    async def run(self) -> None:
        """Write what was gathered now and then, for ever."""
        await self.prepare()
        while True:
            await self.follow()
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
            await self.receive()

    async def prepare(self) -> None:
        """Take up the clock of the last life, and measure heat anew where the preset is another one."""
        meter, kept = self._thermometer, await self._catalog.recall(FACT)
        before, row = None, 0
        if kept is not None:
            meter.reads, last, before, row = from_fact(kept)
            if last != meter.policy.preset:
                # A change that was broken off is not gone on with: what it left undone is a little off, and fades.
                before, row = last, 0
        self._measure()
        if before is not None:
            await self._convert(before, row)
        await self._remember()
        self._catalog.warming = meter

    def _measure(self) -> None:
        self._thermometer.capacity = self._capacity()

    async def _convert(self, before: Preset, row: int | None) -> None:
        log.info("heat is measured anew: the preset has changed")
        change = self._thermometer.converter(HeatPolicy(before))
        while row is not None:
            await self._remember(before, row)
            row = await self._catalog.convert_heat(change, after=row, limit=PAGE)

    async def _remember(self, before: Preset | None = None, row: int = 0) -> None:
        meter = self._thermometer
        fact = to_fact(meter.reads, meter.policy.preset, before=before, row=row)
        await self._catalog.remember(FACT, fact)

    async def flush(self) -> None:
        """Write what was gathered."""
        batch, self._recent = self._recent, {}
        if not batch:
            return
        self._measure()
        # For want of room some seconds of heat are lost, too.
        with suppress(IndexFullError):
            await self._catalog.touch(batch)
            await self._remember()

    async def follow(self) -> None:
        """Tell the curve what it has not heard yet: after a start all that is remembered, of earlier lives, too."""
        while True:
            page, self._told = await self._catalog.accesses(self._told, limit=PAGE)
            if not page:
                return
            reads = [(each.at, str(each.asset), each.size, each.times) for each in page]
            await asyncio.to_thread(self._curve.record, reads)

    async def receive(self) -> None:
        """Give heat to those on disk that have none yet: before that, no order by heat has them."""
        if self._catalog.warming is not self._thermometer:
            return  # Heat of another preset is still being measured anew.
        with suppress(IndexFullError):
            while await self._catalog.receive(limit=PAGE) == PAGE:
                pass
