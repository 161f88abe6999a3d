"""What a content delivery network keeps of objects that were overwritten or removed: it is told to forget it.

The index's own record of events is the queue, and a cursor of it is remembered: what happened while the daemon, or the
network, was not there is told later. Telling twice costs a little money and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from index.errors import UnknownAssetError
from index.lifecycle import Event, State
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.catalog import Catalog
    from index.records import Record
    from tiering.stores.cloudfront import Distribution

log = logging.getLogger(__name__)

CURSOR: Final = "cdn: cursor"
GATHER_SECONDS: Final = 10.0
"""What happens within so long is told at once, and no more often: a distribution takes few invalidations at a time."""
RETRY_SECONDS: Final = 60.0
AT_ONCE: Final = 1000
"""Events of one look, and so the most paths of one invalidation."""


class Invalidator:
    """Tells the network, for as long as the daemon lives."""

    def __init__(
        self,
        catalog: Catalog,
        distribution: Distribution,
        *,
        patterns: Sequence[str],
        path_of: Callable[[str], str],
        host: str,
        told: Callable[[int], None],
    ) -> None:
        """`patterns` are what keys begin with; one that ends in * is told as a whole, whatever of it has changed.

        `path_of` says by which path viewers ask for a key. `told` counts paths.
        """
        self._catalog = catalog
        self._distribution = distribution
        self._patterns = patterns
        self._path_of = path_of
        self._host = host
        self._told = told

    def __repr__(self) -> str:
        return f"<Invalidator {self._distribution!r}>"

    async def run(self) -> None:
        """Tell, for ever."""
        async with self._distribution:
            while True:
                after = await self.cursor()
                await self._catalog.wait_change(after)
                await asyncio.sleep(GATHER_SECONDS)
                try:
                    await self.catch_up()
                except StoreError as error:
                    log.warning(
                        "%r keeps what was overwritten or removed for now: %s", self._distribution, error.advice
                    )
                    await asyncio.sleep(RETRY_SECONDS)

    async def cursor(self) -> int:
        """Return the last event that was seen to. What lies before the first run, or is not kept, nobody tells."""
        remembered, newest = await self._catalog.recall(CURSOR), await self._catalog.newest_event()
        if remembered is None or not await self._catalog.oldest_event() - 1 <= int(remembered) <= newest:
            await self._catalog.remember(CURSOR, str(newest))
            return newest
        return int(remembered)

    async def catch_up(self) -> None:
        """Tell of everything up to now, but for what is still to be removed from the store. Raise StoreError."""
        after = await self.cursor()
        while records := await self._settled(await self._catalog.events(after, limit=AT_ONCE)):
            after = records[-1].cursor
            paths = sorted({path for record in records for path in self._paths(record)})
            if paths:
                await self._distribution.invalidate(paths, reference=f"tierd-{self._host}-{after}")
                self._told(len(paths))
            await self._catalog.remember(CURSOR, str(after))

    async def _settled(self, records: Sequence[Record]) -> list[Record]:
        """Leave out what begins with a removal that is not done yet: the network would fetch the object again."""
        settled: list[Record] = []
        for record in records:
            if record.after is State.GONE and await self._is_to_be_purged(record):
                break
            settled.append(record)
        return settled

    async def _is_to_be_purged(self, record: Record) -> bool:
        try:
            return (await self._catalog.get(record.id)).purge
        except UnknownAssetError:
            return False

    def _paths(self, record: Record) -> list[str]:
        key = replaced_key(record)
        if key is None:
            return []
        pattern = next((each for each in self._patterns if key.startswith(each.removesuffix("*"))), None)
        if pattern is None:
            return []
        # Of a pattern only what people wrote is a wildcard.
        return [f"{self._path_of(pattern.removesuffix('*'))}*" if pattern.endswith("*") else self._path_of(key)]


def replaced_key(record: Record) -> str | None:
    """Return the key at which an event has put another object, or none."""
    if record.after is State.GONE:
        return record.was_key
    is_overwritten = record.event == Event.VERIFIED and record.was_key == record.key
    return record.key if is_overwritten else None
