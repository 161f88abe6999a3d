"""How much is looked at again, and when: figures for any number of assets and any clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import DAY, NOW

from tiering.scrub import (
    MONTH,
    REST,
    ROUND_SECONDS,
    WEEK,
    Walk,
    hash_interval,
    looks_a_round,
    read_back_interval,
)

COUNTS = st.integers(1, 10**8)


@given(COUNTS)
def test_every_cold_asset_is_asked_for_within_a_week(cold: int) -> None:
    """Even if all came due at once, after having been left alone for as long as they are."""
    rounds = math.ceil(cold / looks_a_round(cold))
    assert REST + rounds * ROUND_SECONDS <= WEEK


@given(COUNTS)
def test_looks_are_spread(cold: int) -> None:
    """No round has more than its share of a quarter of a week, and one."""
    assert looks_a_round(cold) <= cold * ROUND_SECONDS / (WEEK / 4) + 1
    assert looks_a_round(0) == 0


@pytest.mark.parametrize(("cold", "a_day"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (10**6, 1000)])
def test_a_thousandth_is_read_back_in_a_day(cold: int, a_day: int) -> None:
    """And at least one."""
    assert DAY / read_back_interval(cold) == pytest.approx(a_day)
    assert read_back_interval(0) == DAY
    assert hash_interval(0) == MONTH


@given(st.floats(0.5, MONTH), st.floats(0, 400 * DAY))
def test_a_walk_keeps_its_pace(interval: float, waited: float) -> None:
    """What is due is what came due, never more than that of one round, and never nothing where one is due."""
    due = Walk(NOW - waited, "a").due(interval=interval, now=NOW)
    assert due <= max(1, math.ceil(ROUND_SECONDS / interval))
    assert (due >= 1) is (NOW - (NOW - waited) >= interval)


def test_a_walk_begins_and_survives_clocks() -> None:
    """The first step is due at once; one in the future, after a clock was set back, counts as none."""
    assert Walk().due(interval=DAY, now=NOW) == 1
    assert Walk(NOW + 1).due(interval=DAY, now=NOW) == 1
    assert Walk(NOW).due(interval=DAY, now=NOW) == 0


@given(st.floats(0, 1e12), st.sampled_from(["", "f" * 32]))
def test_a_walk_is_written_down(at: float, after: str) -> None:
    """And read as it was."""
    walk = Walk(at, after)
    assert Walk.read(str(walk)) == walk
    assert Walk.read(None) == Walk()
