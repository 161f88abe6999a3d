"""Work of a group that may be ending, and the same for many items: each once, some at a time, one error for all."""

from __future__ import annotations

import asyncio

import pytest

from tiering.store import UnavailableError
from tiering.workers import begin, for_each


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


async def test_a_group_that_ends_begins_nothing() -> None:
    """Who asks for something then is told to ask again, and nobody waits for what will never begin."""
    ending = asyncio.Event()

    async def fail() -> None:
        raise KeyError

    async def ask(group: asyncio.TaskGroup) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(UnavailableError, match="ending"):
                begin(group, fail(), name="late")
            ending.set()

    async def live() -> None:
        async with asyncio.TaskGroup() as group:
            begin(group, ask(group), name="asks")
            begin(group, fail(), name="fails")

    with pytest.raises(ExceptionGroup):
        await live()
    assert ending.is_set()
