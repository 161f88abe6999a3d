"""A drain ends when waiting helps no more, and says what only this disk has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from catalogs import bring_to, drive
from samples import NOW

from index.catalog import Catalog
from index.lifecycle import Event, State
from tiering.answers import DrainProgress, DrainReport
from tiering.drain import Drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """Give an empty catalog whose clock stands at NOW."""
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    yield catalog
    await catalog.close()


async def nothing() -> None:
    """Scan a tree in which nothing is new."""


def drain_of(catalog: Catalog) -> Drain:
    """Return a drain of this catalog."""
    return Drain(catalog, scan=nothing, clock=lambda: NOW)


async def test_a_stuck_asset_is_unprotected(catalog: Catalog) -> None:
    """It is not waited for, and the report neither hides it nor says that all is done."""
    await bring_to(catalog, State.REPLICATED, "a.jpg")
    await bring_to(catalog, State.STUCK, "b.jpg", inode=8)
    steps = [step async for step in drain_of(catalog).drain(wait=True, timeout=None)]
    assert steps == [DrainReport(done=False, unprotected=1, unprotected_bytes=1000, stuck=("b.jpg",))]


async def test_it_waits_until_everything_is_protected(catalog: Catalog) -> None:
    """Progress first, the report when the last asset is replicated."""
    asset = await bring_to(catalog, State.NEW)
    steps = drain_of(catalog).drain(wait=True, timeout=None)
    assert await anext(steps) == DrainProgress(unprotected=1, unprotected_bytes=1000, stuck=0)
    rest = asyncio.create_task(anext(steps))
    await drive(catalog, asset, Event.CLAIMED, Event.SENT, Event.VERIFIED)
    assert await rest == DrainReport(done=True, unprotected=0, unprotected_bytes=0)
    await steps.aclose()


@pytest.mark.parametrize(("wait", "seconds"), [(False, None), (True, 0.0)])
async def test_it_need_not_wait(catalog: Catalog, *, wait: bool, seconds: float | None) -> None:
    """The report then tells what is left."""
    await bring_to(catalog, State.NEW)
    steps = [step async for step in drain_of(catalog).drain(wait=wait, timeout=seconds)]
    assert steps == [DrainReport(done=False, unprotected=1, unprotected_bytes=1000)]


async def test_what_waits_for_another_try_is_due_at_once(catalog: Catalog) -> None:
    """A back-off is no reason to keep a shutdown waiting."""
    await bring_to(catalog, State.NEW, due_at=NOW + 300)
    assert not await catalog.claim(1, now=NOW)
    [_ async for _ in drain_of(catalog).drain(wait=False, timeout=None)]
    assert len(await catalog.claim(1, now=NOW)) == 1
