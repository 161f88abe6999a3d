"""How much at once: what throttles halves, what memory bounds is bounded and fair, and a rate is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtually, settle

from tiering.pacing import PAUSE_MOST, RETRY_MOST, Bandwidth, ByteBudget, Pacer, backoff


class Clock:
    """A clock that stands still until it is moved; it begins at zero, as a monotonic one may."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@given(st.integers(0, 10_000))
def test_backoff_grows_and_is_bounded(attempts: int) -> None:
    """It is never nothing, never above the ceiling, and after many attempts never below half of it."""
    delay = backoff(attempts)
    assert 0 < delay <= RETRY_MOST
    if attempts > 10:
        assert delay >= RETRY_MOST / 2


def test_backoff_has_jitter() -> None:
    """Those who failed together do not come back together."""
    assert len({backoff(5) for _ in range(20)}) > 10


# --- Pacer


def test_a_throttled_request_halves_the_limit() -> None:
    """At once, the very first time."""
    pacer = Pacer(32, clock=Clock())
    pacer.throttled()
    assert pacer.limit == 16


def test_one_burst_of_throttling_counts_once() -> None:
    """Thirty-two workers that are told at the same moment are told one thing."""
    clock = Clock()
    pacer = Pacer(32, clock=clock)
    for _ in range(32):
        pacer.throttled()
    assert pacer.limit == 16
    clock.now += 1
    pacer.throttled()
    assert pacer.limit == 8


def test_good_requests_raise_the_limit_by_one_a_round() -> None:
    """As many as are under way at once, and up to the configured most."""
    clock = Clock()
    pacer = Pacer(8, clock=clock)
    pacer.throttled()
    for expected in (5, 6, 7, 8, 8):
        for _ in range(pacer.limit + 1):
            pacer.succeeded()
        assert pacer.limit == expected


@given(st.integers(1, 64), st.lists(st.tuples(st.sampled_from(["succeeded", "throttled", "failed"]), st.floats(0, 5))))
def test_there_is_always_a_slot_and_never_too_many(most: int, answers: list[tuple[str, float]]) -> None:
    """Nothing stops for ever, and nobody gets more than was configured."""
    clock = Clock()
    pacer = Pacer(most, clock=clock)
    for answer, later in answers:
        clock.now += later
        pacer.failed("no answer") if answer == "failed" else getattr(pacer, answer)()
        assert 1 <= pacer.limit <= most
        assert pacer.resume_at <= clock.now + PAUSE_MOST


def test_a_store_that_does_not_answer_is_left_alone_for_a_while() -> None:
    """The pauses grow, one failure a pause counts, and one answer ends them."""
    clock = Clock()
    pacer = Pacer(4, clock=clock)
    pauses = []
    for _ in range(12):
        for _ in range(4):
            pacer.failed("no answer")
        pauses.append(pacer.resume_at - clock.now)
        assert not pacer.is_reachable
        assert pacer.reason == "no answer"
        clock.now = pacer.resume_at
    assert 0.5 <= pauses[0] <= 1
    assert PAUSE_MOST / 2 <= pauses[-1] <= PAUSE_MOST
    pacer.failed("no route")
    assert pacer.reason == "no route"
    pacer.succeeded()
    assert pacer.is_reachable
    assert pacer.reason == ""
    assert pacer.resume_at <= clock.now


# --- ByteBudget


@dataclass
class Taker:
    """One who takes from the budget, holds until told, and can be cancelled at any time."""

    size: int
    number: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    holds: bool = False

    async def run(self, budget: ByteBudget, granted: list[int]) -> None:
        """Take, hold, give back."""
        async with budget.take(self.size):
            self.holds = True
            granted.append(self.number)
            try:
                await self.done.wait()
            finally:
                self.holds = False


MOST = 100
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "finish", "cancel"]),
        st.sampled_from([0, 1, 2, 3, 40, 60, 100, 150]),
        st.sampled_from([0, 1, 2, 4, 4]),
    ),
    max_size=30,
)
"""What is done, with how much or to whom, and how many turns the loop has before the next step: 4 settle everything."""


