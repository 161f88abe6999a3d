"""The simulator: the daemon's own policies on a hot tier that is only counted, beside a slow and obvious one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiering.policies.age import AgePolicy
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.policy import Reads
from tiering.simulation import HotTier, simulate
from tiering.trace import Trace, read_trace
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiering.policy import TierPolicy

ONLINE = Watermarks(1.0, 1.0)
POLICIES: list[TierPolicy] = [LruPolicy(), AgePolicy(), *map(HeatPolicy, PRESETS.values())]

Request = tuple[int, int]
"""Who, and how large."""


def requests() -> st.SearchStrategy[list[Request]]:
    """Draw requests for a few assets, each of one size."""
    sizes = st.lists(st.integers(0, 60), min_size=2, max_size=12)
    return sizes.flatmap(
        lambda some: st.lists(st.integers(0, len(some) - 1), max_size=200).map(
            lambda order: [(asset, some[asset]) for asset in order]
        )
    )


def lru_misses(order: Sequence[Request], capacity: int) -> list[bool]:
    """Return which requests a textbook's LRU misses."""
    hot: OrderedDict[int, int] = OrderedDict()
    missed = []
    for asset, size in order:
        missed.append(asset not in hot)
        if asset in hot:
            hot.move_to_end(asset)
        elif size <= capacity:
            while sum(hot.values()) + size > capacity:
                hot.popitem(last=False)
            hot[asset] = size
    return missed


@given(requests(), st.integers(1, 150))
def test_lru_is_lru(order: list[Request], capacity: int) -> None:
    """Request by request, also where all of them come at the same moment."""
    tier = HotTier(LruPolicy(), capacity, ONLINE)
    assert [not tier.request(0.0, *each) for each in order] == lru_misses(order, capacity)


@given(requests(), st.integers(1, 150), st.sampled_from(POLICIES), st.sampled_from([ONLINE, Watermarks(0.9, 0.5)]))
def test_the_least_goes_first(order: list[Request], capacity: int, policy: TierPolicy, marks: Watermarks) -> None:
    """Whoever is demoted has the least key of all that were hot, never more is used than there is, nothing is lost."""
    tier = HotTier(policy, capacity, marks)
    for number, (asset, size) in enumerate(order):
        before = dict(tier._hot)
        tier.request(float(number), asset, size)
        left = before.keys() - tier._hot.keys()
        stayed = before.keys() & tier._hot.keys()
        keys = tier._keys
        assert max((keys[each] for each in left), default=-1e99) <= min((keys[each] for each in stayed), default=1e99)
        assert tier.used == sum(tier._hot.values()) <= capacity
    tally = tier.tally
    assert tally.promoted_bytes - tally.demoted_bytes == tier.used
    assert tally.promotions - tally.demotions == len(tier)


@given(requests(), st.integers(1, 150), st.sampled_from(POLICIES))
def test_cut_promotes_less(order: list[Request], capacity: int, policy: TierPolicy) -> None:
    """Nothing comes in that would be the next to go."""
    tier = HotTier(policy, capacity, ONLINE, cut=True)
    for number, (asset, size) in enumerate(order):
        floor, was_hot = tier._floor, asset in tier._hot
        tier.request(float(number), asset, size)
        if asset in tier._hot and not was_hot and floor is not None:
            assert tier._keys[asset] >= floor


def test_what_is_larger_than_the_disk_passes_through() -> None:
    """It sends nothing else away."""
    tier = HotTier(LruPolicy(), 100, ONLINE)
    assert not tier.request(0.0, 1, 60)
    assert not tier.request(1.0, 2, 101)
    assert tier.request(2.0, 1, 60)
    assert not tier.request(3.0, 2, 101)


def test_a_new_size_is_taken_over() -> None:
    """Its owner wrote it anew on disk: a hit, and the next that needs room finds less of it."""
    tier = HotTier(LruPolicy(), 100, ONLINE)
    for seconds, asset, size in ((0.0, 1, 40), (1.0, 2, 40), (2.0, 1, 90)):
        tier.request(seconds, asset, size)
    assert tier.used == 130
    tier.request(3.0, 3, 10)
    assert tier._hot == {1: 90, 3: 10}


