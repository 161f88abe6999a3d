"""The brake: how much may vanish before the disk is doubted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiering.brake import RELEASED, allowance, verdict


@pytest.mark.parametrize(
    ("missing", "believed_hot", "stops"),
    [
        (0, 0, False),
        (1, 1, False),
        (9, 9, False),
        (9, 10, False),
        (10, 10, True),
        (10, 11, False),
        (11, 11, True),
        (11, 1000, True),
        (10, 1000, False),
        (100, 10_000, False),
        (101, 10_000, True),
        (1000, 100_000, False),
        (1001, 100_000, True),
    ],
)
def test_too_many_is_more_than_ten_and_one_in_a_hundred_or_all(
    missing: int,
    believed_hot: int,
    stops: bool,  # noqa: FBT001 -- a parameter
) -> None:
    """A handful may always vanish, one in a hundred too; all of ten or more never."""
    reason = verdict(missing=missing, believed_hot=believed_hot, marker_fault=None)
    assert (reason is not None) is stops


@given(st.integers(0, 10**7))
def test_the_allowance_is_monotonous_but_for_all(believed_hot: int) -> None:
    """More files never allow fewer to vanish, and from ten on never all."""
    assert allowance(believed_hot + 1) >= allowance(believed_hot) - 1
    if believed_hot >= 10:
        assert allowance(believed_hot) < believed_hot


def test_a_missing_marker_is_reason_enough() -> None:
    """However few are missing: it is not our disk."""
    assert verdict(missing=0, believed_hot=1000, marker_fault="not ours") == "not ours"


def test_the_brake_keeps_the_time_when_it_was_engaged() -> None:
    """Each scan tells why, and how many; since when stays."""
    first = RELEASED.engage("one", missing=1, now=100.0)
    second = first.engage("two", missing=2, now=200.0)
    assert (second.engaged, second.since, second.reason, second.missing) == (True, 100.0, "two", 2)
    assert not RELEASED.engaged
