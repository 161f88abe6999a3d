"""What the API asks of the rest of tierd, and nothing more: the handlers are written, and tested, against this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from index.asset import Asset, RelPath
    from index.listing import Query
    from index.records import Record
    from tiering.answers import (
        Content,
        DrainProgress,
        DrainReport,
        Explanation,
        Opened,
        Peek,
        Result,
        Selection,
        Status,
        VerifyProgress,
        VerifyReport,
    )
    from tiering.leases import Lease


class Leases(Protocol):
    """Who holds what for a short time. Both raise KeyError where the lease has ended."""

    def renew(self, lease_id: str) -> Lease:
        """Make it last anew."""

    def release(self, lease_id: str) -> None:
        """End it."""


class Catalog(Protocol):
    """The part of the index that is read without moving anything."""

    async def list(self, query: Query, *, limit: int, cursor: str | None) -> tuple[Sequence[Asset], str | None]:
        """Return one page in the order of paths, and the cursor of the next. Raise ValueError for a bad cursor."""

    async def events(self, after: int, *, limit: int) -> Sequence[Record]:
        """Return events with a higher cursor, in order."""

    async def oldest_event(self) -> int:
        """Return the cursor of the oldest event that is kept; 0 where there is none."""

    async def newest_event(self) -> int:
        """Return the cursor of the newest event; 0 where there is none."""

    async def wait_change(self, after: int) -> None:
        """Return once there is an event with a higher cursor."""


class Tiers(Protocol):
    """Raises UnknownAssetError, TierError and StoreError; daemon/problem.py says what each means to a client.

    Cancelling a call is safe at any moment: what was begun is finished or undone, nothing more is begun.
    """

    @property
    def leases(self) -> Leases:
        """The leases that are held."""

    @property
    def catalog(self) -> Catalog:
        """The index, for reading."""

    async def find(self, path: RelPath) -> Asset:
        """Return the asset, taking in an unknown path that is on disk."""

    async def open(self, path: RelPath, *, wait: float) -> Opened:
        """Have it on disk and leased, waiting at most that many seconds."""

    async def content(self, path: RelPath, *, whole: bool) -> Content:
        """Return its bytes; not `whole` waits for the promotion, so that they can be read from anywhere."""

    async def peek(self, path: RelPath) -> Peek:
        """Return what it is, moving nothing."""

    async def register(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str] | None, tags: Mapping[str, str] | None
    ) -> Asset:
        """Take the file in at once; None leaves what is known as it is."""

    async def describe(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str], tags: Mapping[str, str]
    ) -> Asset:
        """Set all three to exactly this."""

    async def remove(self, path: RelPath) -> Asset:
        """Remove it from both tiers and return what is left of it."""

    async def promote(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """Bring assets back."""

    async def demote(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """Remove local copies."""

    async def pin(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """Keep assets hot."""

    async def unpin(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """Keep them hot no longer."""

    async def retry(self, selection: Selection, *, dry_run: bool, wait: bool, overwrite: bool) -> Sequence[Result]:
        """Try again what waits for a person."""

    async def explain(self, path: RelPath) -> Explanation:
        """Return what would happen to it next, and why."""

    def status(self) -> Status:
        """Return everything at a glance, from memory."""

    def verify(self, *, deep: bool) -> AsyncGenerator[VerifyProgress | VerifyReport, None]:
        """Compare store, disk and index: progress at least every 15 s, the report last."""

    def drain(self, *, wait: bool, timeout: float | None) -> AsyncGenerator[DrainProgress | DrainReport, None]:
        """Upload everything now: progress at least every 15 s, the report last."""

    async def resume(self) -> None:
        """Release the brake."""


class Rates(Protocol):
    """What the observer has seen."""

    @property
    def upload_bytes_per_second(self) -> float:
        """Over the last minute."""

    @property
    def hit_ratio(self) -> float:
        """Since the start, from 0 to 1."""
