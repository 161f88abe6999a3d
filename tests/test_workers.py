"""The same work for many items: each once, some at a time, and one error for all."""

from __future__ import annotations

import asyncio

import pytest

from tiering.workers import for_each


@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_every_item_is_worked_on_once_and_at_most_so_many_at_a_time(count: int) -> None:
    """However many there are, and in their order."""
    begun: list[int] = []
    under_way = most = 0

    async def work(item: int) -> None:
        nonlocal under_way, most
        begun.append(item)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await for_each(range(count), work, at_once=3, name="work")
    assert begun == list(range(count))
    assert most == min(count, 3)


async def test_the_first_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    """Whoever asked for the work catches its error by name; nothing more is begun, and nothing goes on."""
    begun: list[int] = []
    cut: list[int] = []

    async def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise KeyError("one")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(item)
            raise

    with pytest.raises(KeyError, match="one"):
        await for_each(range(10), work, at_once=2, name="work")
    assert (begun, cut) == ([0, 1], [0])
