"""What the API asks of the rest of tierd, gathered from the parts that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from index.asset import Asset, RelPath
    from index.catalog import Catalog
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
    from tiering.drain import Drain
    from tiering.inspector import Inspector
    from tiering.leases import Leases
    from tiering.orders import Orders
    from tiering.reconciler import Reconciler
    from tiering.registry import Registry
    from tiering.tiers import Tiers
    from tiering.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One door for the API; every question goes on to the part that answers it. See daemon/tiers.py."""

    catalog: Catalog
    leases: Leases
    tiers: Tiers
    orders: Orders
    registry: Registry
    inspector: Inspector
    verifier: Verifier
    drains: Drain
    reconciler: Reconciler

    async def find(self, path: RelPath) -> Asset:
        """See Tiers."""
        return await self.tiers.find(path)

    async def open(self, path: RelPath, *, wait: float) -> Opened:
        """See Tiers."""
        return await self.tiers.open(path, wait=wait)

    async def content(self, path: RelPath, *, whole: bool) -> Content:
        """See Tiers."""
        return await self.tiers.content(path, whole=whole)

    async def peek(self, path: RelPath) -> Peek:
        """See Tiers."""
        return await self.tiers.peek(path)

    async def register(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str] | None, tags: Mapping[str, str] | None
    ) -> Asset:
        """See Registry."""
        return await self.registry.register(path, type=type, fields=fields, tags=tags)

    async def describe(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str], tags: Mapping[str, str]
    ) -> Asset:
        """See Registry."""
        return await self.registry.describe(path, type=type, fields=fields, tags=tags)

    async def remove(self, path: RelPath) -> Asset:
        """See Registry."""
        return await self.registry.remove(path)

    async def promote(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """See Orders."""
        return await self.orders.promote(selection, dry_run=dry_run, wait=wait)

    async def demote(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """See Orders."""
        return await self.orders.demote(selection, dry_run=dry_run, wait=wait)

    async def pin(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """See Orders."""
        return await self.orders.pin(selection, dry_run=dry_run, wait=wait)

    async def unpin(self, selection: Selection, *, dry_run: bool, wait: bool) -> Sequence[Result]:
        """See Orders."""
        return await self.orders.unpin(selection, dry_run=dry_run, wait=wait)

    async def retry(self, selection: Selection, *, dry_run: bool, wait: bool, overwrite: bool) -> Sequence[Result]:
        """See Orders."""
        return await self.orders.retry(selection, dry_run=dry_run, wait=wait, overwrite=overwrite)

    async def explain(self, path: RelPath) -> Explanation:
        """See Inspector."""
        return await self.inspector.explain(path)

    def status(self) -> Status:
        """See Inspector."""
        return self.inspector.status()

    def verify(self, *, deep: bool) -> AsyncGenerator[VerifyProgress | VerifyReport, None]:
        """See Verifier."""
        return self.verifier.verify(deep=deep)

    def drain(self, *, wait: bool, timeout: float | None) -> AsyncGenerator[DrainProgress | DrainReport, None]:
        """See Drain."""
        return self.drains.drain(wait=wait, timeout=timeout)

    async def resume(self) -> None:
        """See Reconciler."""
        self.reconciler.release()
