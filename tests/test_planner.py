"""What leaves the disk: never what must stay, always enough where enough may go, and in bouts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import DAY, NOW, a_proof, an_asset

from index.asset import AssetId, ProofMethod
from index.lifecycle import State
from tiering.planner import Planner, Residence
from tiering.policies.age import AgePolicy
from tiering.policies.lru import LruPolicy
from tiering.watermarks import Usage, Watermarks

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.policy import TierPolicy

RESIDENCE = Residence(cold_after=30 * DAY, cool_down=600, min_residence=600)
LEASED = AssetId("1" * 32)


def planner(policy: TierPolicy | None = None) -> Planner:
    """Return a planner for whom exactly one asset is leased."""
    return Planner(RESIDENCE, policy or LruPolicy(), is_leased=lambda asset_id: asset_id == LEASED)


MUST_STAY = {
    "new": {"state": State.NEW},
    "uploading": {"state": State.UPLOADING},
    "verifying": {"state": State.VERIFYING},
    "demoting": {"state": State.DEMOTING},
    "stuck": {"state": State.STUCK},
    "no proof": {"proof": None},
    "an older proof": {"generation": 2},
    "a proof that is only claimed": {"proof": a_proof(method=ProofMethod.CLAIMED)},
    "pinned": {"pinned": True},
    "leased": {"id": LEASED},
    "hard links": {"links": 2},
}
MAY_GO_BY_HAND = {
    "just uploaded": {"proof": a_proof(at=NOW - 599)},
    "just promoted": {"promoted_at": NOW - 599},
}


@pytest.mark.parametrize("why", [*MUST_STAY, *MAY_GO_BY_HAND])
def test_what_must_stay_is_in_no_plan(why: str) -> None:
    """However old it is and however full the disk is; and there is a reason to be told."""
    asset = an_asset(**{"last_access": 0.0, **(MUST_STAY | MAY_GO_BY_HAND)[why]})
    assert planner().plan([asset], excess=10**12, reason="watermark", now=NOW) == []
    assert planner().reason_to_stay(asset, now=NOW)


@pytest.mark.parametrize("why", MUST_STAY)
def test_a_request_never_overrides_safety(why: str) -> None:
    """What must stay stays also when a person asks."""
    assert planner().reason_to_stay(an_asset(**MUST_STAY[why]), now=NOW, by_hand=True)


@pytest.mark.parametrize("why", MAY_GO_BY_HAND)
def test_a_request_overrides_times(why: str) -> None:
    """A person need not wait for the cool-down."""
    assert planner().reason_to_stay(an_asset(**MAY_GO_BY_HAND[why]), now=NOW, by_hand=True) is None


@pytest.mark.parametrize("when", [{"proof": a_proof(at=NOW + DAY)}, {"promoted_at": NOW + DAY}])
def test_a_clock_that_was_set_back_keeps_nothing_here(when: dict[str, object]) -> None:
    """What was uploaded or promoted at a time that is yet to come need not wait for it."""
    assert planner().reason_to_stay(an_asset(**when), now=NOW) is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.REPLICATED}))
def test_only_a_replicated_asset_may_leave(state: State) -> None:
    """As the lifecycle says."""
    assert planner().reason_to_stay(an_asset(state=state), now=NOW, by_hand=True)


def assets() -> st.SearchStrategy[Asset]:
    """Draw assets of every kind, most of which may leave."""
    ages = st.floats(0, 60 * DAY)
    return st.builds(
        lambda number, state, disk, last, seen, uploaded, promoted, **kept: an_asset(
            id=AssetId(f"{number:032x}"),
            state=state,
            disk_bytes=disk,
            last_access=NOW - last,
            discovered_at=NOW - seen,
            proof=a_proof(at=NOW - uploaded, generation=kept.pop("proven")),
            promoted_at=NOW - promoted,
            **kept,
        ),
        st.integers(1, 2**60),
        st.sampled_from([*[State.REPLICATED] * 8, *State]),
        st.integers(0, 64).map(lambda blocks: blocks * 512),
        ages,
        ages,
        ages,
        ages,
        proven=st.sampled_from([1, 1, 1, 0]),
        pinned=st.sampled_from([False, False, False, True]),
        links=st.sampled_from([1, 1, 1, 2]),
    )


@given(
    st.lists(assets(), max_size=30, unique_by=lambda asset: asset.id),
    st.integers(0, 200_000),
    st.sampled_from([LruPolicy(), AgePolicy()]),
)
def test_a_plan_frees_enough_whenever_it_can_and_no_more(
    some: list[Asset], excess: int, policy: LruPolicy | AgePolicy
) -> None:
    """The coldest that may go, until there is enough; beyond that what is old, and nothing else."""
    rule = planner(policy)
    coldest_first = sorted(some, key=lambda asset: -policy.idle(asset, now=NOW))
    plan = rule.plan(coldest_first, excess=excess, reason="watermark", now=NOW)
    chosen = [step.asset for step in plan]
    free_to_go = [asset for asset in coldest_first if rule.reason_to_stay(asset, now=NOW) is None]

    assert all(asset in free_to_go for asset in chosen), "what must stay stays"
    freed = sum(asset.disk_bytes for asset in chosen)
    assert freed >= min(excess, sum(asset.disk_bytes for asset in free_to_go)), "it frees enough"
    needed = [step.asset for step in plan if step.reason == "watermark"]
    assert sum(asset.disk_bytes for asset in needed[:-1]) < max(excess, 1), "it stops once there is enough"
    assert chosen == [asset for asset in coldest_first if asset in chosen], "the coldest go first"
    for asset in free_to_go:
        assert (asset in chosen) or not rule.is_old(asset, now=NOW), "what is old goes"
    for step in plan:
        if step.reason == "age":
            assert rule.is_old(step.asset, now=NOW)


def test_a_file_that_occupies_nothing_does_not_leave_for_room() -> None:
    """It would cost requests and free nothing; of age it may go."""
    hollow = an_asset(disk_bytes=0)
    assert planner().plan([hollow], excess=10**6, reason="watermark", now=NOW) == []
    old = replace(hollow, last_access=NOW - 31 * DAY)
    assert [step.asset for step in planner().plan([old], excess=0, reason="watermark", now=NOW)] == [old]


def test_each_policy_explains_the_order_that_the_index_serves() -> None:
    """The longer it was idle, the smaller is the column that it is sorted by."""
    for policy in (LruPolicy(), AgePolicy()):
        (column,) = policy.order
        younger, older = (an_asset(**{column: NOW - days * DAY}) for days in (1, 2))
        assert policy.idle(older, now=NOW) > policy.idle(younger, now=NOW)
        assert policy.idle(younger, now=NOW) == DAY


# --- watermarks


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_demotion_comes_in_bouts(used: int, capacity: int, one: float, two: float) -> None:
    """Nothing is freed up to the high mark; beyond it all down to the low one, and then nothing again."""
    low, high = sorted((one, two))
    marks = Watermarks(high=high, low=low)
    excess = marks.excess(Usage(used, capacity))
    if used <= high * capacity:
        assert excess == 0
    else:
        assert 0 < excess <= used
        assert used - excess <= low * capacity
        assert used - excess + 1 > low * capacity - 1, "not more than down to the mark"
        assert marks.excess(Usage(used - excess, capacity)) == 0


def test_no_capacity_is_full() -> None:
    """A division by zero is no answer."""
    assert Usage(0, 0).ratio == 1
    assert Usage(45, 50).ratio == 0.9
