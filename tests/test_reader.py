"""What is said of assets is read before anybody searches for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest
from catalogs import WAYS, bring_to, discover, drive
from samples import NOW

from index import search
from index.catalog import Catalog
from index.errors import IndexFullError
from index.lifecycle import State
from tiering import reader
from tiering.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROUNDS = 20


@pytest.fixture
async def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Catalog]:
    """Give an empty catalog, whose reader does not pause."""
    monkeypatch.setattr(reader, "SHARE", 0)
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0)
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    yield catalog
    await catalog.close()


async def is_unread(catalog: Catalog) -> bool:
    """Whether a search would have to read first."""
    return await catalog._connection.submit(search.is_unread)


async def read_for_a_while(catalog: Catalog) -> None:
    """Let the reader come round a few times."""
    reading = asyncio.create_task(Reader(catalog).run())
    for _ in range(ROUNDS):
        await catalog.beat()
    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_text_is_read_before_anybody_asks(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time, until there is none left."""
    monkeypatch.setattr(search, "READ_AT_ONCE", 1)
    for name in "abc":
        await bring_to(catalog, State.REPLICATED, name)
    assert await is_unread(catalog)
    await read_for_a_while(catalog)
    assert not await is_unread(catalog)


async def test_no_upload_waits_for_it(catalog: Catalog) -> None:
    """While something waits for its upload, nothing is read."""
    asset = await discover(catalog)
    await read_for_a_while(catalog)
    assert await is_unread(catalog)
    await drive(catalog, asset, *WAYS[State.REPLICATED])
    await read_for_a_while(catalog)
    assert not await is_unread(catalog)


async def test_it_waits_for_room(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, it tries again later; who searches is told."""
    await bring_to(catalog, State.REPLICATED)

    async def full() -> NoReturn:
        raise IndexFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "read_text", full)
        await read_for_a_while(catalog)
    assert await is_unread(catalog)
    await read_for_a_while(catalog)
    assert not await is_unread(catalog)
