"""What a month costs: arithmetic that a person can repeat, and counts that outlive a stop."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place

from index.lifecycle import State
from tiering.bill import Standing, Usage, bill, by_class, total
from tiering.meter import LISTED, NAME, Meter, Tally
from tiering.prices import GIB, Prices
from tiering.toll import Fare, Toll

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core

DAY = 86_400.0
START = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
LENGTH = 30 * DAY
PRICES = Prices(standard=1, standard_ia=0.5, glacier_ir=0.25, put=10, get=1, egress=2, disk=4)
KEPT = Standing(disk=2 * GIB, assets=5 * GIB, stored={"STANDARD": 4 * GIB, "GLACIER_IR": 4 * GIB})


def used(days: float) -> Usage:
    """What is counted of so many days of keeping."""
    return Usage.begin(START).keep(KEPT, START + days * DAY)


def test_what_is_kept_is_paid_by_time_and_class() -> None:
    """Ten days of thirty: a third of a month, and the rest of it is foreseen."""
    found = bill(used(10), KEPT, PRICES, START + 10 * DAY)
    assert found.so_far == pytest.approx({"storage": 5 / 3, "disk": 8 / 3, "requests": 0, "egress": 0})
    assert found.forecast == pytest.approx({"storage": 5, "disk": 8, "requests": 0, "egress": 0})
    assert total(found.forecast) == pytest.approx(13)
    assert (found.month, found.since) == ("2026-11", START)


def test_requests_and_bytes_go_on_as_they_did() -> None:
    """Writes, reads and what leaves the store each have their price."""
    usage = used(10)
    usage.writes, usage.reads, usage.read_bytes = 7, 3, 3 * GIB
    found = bill(usage, KEPT, PRICES, START + 10 * DAY)
    assert found.so_far["requests"] == pytest.approx(0.07 + 0.003)
    assert found.so_far["egress"] == pytest.approx(6)
    assert found.forecast["egress"] == pytest.approx(18)


def test_everything_hot_and_everything_cold() -> None:
    """All on disk costs the disk for all; nothing on disk costs the reading of all that is asked for."""
    usage = used(10)
    usage.served, usage.served_bytes, usage.writes = 1000, GIB, 1000
    found = bill(usage, KEPT, PRICES, START + 10 * DAY)
    assert found.all_hot == pytest.approx(5 + 30 + 5 * 4)
    assert found.all_cold == pytest.approx(5 + 30 + 3 * (1 + 2))


def test_an_hour_is_not_taken_for_a_day() -> None:
    """What the first upload of everything costs does not go on for the whole month."""
    usage = used(1 / 24)
    usage.writes = 1
    left = 30 - 1 / 24
    found = bill(usage, KEPT, PRICES, START + DAY / 24)
    assert found.forecast["requests"] == pytest.approx(0.01 + left * 0.01)


def test_a_new_month_begins_at_its_beginning() -> None:
    """Also where nobody counted for a while: the bytes were kept meanwhile."""
    usage = used(10).keep(KEPT, START + LENGTH + DAY)
    assert (usage.month, usage.since, usage.writes) == ("2026-12", START + LENGTH, 0)
    assert usage.disk == pytest.approx(2 * GIB * DAY)


def test_a_clock_that_goes_back_costs_nothing() -> None:
    """And nothing is given back."""
    usage = used(10)
    assert usage.keep(KEPT, START + 9 * DAY).disk == 2 * GIB * 10 * DAY
    assert usage.keep(KEPT, START + 10 * DAY).disk == 2 * GIB * 10 * DAY


@pytest.mark.parametrize(
    ("storage_class", "price"), [("NEARLINE", 0.5), ("COLD", 0.25), ("HOT", 1), ("REDUCED_REDUNDANCY", 1), ("PUT", 0)]
)
def test_classes_of_others(storage_class: str, price: float) -> None:
    """They have the price of what is most like them; no other price is taken for that of a class."""
    kept = Standing(0, 0, {storage_class: GIB})
    assert bill(Usage.begin(START), kept, PRICES, START).forecast["storage"] == pytest.approx(price)


def test_what_came_since_the_list() -> None:
    """It is in the class of new objects; more cannot have gone than there was."""
    assert by_class(Counter({"A": 5, "B": 1}), unlisted=2, default="B") == {"A": 5, "B": 3}
    assert by_class(Counter({"A": 5}), unlisted=-2, default="B") == {"A": 5, "B": 0}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"month": "1970-01"}',
        '{"month": "x", "since": 0, "last": 0}',
        '{"month": "1970-01", "since": 1, "last": 0}',
    ],
)
def test_a_document_that_is_none(text: str) -> None:
    """It is refused, not counted on."""
    with pytest.raises(ValueError, match="not what was counted of a month"):
        Usage.from_document(json.loads(text))


def a_meter(core: Core, tally: Tally, *, clock: Any, toll: Toll | None = None) -> Meter:
    """Return a meter of a core."""
    return Meter(core.catalog, core.store, tally, prices=PRICES, default_class="STANDARD", toll=toll, clock=clock)


async def test_what_was_counted_outlives_a_stop(tmp_path: Path) -> None:
    """Counts are kept in the index, and go on from there; what is of another month, or makes no sense, is not."""
    now = START + DAY

    def clock() -> float:
        return now

    async with a_place(tmp_path).core() as core:
        await core.cold("a/f.jpg", b"x" * 100)
        tally, toll = Tally(clock=clock), Toll()
        meter = a_meter(core, tally, clock=clock, toll=toll)
        for status in (200, 412, 503, 0):
            toll.answered(Fare.WRITE, status)
        now += 10
        meter.beat()
        await meter._save()
        assert (tally.usage.writes, tally.usage.stored) == (2, {"STANDARD": 1000.0})
        again = Tally(clock=clock)
        again.usage.reads = 1
        await a_meter(core, again, clock=clock)._restore()
        assert (again.usage.writes, again.usage.reads, again.usage.since) == (2, 1, START + DAY)
        now += LENGTH
        later = Tally(clock=clock)
        await a_meter(core, later, clock=clock)._restore()
        assert (later.usage.writes, later.usage.month) == (0, "2026-12")
        await core.catalog.remember(NAME, "no json")
        await a_meter(core, later, clock=clock)._restore()
        assert later.usage.month == "2026-12"


async def test_what_is_in_which_class_is_listed(tmp_path: Path) -> None:
    """All that lies there is paid for, whether an asset needs it or not."""
    async with a_place(tmp_path).core() as core:
        asset = await core.cold("a/f.jpg", b"x" * 100)
        assert asset.state is State.COLD
        meter = a_meter(core, Tally(clock=core.clock), clock=core.clock)
        meter._listed = Counter({"GLACIER_IR": 10})
        assert await meter._list()
        assert meter._standing() == Standing(0, 100, {"STANDARD": 100})


async def test_a_start_is_no_reason_to_list_everything(tmp_path: Path) -> None:
    """What was found is remembered for a day, whatever was written there before."""
    async with a_place(tmp_path).core() as core:
        await core.cold("a/f.jpg", b"x" * 100)
        meter = a_meter(core, Tally(clock=core.clock), clock=core.clock)
        assert await meter._list()
        for text, known in ((None, {"STANDARD": 100}), ("{}", {}), ("no json", {})):
            if text is not None:
                await core.catalog.remember(LISTED, text)
            again = a_meter(core, Tally(clock=core.clock), clock=core.clock)
            await again._restore()
            assert again._listed == known
            assert (again._list_at > core.clock()) is bool(known)
