"""Counts what is paid for, month by month, and keeps it in the index: a stop loses a few minutes of it at most."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from index.errors import IndexFullError
from index.lifecycle import State
from tiering.bill import Standing, Usage, bill, by_class
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from index.catalog import Catalog
    from tiering.bill import Bill
    from tiering.prices import Prices
    from tiering.store import Store
    from tiering.toll import Toll

log = logging.getLogger(__name__)

NAME: Final = "usage"
"""Under which the index remembers what was counted."""
LISTED: Final = "classes"
"""Under which it remembers what was in which class, and when that was looked for: a start is no reason to list all."""
BEAT_SECONDS: Final = 60.0
SAVE_BEATS: Final = 5
LIST_SECONDS: Final = 86_400.0
RETRY_SECONDS: Final = 600.0
_STORED: Final = (State.REPLICATED, State.DEMOTING, State.COLD, State.PROMOTING)
_HOT: Final = (State.NEW, State.UPLOADING, State.VERIFYING, State.REPLICATED, State.DEMOTING, State.STUCK)


class Tally:
    """What happens that is paid for, from the moment it is made."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.usage = Usage.begin(clock())

    def fetched(self, size_bytes: int) -> None:
        """Count bytes that left the store."""
        self.usage.read_bytes += size_bytes

    def served(self, size_bytes: int) -> None:
        """Count an application's request, wherever its bytes came from."""
        self.usage.served += 1
        self.usage.served_bytes += size_bytes


class Meter:
    """Knows what is kept, and writes down what was counted."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        tally: Tally,
        *,
        prices: Prices,
        default_class: str,
        toll: Toll | None,
        clock: Callable[[], float],
    ) -> None:
        """`default_class`: that of new objects, and of all where the store has none.

        `toll` counts requests; None where they cost nothing, and where there are no classes.
        """
        self._catalog = catalog
        self._store = store
        self._tally = tally
        self._prices = prices
        self._default_class = default_class
        self._toll = toll
        self._list_at = 0.0
        self._clock = clock
        self._listed: Counter[str] = Counter()
        self._listed_bytes = 0

    async def run(self) -> None:
        """Count for ever."""
        await self._restore()
        beats = 0
        while True:
            if self._toll is not None and self._clock() >= self._list_at:
                self._list_at = self._clock() + (LIST_SECONDS if await self._list() else RETRY_SECONDS)
            self.beat()
            beats += 1
            if beats % SAVE_BEATS == 0:
                await self._save()
            await asyncio.sleep(BEAT_SECONDS)

    def beat(self) -> None:
        """Count what was kept, and what the store was asked, since the last time."""
        self._tally.usage = usage = self._tally.usage.keep(self._standing(), self._clock())
        if self._toll is not None:
            writes, reads = self._toll.take()
            usage.writes += writes
            usage.reads += reads

    def bill(self) -> Bill:
        """Return what this month costs."""
        self.beat()
        return bill(self._tally.usage, self._standing(), self._prices, self._clock())

    def _standing(self) -> Standing:
        sizes = self._catalog.totals.bytes
        stored, hot = (sum(sizes[state] for state in states) for states in (_STORED, _HOT))
        kept = by_class(self._listed, unlisted=stored - self._listed_bytes, default=self._default_class)
        return Standing(hot, sum(sizes[state] for state in State if state is not State.GONE), kept)

    async def _list(self) -> bool:
        """Find out in which class what is, and whether that can be. What no asset needs is paid for as well."""
        sizes: Counter[str] = Counter()
        try:
            async for page in self._store.list():
                for info in page:
                    sizes[info.storage_class or self._default_class] += info.size
        except StoreError as error:
            log.info("what is stored in which class is not known anew: %s", error)
            return False
        self._listed = sizes
        self._listed_bytes = sum(self._catalog.totals.bytes[state] for state in _STORED)
        await self._remember(LISTED, {"at": self._clock(), "classes": sizes, "bytes": self._listed_bytes})
        return True

    async def _restore(self) -> None:
        """Go on with what was known before."""
        await self._restore_usage()
        text = await self._catalog.recall(LISTED)
        with suppress(ValueError, KeyError, TypeError):
            found = {} if text is None else json.loads(text)
            self._list_at = min(float(found["at"]), self._clock()) + LIST_SECONDS
            self._listed = Counter({str(name): int(size) for name, size in found["classes"].items()})
            self._listed_bytes = int(found["bytes"])

    async def _restore_usage(self) -> None:
        """Go on with what was counted before, if it is of this month."""
        text = await self._catalog.recall(NAME)
        try:
            before = None if text is None else Usage.from_document(json.loads(text))
        except ValueError as error:
            log.warning("what was counted of this month is lost: %s", error)
            return
        now = self._tally.usage
        if before is None or before.month != now.month:
            return
        for name in ("writes", "reads", "read_bytes", "served", "served_bytes"):
            setattr(before, name, getattr(before, name) + getattr(now, name))
        self._tally.usage = before

    async def _save(self) -> None:
        await self._remember(NAME, self._tally.usage.to_document())

    async def _remember(self, name: str, document: Mapping[str, Any]) -> None:
        try:
            await self._catalog.remember(name, json.dumps(document))
        except IndexFullError as error:
            log.info("what was counted is not written down yet: %s", error)
