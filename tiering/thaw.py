"""Assets whose objects lie in an archive: hours pass before they can be read, and only where somebody asked for that.

It is asked for once, what was asked for is remembered over a restart, and the store is asked now and then whether it is
there. Then the asset is promoted, which is an event like any other. Who wants it meanwhile is told when to expect it,
and costs the store nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from index.asset import AssetId, printable
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.outcome import ConflictError, RestoringError
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset, Proof
    from index.catalog import Catalog

log = logging.getLogger(__name__)

PENDING: Final = "thawing"
"""The fact about the index that has what was asked for."""
PENDING_MOST: Final = 10_000
ROUND_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
_HOUR: Final = 3600.0
_HOURS: Final = {
    ("GLACIER", "Expedited"): 0.1,
    ("GLACIER", "Standard"): 5.0,
    ("GLACIER", "Bulk"): 12.0,
    ("DEEP_ARCHIVE", "Standard"): 12.0,
    ("DEEP_ARCHIVE", "Bulk"): 48.0,
}
"""How long S3 says that it may take; whatever else there is, as long as the slowest."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How a restoration is asked for: `tier` is `Standard`, `Bulk` or `Expedited`, and the copy stays for `days`."""

    tier: str
    days: int


@dataclass(frozen=True, slots=True)
class Thawed:
    """How an archived object is: in which class, and whether it can be read now."""

    storage_class: str
    readable: bool


class Archive(Protocol):
    """What a store must have to bring objects out of an archive. Keys are the store's own."""

    async def restore(self, key: str, *, tier: str, days: int) -> None:
        """Ask for a readable copy; that it was asked for already is no error."""

    async def thawed(self, key: str) -> Thawed:
        """Return how the object is."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An asset that was asked for: when that was, when it is expected, and when the store is asked next."""

    id: AssetId
    key: str
    expected: float
    look_at: float


class Thaw:
    """Holds what was asked for. `archive` is None where the store has none, `speed` where nobody wants it asked for."""

    def __init__(
        self, catalog: Catalog, archive: Archive | None, speed: Speed | None, *, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._archive = archive
        self._speed = speed
        self._clock = clock
        self._pending: dict[AssetId, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def check(self, asset: Asset) -> None:
        """Raise RestoringError where it was asked for and is not known to be there."""
        pending = self._pending.get(asset.id)
        if pending is not None:
            raise self._restoring(asset, pending)

    async def ask(self, asset: Asset, proof: Proof) -> RestoringError:
        """Ask for an object that cannot be read, and return what whoever wants it is told.

        Raise ConflictError where the configuration does not have it asked for, or too many were.
        """
        if self._archive is None or self._speed is None:
            said = f"{printable(asset.path)} lies in an archive, and nothing asks for it by itself"
            raise ConflictError(said, hint="set [store] restore, or restore the object in the store")
        if len(self._pending) >= PENDING_MOST:
            raise ConflictError(f"{PENDING_MOST} assets were asked for already", hint="wait until some are there")
        found = await self._archive.thawed(proof.key)
        await self._archive.restore(proof.key, tier=self._speed.tier, days=self._speed.days)
        now = self._clock()
        expected = now + _HOUR * _HOURS.get((found.storage_class, self._speed.tier), max(_HOURS.values()))
        pending = _again(Pending(asset.id, proof.key, expected, now), now)
        self._pending[asset.id] = pending
        await self._remember()
        log.info("asked for out of the archive: %s", printable(asset.path), extra={"expected": round(expected)})
        return self._restoring(asset, pending)

    async def run(self, promote: Callable[[Asset], object]) -> None:
        """Promote what was asked for once it is there."""
        await self.recall()
        while True:
            await self.look(promote)
            await asyncio.sleep(ROUND_SECONDS)

    async def recall(self) -> None:
        """Remember what an earlier run asked for."""
        for known in json.loads(await self._catalog.recall(PENDING) or "[]"):
            pending = Pending(**known)
            self._pending.setdefault(pending.id, pending)

    async def look(self, promote: Callable[[Asset], object]) -> None:
        """Ask the store about those whose time has come."""
        now = self._clock()
        for pending in [each for each in self._pending.values() if each.look_at <= now]:
            try:
                await self._settle(pending, promote)
            except StoreError as error:
                log.info("an archived object was not asked about: %s", error.advice)
                self._pending[pending.id] = _again(pending, now)

    async def _settle(self, pending: Pending, promote: Callable[[Asset], object]) -> None:
        try:
            asset = await self._catalog.get(pending.id)
        except UnknownAssetError:
            asset = None
        is_wanted = asset is not None and asset.state is State.COLD and asset.proof is not None
        if is_wanted and self._archive is not None and not (await self._archive.thawed(pending.key)).readable:
            self._pending[pending.id] = _again(pending, self._clock())
            return
        del self._pending[pending.id]
        await self._remember()
        if is_wanted and asset is not None:
            log.info("out of the archive: %s", printable(asset.path))
            promote(asset)

    async def _remember(self) -> None:
        await self._catalog.remember(PENDING, json.dumps([asdict(each) for each in self._pending.values()]))

    def _restoring(self, asset: Asset, pending: Pending) -> RestoringError:
        left = max(pending.expected - self._clock(), 0) / _HOUR
        said = f"{printable(asset.path)} lies in an archive, and was asked for: expected within {left:.1f} hours"
        return RestoringError(said, expected=pending.expected)


def _again(pending: Pending, now: float) -> Pending:
    """Ask the sooner the nearer it is: it may be early."""
    pause = min(max((pending.expected - now) / 4, ROUND_SECONDS), LONGEST_PAUSE_SECONDS)
    return replace(pending, look_at=now + pause)
