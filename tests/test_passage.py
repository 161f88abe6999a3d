"""Admission: what would be the next to go is read through, and what was sent away too early is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from core import a_place, until
from samples import NOW, an_asset

from index.asset import AssetId, RelPath
from index.lifecycle import State
from tiering import departures as module
from tiering.arrival import HELD_BACK
from tiering.departures import Departures
from tiering.observer import SilentObserver
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.store import UnavailableError
from tiering.stores.faulty import Damage, Fail
from tiering.thermometer import Thermometer

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

CONTENT = b"c" * (HELD_BACK + 100)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def full(core: Core) -> None:
    """Have something loved leave the disk, so that nothing less loved comes in."""
    await core.accesses.prepare()
    loved = await core.hot("loved")
    for _ in range(50):
        core.accesses.record(loved, hit=True)
    await core.accesses.flush()
    core.departures.left(await core.find("loved"))


async def test_what_would_go_next_is_read_through(place: Place) -> None:
    """Its bytes are right, and it stays cold; its heat rises all the same."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        assert await core.read("a.jpg") == CONTENT
        assert await core.state("a.jpg") is State.COLD
        assert core.on_disk("a.jpg") is None
        assert core.witness.admissions == {"streamed": 1}
        await core.accesses.flush()
        assert (await core.find("a.jpg")).access_count == 1


async def test_what_is_wanted_often_enough_comes_in(place: Place) -> None:
    """It is as warm as what left last is by now."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        core.thermometer.reads.volumes += 40
        for _ in range(6):
            core.accesses.record(await core.find("a.jpg"), hit=False)
        await core.accesses.flush()
        assert await core.read("a.jpg") == CONTENT
        await until(lambda: len(core.promoter) == 0)
        assert await core.state("a.jpg") is State.REPLICATED
        assert core.witness.admissions == {"promoted": 1}


async def test_what_is_opened_always_comes_in(place: Place) -> None:
    """An open needs a file; so does a part."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        assert (await core.tiers.open(RelPath("a.jpg"), wait=20.0)).ready
        assert core.witness.admissions == {}


async def test_without_the_rule_all_come_in(place: Place) -> None:
    """As it is by default."""
    async with place.core() as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        assert await core.read("a.jpg") == CONTENT
        await until(lambda: len(core.promoter) == 0)
        assert await core.state("a.jpg") is State.REPLICATED
        assert core.witness.admissions == {}


async def test_an_empty_asset_passes(place: Place) -> None:
    """All of nothing, proven."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", b"")
        await full(core)
        assert await core.read("a.jpg") == b""


async def test_wrong_bytes_never_pass_whole(place: Place) -> None:
    """Who reads is told before the end, and the asset is found damaged."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        core.store.script = [Damage(change=lambda body: b"d" * len(body), times=None)]
        with pytest.raises(UnavailableError, match=r"a\.jpg could not be read whole"):
            await core.read("a.jpg")
        await until(lambda: len(core.promoter) == 0)
        assert await core.state("a.jpg") is State.DAMAGED


async def test_a_store_that_is_down_is_weather(place: Place) -> None:
    """It says nothing about the asset."""
    async with place.core(cut=True) as core:
        await core.cold("a.jpg", CONTENT)
        await full(core)
        core.store.script = [Fail(operation="get", error=UnavailableError("down"), times=None)]
        with pytest.raises(UnavailableError, match="down"):
            await core.read("a.jpg")
        assert await core.state("a.jpg") is State.COLD


# --- what left too early


class Regretful(SilentObserver):
    """Remembers what was regretted."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def regretted(self, asset: object) -> None:
        """See Observer."""
        self.paths.append(asset.path)  # type: ignore[attr-defined]


def test_too_early_is_within_a_half_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each departure once, and only as many are remembered as there is memory for."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    meter, observer = Thermometer(HeatPolicy(PRESETS["bytes"]), clock=lambda: NOW), Regretful()
    departures = Departures(meter, observer=observer)
    some = [an_asset(id=AssetId(name * 32), path=RelPath(name), heat=1.0) for name in "abcd"]
    for asset in some[:3]:
        departures.left(asset)
    meter.reads.volumes += 2.4
    for asset in (*some, some[1]):
        departures.asked(asset)
    assert observer.paths == ["b", "c"]
    departures.left(some[3])
    meter.reads.volumes += 2.5
    departures.asked(some[3])
    assert observer.paths == ["b", "c"]


async def test_a_bout_is_remembered(place: Place) -> None:
    """Who asks for what the keeper has just sent away is heard."""
    async with place.core(size_limit=4 * 4096, policy="heat") as core:
        await core.accesses.prepare()
        for name in "abcd":
            await core.hot(name, b"x" * 4096)
        assert await core.keeper.tend() > 0
        cold = [asset.path for asset in await core.assets() if asset.state is State.COLD]
        await core.tiers.open(cold[0], wait=20.0)
        assert core.witness.regrets == cold[:1]
