"""Heat: one float an asset that says what a count of faded accesses would, and an order that time does not change."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf, log
from typing import TYPE_CHECKING

import pytest
from core import MONTH, a_place, until
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW, an_asset

from index.asset import RelPath
from index.errors import CorruptIndexError
from index.warmth import Use
from tiering.policies.age import AgePolicy
from tiering.policies.heat import PRESETS, HeatPolicy, Preset
from tiering.policies.lru import LruPolicy
from tiering.policy import Reads
from tiering.thermometer import HALF_LIFE_SECONDS, Thermometer, from_fact, to_fact

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

COUNTING = Preset(bytes=1.0, half_life=4.0, first=1.0, most=inf)


def after(volumes: float) -> Reads:
    """Return that so much was read."""
    return Reads(volumes=volumes)


def heat_of(policy: HeatPolicy, moments: list[float], size: int = 1000) -> float:
    """Return the heat after one access at each of these times, in volumes."""
    heat = None
    for moment in moments:
        heat = policy.after_access(heat, size=size, seconds=0.0, reads=after(moment))
    assert heat is not None
    return heat


moments = st.lists(st.floats(0, 500), min_size=1, max_size=30).map(sorted)


@given(moments, st.floats(0, 100))
def test_it_is_a_count_of_faded_accesses(at: list[float], later: float) -> None:
    """Each counts half as much after every half-life, and nothing had to be aged for it."""
    policy, now = HeatPolicy(COUNTING), at[-1] + later
    expected = sum(0.5 ** ((now - moment) / COUNTING.half_life) for moment in at)
    assert policy.warmth(heat_of(policy, at), size=1000, reads=after(now)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=[*PRESETS])
@given(one=moments, other=moments)
def test_an_access_warms_whatever_came_before(preset: Preset, one: list[float], other: list[float]) -> None:
    """Heat never falls with an access, and is finite after any."""
    policy = HeatPolicy(preset)
    heat = heat_of(policy, one)
    later = max(one[-1], other[-1])
    assert policy.after_access(heat, size=1000, seconds=0.0, reads=after(later)) >= heat
    assert policy.after_access(-1e9, size=0, seconds=0.0, reads=after(later)) > -1e9


@pytest.mark.parametrize("preset", PRESETS.values(), ids=[*PRESETS])
@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.floats(1.0, 6.0))
def test_heat_is_what_would_be_missed_by_byte(preset: Preset, one: int, other: int, reads: float) -> None:
    """Requests, and bytes by those of a mean read: so an asset of that size needs fewer reads than one far larger."""
    policy, now = HeatPolicy(preset), Reads(volumes=3.0, count=2000, size=2000 * 5_000_000)
    worth = [
        exp(policy.of_warmth(reads, size=size, reads=now) - log(2) / preset.half_life * 3) for size in (one, other)
    ]
    missed = [reads * (1 + preset.bytes * (size + 1) / 5_000_000) / (size + 1) for size in (one, other)]
    assert worth == pytest.approx(missed)
    assert policy.warmth(policy.of_warmth(reads, size=one, reads=now), size=one, reads=now) == pytest.approx(reads)


def test_what_everybody_wanted_counts_no_more_than_so_much() -> None:
    """A thousand reads are forgotten as fast as six."""
    policy = HeatPolicy(PRESETS["balanced"])
    heat = policy.after_access(None, size=9, seconds=0.0, reads=Reads(), times=1000)
    assert policy.warmth(heat, size=9, reads=Reads()) == pytest.approx(6.0)
    assert policy.warmth(heat, size=9, reads=after(5.0)) == pytest.approx(1.5)


def test_a_repeat_makes_a_first_access_good() -> None:
    """At once, both count in full but for the price of the newest; long after, the second is a first again."""
    policy = HeatPolicy(PRESETS["bytes"])
    at_once, late = heat_of(policy, [5.0, 5.0]), heat_of(policy, [5.0, 5.0 + 1000.0])
    assert policy.warmth(at_once, size=1000, reads=after(5.0)) == pytest.approx(1.1)
    assert policy.warmth(late, size=1000, reads=after(1005.0)) == pytest.approx(0.1)


def test_several_at_once_are_as_one_after_another() -> None:
    """A batch counts what it holds."""
    policy = HeatPolicy(COUNTING)
    together = policy.after_access(None, size=9, seconds=0.0, reads=after(2.0), times=5)
    assert together == pytest.approx(heat_of(policy, [2.0] * 5, size=9))


def test_the_other_orders() -> None:
    """Least recently used by the last access, age by the first."""
    lru, age = LruPolicy(), AgePolicy()
    assert lru.after_access(1.0, size=1, seconds=7.0, reads=after(0.0)) == 7.0
    assert age.after_access(1.0, size=1, seconds=7.0, reads=after(0.0)) == 1.0
    assert age.after_access(None, size=1, seconds=7.0, reads=after(0.0)) == 7.0


# --- the clock of bytes


def a_thermometer(preset: str = "balanced") -> Thermometer:
    """Return one for a hot tier of 10,000 bytes."""
    meter = Thermometer(HeatPolicy(PRESETS[preset]), clock=lambda: NOW)
    meter.capacity = 10_000
    return meter


def test_the_clock_goes_by_bytes() -> None:
    """As many as the hot tier holds are one volume; what is larger than the hot tier is one, too."""
    meter = a_thermometer()
    meter.after_access(None, 2500, 2, 0)
    assert meter.reads.volumes == 0.5
    meter.after_access(None, 10**9, 1, 0)
    assert meter.reads.volumes == 1.5
    meter.after_access(None, 5000, 3, 1)
    assert meter.reads.volumes == pytest.approx(2.55), "what was not on disk counts a tenth"
    meter.capacity = 0
    meter.after_access(None, 0, 1, 0)
    assert meter.reads.volumes == pytest.approx(2.55)


def test_the_mean_goes_with_what_is_read() -> None:
    """A thousand reads of a MiB are taken for granted, and a million later ones outweigh whatever came before."""
    reads = Reads()
    assert reads.mean_size == 1 << 20
    reads.add(1 << 30, 1, times=1000)
    assert reads.mean_size == pytest.approx(((1 << 20) + (1 << 30)) / 2)
    for _ in range(40):
        reads.add(10, 1, times=1 << 19)
    assert reads.mean_size == pytest.approx(10, rel=0.01)
    assert reads.count <= 1 << 20
    for _ in range(3000):
        reads.add(0, 1, times=1 << 19)
    assert reads.mean_size == 1.0


def test_a_newcomer_is_as_warm_as_it_was_lately_used() -> None:
    """Of two that tierd did not know, the one that was used later stays longer."""
    meter = a_thermometer()
    fresh, older = meter.of_newcomer(1000, NOW, 0), meter.of_newcomer(1000, NOW - HALF_LIFE_SECONDS, 0)
    assert fresh == meter.policy.after_access(None, size=1000, seconds=0.0, reads=Reads())
    assert fresh - older == pytest.approx(log(2))
    assert meter.of_newcomer(1000, NOW + MONTH, 0) == fresh, "a clock that was set back makes nothing hotter"


@given(moments)
def test_another_preset_knows_the_same_accesses(at: list[float]) -> None:
    """What was worth so many accesses just now is worth as many by the other arithmetic."""
    meter, before = a_thermometer("bytes"), HeatPolicy(PRESETS["requests"])
    meter.reads = after(at[-1])
    heat = heat_of(before, at)
    converted = meter.converter(before)(heat, 1000)
    warmth = before.warmth(heat, size=1000, reads=meter.reads)
    assert meter.policy.warmth(converted, size=1000, reads=meter.reads) == pytest.approx(warmth)


def test_what_is_kept_is_read_again() -> None:
    """The clock, the preset, and a change of preset that was under way."""
    one, other = PRESETS["bytes"], PRESETS["requests"]
    reads = Reads(7.25, 2.0, 3.0)
    assert from_fact(to_fact(reads, one)) == (reads, one, None, 0)
    assert from_fact(to_fact(reads, one, before=other, row=9)) == (reads, one, other, 9)
    for text in ("", "7", "{}", '{"reads": [1, 1, 1], "preset": [1], "before": null, "row": 0}'):
        with pytest.raises(CorruptIndexError):
            from_fact(text)


# --- in the index


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def read(core: Core, path: str, times: int = 1) -> Asset:
    """Read an asset so often, and have it written down."""
    for _ in range(times):
        core.accesses.record(await core.find(path), hit=True)
    await core.accesses.flush()
    return await core.find(path)


def heat(asset: Asset) -> float:
    """Return the heat, which there is."""
    assert asset.heat is not None
    return asset.heat


async def test_heat_survives_demotion_and_restarts(place: Place) -> None:
    """What comes back is not a stranger, and the clock goes on where it stood."""
    async with place.core(size_limit=100_000) as core:
        await core.accesses.prepare()
        await core.hot("a", b"x" * 5000)
        before = await read(core, "a", 4)
        assert core.thermometer.reads.volumes == pytest.approx(0.2)
        await core.demoter.demote(await core.find("a"), reason="request")
        assert core.on_disk("a") is None
        assert (await core.find("a")).heat == before.heat
    async with place.core(size_limit=100_000) as core:
        await core.accesses.prepare()
        assert core.thermometer.reads.volumes == pytest.approx(0.2)
        assert (await core.find("a")).heat == before.heat
        assert core.thermometer.warmth(before) == pytest.approx(3.1, rel=0.15)


async def test_what_the_store_served_moves_the_clock_less(place: Place) -> None:
    """One look at all that is cold ages nothing that is hot; the same bytes from disk do."""
    async with place.core(size_limit=100_000) as core:
        await core.accesses.prepare()
        await core.cold("a", b"x" * 5000)
        for expected in (0.005, 0.055):
            await core.read("a")
            await until(lambda: len(core.promoter) == 0)
            await core.accesses.flush()
            assert core.thermometer.reads.volumes == pytest.approx(expected)
        await core.demoter.demote(await core.find("a"), reason="request")
        assert (await core.tiers.open(RelPath("a"), wait=20.0)).ready
        await core.accesses.flush()
        assert core.thermometer.reads.volumes == pytest.approx(0.06)


async def test_another_preset_measures_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next start, page by page; the order among assets of one size stays."""
    monkeypatch.setattr("tiering.accesses.PAGE", 2)
    async with place.core(size_limit=100_000) as core:
        await core.accesses.prepare()
        for name in "abcde":
            await core.hot(name, b"x" * 100)
            await read(core, name, ord(name) - 95)
        before = [await core.find(name) for name in "abcde"]
        warmths = [core.thermometer.warmth(each) for each in before]
    async with place.core(size_limit=100_000, preset="requests") as core:
        await core.accesses.prepare()
        after = [await core.find(name) for name in "abcde"]
        assert [core.thermometer.warmth(each) for each in after] == pytest.approx(warmths)
        assert [each.heat for each in after] != [each.heat for each in before]
        await core.accesses.prepare()
        assert [await core.find(name) for name in "abcde"] == after, "once"


