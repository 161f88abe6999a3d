"""Who asks again too soon waits longer; what was looked at is forgotten."""

from __future__ import annotations

import asyncio

from virtual_time import run_virtually

from index.asset import RelPath
from tiering.revisits import LONGEST, SHORTEST, Revisits

PATH = RelPath("f")


def test_each_look_in_vain_makes_the_next_wait_longer() -> None:
    """From a twentieth of a second to a second, so that a long write costs next to nothing."""
    book = Revisits()
    now = 0.0
    waits = []
    for _ in range(8):
        book.postpone(PATH, now=now)
        (due,) = (at for at, _ in book._entries.values())
        assert book.due(due - 0.001) == []
        assert book.due(due) == [PATH]
        waits.append(round(due - now, 6))
        now = due
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (SHORTEST, LONGEST)


def test_what_was_looked_at_is_struck_out() -> None:
    """Unless the look itself asked for another."""
    book = Revisits()
    other = RelPath("other")
    for path in (PATH, other):
        book.appoint(path, at=1.0)
    looked_at = book.due(2.0)
    assert book.due(2.0) == []
    book.appoint(other, at=3.0)
    book.close(looked_at)
    assert len(book) == 1
    assert book.due(3.0) == [other]


def test_waiting_ends_when_the_first_is_due() -> None:
    """Or earlier, when an earlier one is entered meanwhile."""

    async def wait() -> float:
        loop = asyncio.get_running_loop()
        book = Revisits()
        book.appoint(PATH, at=loop.time() + 100)
        loop.call_later(5, lambda: book.appoint(RelPath("other"), at=loop.time() + 10))
        began = loop.time()
        while not book.due(loop.time()):
            await book.wait_due()
        return loop.time() - began

    assert round(run_virtually(wait()), 3) == 15.0
