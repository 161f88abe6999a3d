"""Leases keep an asset hot for as long as they last, and not a moment longer."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.app import Parts
from index.asset import AssetId
from tiering.leases import LEASE_SECONDS, Leases, TooManyLeasesError

ONE, TWO = AssetId("1" * 32), AssetId("2" * 32)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of one's own."""
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    """Leases whose silence after the start is over."""
    leases = Leases(clock=clock, limit=3)
    clock.now += LEASE_SECONDS
    return leases


def test_after_a_start_everybody_may_hold_one(clock: Clock) -> None:
    """Leases of an earlier run are unknown, so nothing leaves before they would have ended."""
    leases = Leases(clock=clock)
    clock.now = leases.settled_at - 0.001
    assert leases.is_held(ONE)
    clock.now = leases.settled_at
    assert not leases.is_held(ONE)


def test_a_lease_holds_its_asset_until_it_expires(leases: Leases, clock: Clock) -> None:
    """And no other asset."""
    lease = leases.grant(ONE)
    assert lease.expires == clock.now + LEASE_SECONDS
    clock.now = lease.expires - 0.001
    assert leases.is_held(ONE)
    assert not leases.is_held(TWO)
    clock.now = lease.expires
    assert not leases.is_held(ONE)


def test_the_last_of_several_decides(leases: Leases) -> None:
    """One who is done does not end another's lease."""
    first, second = leases.grant(ONE), leases.grant(ONE)
    leases.release(first.id)
    assert leases.is_held(ONE)
    leases.release(second.id)
    assert not leases.is_held(ONE)


def test_a_renewed_lease_lasts_anew(leases: Leases, clock: Clock) -> None:
    """Also beyond leases that were granted later."""
    first = leases.grant(ONE)
    clock.now += 30
    leases.grant(TWO)
    clock.now += 20
    assert leases.renew(first.id).expires == clock.now + LEASE_SECONDS
    clock.now += 50
    assert leases.is_held(ONE)
    assert not leases.is_held(TWO)


def test_what_has_ended_cannot_be_renewed_or_released(leases: Leases, clock: Clock) -> None:
    """Its holder must learn that the asset may have gone."""
    expired, released = leases.grant(ONE), leases.grant(ONE)
    leases.release(released.id)
    clock.now = expired.expires
    for lease_id in (expired.id, released.id, "unknown"):
        with pytest.raises(KeyError):
            leases.renew(lease_id)
        with pytest.raises(KeyError):
            leases.release(lease_id)


def test_the_number_is_bounded(leases: Leases, clock: Clock) -> None:
    """Whoever never gives one back meets the bound, and expired ones make room."""
    last = [leases.grant(ONE) for _ in range(3)][-1]
    with pytest.raises(TooManyLeasesError, match="3 leases"):
        leases.grant(TWO)
    leases.renew(last.id)
    clock.now = last.expires
    assert leases.grant(TWO).asset_id == TWO


@given(
    st.lists(
        st.tuples(st.sampled_from(["grant", "renew", "release", "wait"]), st.integers(0, 5), st.floats(0, 90)),
        max_size=40,
    )
)
def test_an_asset_is_held_while_one_of_its_leases_lasts(steps: list[tuple[str, int, float]]) -> None:
    """Against the plainest model: a list of who holds what until when."""
    clock = Clock()
    leases = Leases(clock=clock)
    clock.now += LEASE_SECONDS
    model: dict[str, tuple[AssetId, float]] = {}
    ids: list[str] = []
    for step, which, seconds in steps:
        model = {key: held for key, held in model.items() if held[1] > clock.now}
        known = ids[which] if which < len(ids) else "unknown"
        match step:
            case "wait":
                clock.now += seconds
            case "grant":
                lease = leases.grant((ONE, TWO)[which % 2])
                ids.append(lease.id)
                model[lease.id] = (lease.asset_id, clock.now + LEASE_SECONDS)
            case _ if known not in model:
                with pytest.raises(KeyError):
                    getattr(leases, step)(known)
            case "renew":
                leases.renew(known)
                model[known] = (model[known][0], clock.now + LEASE_SECONDS)
            case "release":
                leases.release(known)
                del model[known]
        held = {asset_id for asset_id, expires in model.values() if expires > clock.now}
        assert {asset_id for asset_id in (ONE, TWO) if leases.is_held(asset_id)} == held


def test_the_daemon_counts_leases_by_a_clock_that_nobody_sets() -> None:
    """A clock set back by a year must not keep everything on the disk for a year, nor one set forward end a lease."""
    nothing = cast("Any", None)
    parts = Parts(
        nothing, nothing, nothing, nothing, nothing, root_id="", brand_new=False, sealed=True, notifier=nothing
    )
    assert parts.leases.settled_at == pytest.approx(time.monotonic() + LEASE_SECONDS, abs=30)