@given(STEPS)
def test_the_budget_is_bounded_fair_and_never_leaks(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is taken, given back and cancelled, in whatever order, also within one turn of the loop."""
    run_virtually(_play(steps))


async def _play(steps: list[tuple[str, int, int]]) -> None:
    budget = ByteBudget(MOST)
    granted: list[int] = []
    running: list[tuple[Taker, asyncio.Task[None]]] = []
    for number, (step, value, turns) in enumerate(steps):
        if step == "take":
            taker = Taker(value, number)
            running.append((taker, asyncio.create_task(taker.run(budget, granted))))
        elif running:
            taker, task = running[value % len(running)]
            taker.done.set() if step == "finish" else task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns == 4:
            await settle()
            running = [(taker, task) for taker, task in running if not task.done()]
            _check([taker for taker, _ in running])
    for taker, _ in running:
        taker.done.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)
    assert repr(budget) == f"<ByteBudget 0 of {MOST}, 0 waiting>"


def _check(takers: list[Taker]) -> None:
    held = sum(min(taker.size, MOST) for taker in takers if taker.holds)
    waiting = [taker for taker in takers if not taker.holds]
    assert held <= MOST
    assert takers == [*(taker for taker in takers if taker.holds), *waiting], "first come, first served"
    assert not waiting or held + min(waiting[0].size, MOST) > MOST, "the first in the queue would fit"


def test_a_large_one_is_not_starved_by_small_ones() -> None:
    """Small ones that would fit wait behind a large one that does not yet."""

    async def main() -> None:
        budget, granted = ByteBudget(MOST), list[int]()
        takers = [Taker(60, 0), Taker(100, 1), Taker(10, 2)]
        async with asyncio.TaskGroup() as group:
            for taker in takers:
                group.create_task(taker.run(budget, granted))
            for taker in takers:
                await settle()
                assert granted[-1] == taker.number
                taker.done.set()

    run_virtually(main())


def test_who_is_cancelled_just_when_it_is_granted_gives_it_back() -> None:
    """Between the grant and the taker's next step lies a turn of the loop, and what was granted must not get lost."""

    async def main() -> None:
        budget = ByteBudget(MOST)
        async with budget.take(MOST):
            late = asyncio.create_task(Taker(MOST, 0).run(budget, []))
            await settle()
        late.cancel()
        await settle()
        assert repr(budget) == f"<ByteBudget 0 of {MOST}, 0 waiting>"

    run_virtually(main())


def test_who_gives_up_waiting_lets_the_next_one_pass() -> None:
    """Nobody waits behind one who is gone."""

    async def main() -> None:
        budget, granted = ByteBudget(MOST), list[int]()
        small = Taker(10, 1)
        async with budget.take(50), asyncio.TaskGroup() as group:
            large = group.create_task(Taker(100, 0).run(budget, granted))
            group.create_task(small.run(budget, granted))
            await settle()
            large.cancel()
            await settle()
            assert granted == [1]
            small.done.set()

    run_virtually(main())


def test_more_than_all_waits_for_all() -> None:
    """A request above the whole budget is served alone, not never."""

    async def main() -> None:
        budget = ByteBudget(MOST)
        async with budget.take(10 * MOST):
            assert f"{MOST} of {MOST}" in repr(budget)

    run_virtually(main())


# --- Bandwidth


def test_a_rate_is_kept_over_many_takers() -> None:
    """Ten takers of a hundred bytes at a hundred bytes a second: the last may begin after nine seconds."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        bandwidth = Bandwidth(100, clock=loop.time)
        await asyncio.gather(*(bandwidth.take(100) for _ in range(10)))
        return loop.time()

    assert run_virtually(main()) == pytest.approx(9)


def test_idle_time_is_not_saved_up() -> None:
    """After a pause the rate is the same, no burst."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        bandwidth = Bandwidth(100, clock=loop.time)
        await bandwidth.take(100)
        await asyncio.sleep(50)
        for _ in range(3):
            await bandwidth.take(100)
        return loop.time()

    assert run_virtually(main()) == pytest.approx(52)


def test_who_is_cancelled_gives_the_time_back() -> None:
    """Else every failed upload would slow down those that follow."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        bandwidth = Bandwidth(100, clock=loop.time)
        await bandwidth.take(100)
        for _ in range(50):
            late = asyncio.create_task(bandwidth.take(100))
            await settle()
            late.cancel()
            await settle()
        await bandwidth.take(100)
        return loop.time()

    assert run_virtually(main()) == pytest.approx(1)


def test_without_a_rate_nothing_waits() -> None:
    """The default costs nothing."""

    async def main() -> float:
        for _ in range(10):
            await Bandwidth(None, clock=asyncio.get_running_loop().time).take(10**12)
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == 0