async def test_newcomers_get_their_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many; before that no order by heat has them."""
    monkeypatch.setattr("tiering.accesses.PAGE", 2)
    async with place.core() as core:
        for name in "abcde":
            await core.hot(name)
        await core.accesses.receive()
        assert (await core.find("a")).heat is None, "nobody measures yet"
        await core.accesses.prepare()
        await core.accesses.receive()
        page, _ = await core.catalog.candidates(order=("heat",), limit=10)
        assert {asset.path for asset in page} == set("abcde")


async def test_who_reads_past_us_warms_too(place: Place) -> None:
    """An access time that moved on is an access: the scan sees it, and so does the demoter."""
    async with place.core(size_limit=100_000) as core:
        await core.accesses.prepare()
        await core.hot("a")
        before = heat(await read(core, "a"))
        await core.catalog.touch({(await core.find("a")).id: Use(core.clock() + 5, 0)})
        once = heat(await core.find("a"))
        assert once > before
        await core.catalog.touch({(await core.find("a")).id: Use(core.clock() - 5, 0)})
        assert (await core.find("a")).heat == once, "what was known is no news"


async def test_the_least_wanted_leave(place: Place) -> None:
    """Not those that were used longest ago: one look at everything sends nothing away that is wanted."""
    async with place.core(size_limit=20 * 4096, policy="heat") as core:
        await core.accesses.prepare()
        for number in range(18):
            await core.hot(f"{number:02}", b"x" * 4096)
        for number in range(9):
            await read(core, f"{number:02}", 3)
        for number in range(9, 18):
            await read(core, f"{number:02}")
        await core.keeper.tend()
        hot = [asset.path for asset in await core.assets() if core.on_disk(asset.path) is not None]
        assert len(hot) == 10
        assert {f"{number:02}" for number in range(9)} <= set(hot)


async def test_what_is_old_leaves_wherever_it_is_in_the_order(place: Place) -> None:
    """However hot it once was: after a month without a use, and with all the room in the world."""
    async with place.core(policy="heat") as core:
        await core.accesses.prepare()
        await core.hot("loved")
        await read(core, "loved", 1000)
        await core.hot("fresh")
        core.clock.ahead = MONTH + 10
        await read(core, "fresh")
        assert await core.keeper.tend() > 0
        assert core.on_disk("loved") is None
        assert core.on_disk("fresh") is not None
        assert core.witness.demotions == {"age": 1}


def test_a_key_is_told_by_its_asset() -> None:
    """What has no heat is worth no access."""
    meter = a_thermometer()
    assert meter.warmth(an_asset(heat=None)) == 0.0
    assert meter.warmth(
        replace(an_asset(), heat=meter.policy.of_warmth(2.5, size=1000, reads=meter.reads))
    ) == pytest.approx(2.5)
