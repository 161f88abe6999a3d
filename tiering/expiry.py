"""Has what retention rules say go from the store, and nothing else: first marked, then, after its grace time, removed.

Only cold assets go, so no local byte is ever touched. The tombstone is committed before the remote copy is removed, as
`tierd rm` does it: whichever run of the daemon gets to it removes exactly the object that was proven. What another host
has stored is for that one's rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.errors import IndexFullError
from index.expiring import Mark
from tiering.metadata import Passport
from tiering.rollout import EVERYTHING, Rollout
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.observer import Observer
    from tiering.retention import Going, Retention, Rule
    from tiering.store import Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 3600.0
RETRY_SECONDS: Final = 60.0
PAGE: Final = 1000
WATCHED: Final = "retention watched"
"""The fact that says for how many seconds the rules have been watched over."""


class Expiry:
    """Looks every hour. Time counts while it looks, and while nothing speaks against removing anything."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        retention: Retention,
        *,
        host: str,
        reason_to_wait: Callable[[], str | None],
        purge: Callable[[], None],
        observer: Observer,
        clock: Callable[[], float],
        rollout: Rollout = EVERYTHING,
    ) -> None:
        """`host` is the name of the cache root. `reason_to_wait` says why nothing may be removed now.

        `purge` has the remote copies of tombstones removed.
        """
        self._catalog = catalog
        self._store = store
        self._host = host
        self.retention = retention
        self.rollout = rollout
        self._reason_to_wait = reason_to_wait
        self._purge = purge
        self._observer = observer
        self._clock = clock
        self._changed = asyncio.Event()

    def follow(self, retention: Retention, rollout: Rollout) -> None:
        """Go by these rules from now on."""
        self.retention, self.rollout = retention, rollout
        self._changed.set()

    async def run(self) -> None:
        """Look now and then, for ever."""
        before = time.monotonic()
        while True:
            self._changed.clear()
            now = time.monotonic()
            passed, before = min(now - before, 2 * INTERVAL_SECONDS), now
            pause = INTERVAL_SECONDS if await self._looked(passed) else RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _looked(self, passed: float) -> bool:
        reason = self._reason_to_wait()
        if reason is not None:
            log.debug("retention waits: %s", reason)
            return False
        try:
            await self.look(passed=passed)
        except IndexFullError as error:
            log.warning("retention waits: %s", error)
            return False
        return True

    async def look(self, *, passed: float) -> None:
        """Remove what has been marked for long enough, then mark what has become old.

        `passed` is how many seconds were watched over since the last look. While the brake holds, or the store is
        doubted, nobody looks: nothing goes, and no time passes. Raise IndexFullError.
        """
        watched = await self.watched() + passed
        await self._catalog.remember(WATCHED, repr(watched))
        await self._work_off_marks(watched)
        for rule in self.retention.rules:
            if rule.after is not None:
                await self._mark(rule, watched)

    async def watched(self) -> float:
        """Return for how many seconds the rules have been watched over."""
        return float(await self._catalog.recall(WATCHED) or 0.0)

    async def plan(self, *, within: float) -> AsyncGenerator[list[Going], None]:
        """Yield what is to go within so many seconds, if nothing is done about it, page by page. Changes nothing."""
        watched, now = await self.watched(), self._clock()
        for rule in self.retention.rules:
            cursor: str | None = ""
            while cursor is not None and rule.after is not None:
                page, cursor = await self._catalog.list(rule.query(), limit=PAGE, cursor=cursor or None)
                marks = await self._catalog.marks.of([asset.id for asset in page])
                going = (
                    self.retention.going(asset, marks.get(asset.id), now=now, watched=watched)
                    for asset in page
                    if self.rollout.covers(asset.path)
                )
                yield [each for each in going if each and each.rule == rule.text and each.at - now <= within]

    def _is_to_go(self, asset: Asset, now: float) -> Rule | None:
        return self.retention.is_old(asset, now=now) if self.rollout.covers(asset.path) else None

    async def _work_off_marks(self, watched: float) -> None:
        after = ""
        while page := await self._catalog.marks.page(after=after, limit=PAGE):
            after = page[-1][0].id
            await self._work_off(page, watched)

    async def _work_off(self, page: Sequence[tuple[Asset, Mark]], watched: float) -> None:
        before, now = watched - self.retention.grace, self._clock()
        rules = {asset.id: self._is_to_go(asset, now) for asset, _ in page}
        staying = [asset for asset, mark in page if (rule := rules[asset.id]) is None or rule.text != mark.rule]
        await self._catalog.marks.remove([asset.id for asset in staying])
        for asset in staying:
            log.info("stays in the store after all: %s", printable(asset.path), extra={"asset": asset.id})
        left = {asset.id for asset in staying}
        for asset, mark in page:
            if asset.id not in left and mark.since <= before and self._reason_to_wait() is None:
                await self._remove_ours(asset, mark.rule, before)

    async def _remove_ours(self, asset: Asset, rule: str, before: float) -> None:
        try:
            is_ours = await self._is_ours(asset)
        except StoreError as error:
            log.info("retention waits: %s (%s)", printable(asset.path), error, extra={"asset": asset.id})
            return
        if is_ours:
            await self._remove(asset, rule, before)
        else:
            # It is asked about again after another grace time.
            await self._catalog.marks.remove([asset.id])

    async def _is_ours(self, asset: Asset) -> bool:
        """Whether the object is the one that was proven, and this host's."""
        if asset.proof is None:
            return False
        head = await self._store.head(asset.proof.key)
        passport = Passport.from_metadata(head.metadata or {})
        is_known = passport is not None and passport.id == asset.id and not passport.is_from_elsewhere(self._host)
        return is_known and head.etag == asset.proof.etag

    async def _remove(self, asset: Asset, rule: str, before: float) -> None:

        def goes(now: Asset) -> bool:
            found = self._is_to_go(now, self._clock())
            return found is not None and found.text == rule

        gone = await self._catalog.marks.expire(asset.id, rule, before=before, goes=goes)
        if gone is None:
            return
        log.info("removed from the store: %s (%s)", printable(asset.path), rule, extra={"asset": asset.id})
        self._observer.expired(gone)
        self._purge()

    async def _mark(self, rule: Rule, watched: float) -> None:
        cursor, marked = None, 0
        while True:
            page, cursor = await self._catalog.list(rule.query(), limit=PAGE, cursor=cursor)
            now = self._clock()
            ids = [asset.id for asset in page if self._is_to_go(asset, now) is rule]
            marked += await self._catalog.marks.make(ids, Mark(rule.text, watched))
            if cursor is None:
                break
        if marked:
            days = self.retention.grace / 86_400
            said = "%d assets are to go from the store in %g days by the rule '%s'; tierd retention plan lists them"
            log.warning(said, marked, days, rule.text)