def test_the_warm_up_is_not_counted() -> None:
    """A fifth of the requests."""
    trace = Trace()
    for number in range(10):
        trace.add(number, "one", 7)
    told: list[int] = []
    tally = simulate(trace, LruPolicy(), 100, ONLINE, told=told.append)
    assert (tally.requests, tally.misses, tally.request_bytes) == (8, 0, 56)
    assert tally.object_miss_ratio == tally.byte_miss_ratio == 0.0
    assert told == [10]
    assert simulate(Trace(), LruPolicy(), 100, ONLINE).object_miss_ratio == 0.0


# --- traces


def lines(text: str) -> list[str]:
    """Return lines as a file gives them."""
    return text.splitlines(keepends=True)


def test_a_trace_is_read() -> None:
    """The footprint counts each asset once, at its last size."""
    trace, broken = read_trace(lines("time,id,size\n1,a,10\n2.5,b,5\n\n3,a,20\n"))
    assert (list(trace.seconds), list(trace.assets), list(trace.sizes)) == ([1, 2.5, 3], [0, 1, 0], [10, 5, 20])
    assert trace.footprint == 25
    assert (broken.count, broken.named) == (0, [])


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("1,a", "2 columns"),
        ("1,a,1,1", "4 columns"),
        ("x,a,1", "time 'x'"),
        ("nan,a,1", "time 'nan'"),
        ("inf,a,1", "time 'inf'"),
        ("1,,1", "id is empty"),
        ("1,a,-1", "size '-1'"),
        ("1,a,1.5", "size '1.5'"),
        ("1,a,99999999999999999999", "size '9"),
        ("1,a,", "size ''"),
    ],
)
def test_a_broken_row_is_named(row: str, wrong: str) -> None:
    """With its line; the others count."""
    trace, broken = read_trace(lines(f"time,id,size\n1,a,10\n{row}\n2,b,5"))
    assert len(trace) == 2
    assert broken.count == 1
    assert broken.named[0].startswith("line 3: ")
    assert wrong in broken.named[0]


def test_a_broken_row_is_named_by_the_line_that_it_begins_on() -> None:
    """An id in quotes may go over several lines, as names of files do."""
    trace, broken = read_trace(lines('time,id,size\n1,"a\nb",10\n\n2,"c\nd",x\n3,e\n'))
    assert len(trace) == 1
    assert [each.partition(":")[0] for each in broken.named] == ["line 5", "line 7"]


def test_not_all_broken_rows_are_named() -> None:
    """But all are counted."""
    _, broken = read_trace(lines("time,id,size\n" + "x\n" * 1000))
    assert (broken.count, len(broken.named)) == (1000, 20)


@pytest.mark.parametrize("text", ["", "1,a,10", "id,time,size\n1,a,10"])
def test_a_header_is_needed(text: str) -> None:
    """Without it nobody knows which column is what."""
    with pytest.raises(ValueError, match="line 1: the header should be time,id,size"):
        read_trace(lines(text))


# --- what the daemon does and what the simulator says


@settings(max_examples=30)
@given(requests().filter(bool), st.sampled_from(["heat", "lru", "age"]))
def test_the_simulator_sorts_as_the_index_does(order: list[Request], name: str) -> None:
    """The key that the simulator goes by is what the thermometer and the daemon's columns say."""
    policy: Any = {"heat": HeatPolicy(PRESETS["balanced"]), "lru": LruPolicy(), "age": AgePolicy()}[name]
    tier = HotTier(policy, 10**6, ONLINE)
    seen: dict[int, list[float]] = {}
    reads = Reads()
    heats: dict[int, float] = {}
    for number, (asset, size) in enumerate(order):
        hit = tier.request(float(number), asset, size)
        seen.setdefault(asset, []).append(float(number))
        reads.add(size, 10**6, misses=not hit)
        heats[asset] = HeatPolicy(PRESETS["balanced"]).after_access(
            heats.get(asset), size=size, seconds=0.0, reads=reads
        )
    expected = {
        "heat": heats,
        "lru": {asset: times[-1] for asset, times in seen.items()},
        "age": {asset: times[0] for asset, times in seen.items()},
    }[name]
    assert tier._keys == pytest.approx(expected)
