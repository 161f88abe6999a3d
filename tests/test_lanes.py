"""Short work in threads: many calls to a hop, each with its own result or error, none lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tiering.lanes import TOGETHER, Lanes


async def test_those_who_ask_together_go_together() -> None:
    """One hop for all who ask in the same turn of the loop, up to the bound."""
    lanes = Lanes(2)

    threads = await asyncio.gather(*(lanes.run(threading.get_ident) for _ in range(TOGETHER + 1)))

    assert len(set(threads[:TOGETHER])) == 1
    assert threading.get_ident() not in threads


async def test_each_gets_its_own_result_or_error() -> None:
    """An error is its caller's alone."""
    lanes = Lanes(1)

    found = await asyncio.gather(
        lanes.run(lambda: 1), lanes.run(lambda: 1 // 0), lanes.run(lambda: 3), return_exceptions=True
    )

    assert (found[0], found[2]) == (1, 3)
    assert isinstance(found[1], ZeroDivisionError)


async def test_never_more_threads_than_lanes() -> None:
    """The rest waits, and comes to its turn."""
    lanes, gate, running = Lanes(2), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        running.release()
        assert gate.wait(10)

    tasks = [asyncio.ensure_future(lanes.run(work)) for _ in range(3 * TOGETHER)]
    await asyncio.to_thread(running.acquire)
    await asyncio.to_thread(running.acquire)
    assert not running.acquire(blocking=False)
    gate.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_leaves_the_others_alone() -> None:
    """Its work still runs."""
    lanes, ran = Lanes(1), []
    cancelled, other = (asyncio.ensure_future(lanes.run(lambda: ran.append(1))) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()

    await other
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert ran == [1, 1]
