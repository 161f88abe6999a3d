"""Rules above heat: what they say, for whom, until when, and which cannot both hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place
from samples import DAY, NOW, a_proof, an_asset

from index.asset import RelPath
from index.lifecycle import State
from index.warmth import Use
from tiering.planner import Planner, Residence
from tiering.policies.lru import LruPolicy
from tiering.rules import Action, conflicts, rule

if TYPE_CHECKING:
    from pathlib import Path

    from index.asset import Asset

XMAS = an_asset(type="master", fields={"campaign": "xmas"}, tags={"team": "red"})
TOMORROW = "2027-01-16"
"""The day after NOW."""


def planner(*texts: str) -> Planner:
    """Return one for whom only rules count."""
    residence = Residence(cold_after=0.0, cool_down=0.0, min_residence=0.0)
    return Planner(residence, LruPolicy(), is_leased=lambda _: False, rules=[rule(text) for text in texts])


@pytest.mark.parametrize(
    "selector", ["type=master", "field.campaign=xmas", "campaign=xmas", "tag.team=red", "team=red"]
)
def test_who_is_meant_stays(selector: str) -> None:
    """By type, field or tag; the rule is named."""
    assert planner(f"{selector} hot").reason_to_stay(XMAS, now=NOW) == f"the rule '{selector} hot' keeps it"
    assert planner(f"{selector} hot").plan([XMAS], excess=10**9, reason="watermark", now=NOW) == []


@pytest.mark.parametrize(
    "selector", ["type=proxy", "field.team=red", "tag.campaign=xmas", "campaign=easter", "master=master"]
)
def test_who_is_not_meant_goes(selector: str) -> None:
    """A field is no tag, and another value is another."""
    assert planner(f"{selector} never demote").reason_to_stay(XMAS, now=NOW) is None


def test_a_rule_ends_with_its_day() -> None:
    """At its beginning, UTC."""
    ends = rule(f"type=master hot until {TOMORROW}").until
    assert NOW < ends < NOW + DAY
    asked = planner(f"type=master hot until {TOMORROW}")
    assert asked.reason_to_stay(XMAS, now=ends - 1)
    assert asked.reason_to_stay(XMAS, now=ends) is None


def test_a_person_overrides_hot_and_never_never() -> None:
    """As the words say."""
    assert planner("type=master hot").reason_to_stay(XMAS, now=NOW, by_hand=True) is None
    assert planner("type=master stay 9w").reason_to_stay(XMAS, now=NOW, by_hand=True) is None
    assert planner("type=master never demote").reason_to_stay(XMAS, now=NOW, by_hand=True)


def test_a_stay_is_after_upload_and_promotion() -> None:
    """Whichever was later."""
    asked = planner("type=master stay 7d")
    uploaded: Asset = replace(XMAS, proof=a_proof(at=NOW - 6 * DAY))
    assert asked.reason_to_stay(uploaded, now=NOW)
    assert asked.reason_to_stay(XMAS, now=NOW) is None
    assert asked.reason_to_stay(replace(XMAS, promoted_at=NOW - 6 * DAY), now=NOW)
    assert asked.reason_to_stay(replace(XMAS, promoted_at=NOW - 8 * DAY), now=NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hot",
        "type hot",
        "type=a b hot",
        "type=a warm",
        "type=a stay",
        "type=a stay 7y",
        "type=a prefer hot 0",
        "type=a prefer hot 10",
        "type=a prefer hot2",
        "=a hot",
        "type= hot",
        "type=a hot until",
        "type=a hot until tomorrow",
        "type=a hot until 2027-02-30",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the configuration's
        rule(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("type=a hot", "type=a prefer cold"),
        ("tag.x=a prefer cold", "x=a never demote"),
        ("x=a stay 7d", "field.x=a stay 9d"),
        ("x=a hot until 2027-01-01", "x=a hot"),
        ("x=a prefer hot", "x=a prefer cold"),
        ("x=a prefer hot 2", "tag.x=a prefer hot 3"),
    ],
)
def test_conflicts_are_found(one: str, other: str) -> None:
    """Both are named."""
    assert [(a.text, b.text) for a, b in conflicts([rule(one), rule("y=b hot"), rule(other)])] == [(one, other)]


def test_what_can_both_hold_is_no_conflict() -> None:
    """Other assets, or rules that add up."""
    texts = ["type=a hot", "type=b prefer cold", "field.x=a hot", "tag.x=a prefer cold", "type=a stay 7d"]
    assert not list(conflicts([rule(text) for text in texts]))
    assert rule("x=a prefer cold").action is Action.COLD


async def test_what_is_preferred_cold_leaves_first(tmp_path: Path) -> None:
    """However lately it was used; only when room is needed, and not what another rule keeps."""
    async with a_place(tmp_path).core(size_limit=20 * 4096) as core:
        core.planner.rules = [rule("kind=proxy prefer cold"), rule("type=master never demote")]
        for number in range(16):
            await core.hot(f"{number:02}", b"x" * 4096)
        for name, type in (("13", None), ("14", None), ("15", "master")):
            asset = await core.find(name)
            await core.catalog.describe(asset.id, type=type, fields={}, tags={"kind": "proxy"})
            await core.catalog.touch({asset.id: Use(core.clock() + 100, 9)})
        assert await core.keeper.tend() == 0
        await core.hot("16", b"x" * 4096)
        assert await core.keeper.tend() == 7 * 4096
        cold = {asset.path for asset in await core.assets() if asset.state is State.COLD}
        assert {"13", "14"} <= cold
        assert "15" not in cold


def test_grades_are_what_they_say() -> None:
    """One if none is said; the highest that holds counts, and what is old leaves in spite of it."""
    texts = [f"team=red prefer hot 3 until {TOMORROW}", "type=master prefer hot"]
    assert [rule(text).grade for text in (*texts, "type=a hot")] == [3, 1, 0]
    asked, ends = planner(*texts), rule(texts[0]).until
    assert (asked.grades(now=NOW), asked.grades(now=ends)) == ([0, 1, 3], [0, 1])
    asked.residence = replace(asked.residence, cold_after=1e12)
    for now, grade, goes in ((NOW, 0, 0), (NOW, 1, 0), (NOW, 3, 1), (ends, 0, 0), (ends, 1, 1)):
        assert len(asked.plan([XMAS], excess=1, reason="watermark", now=now, grade=grade)) == goes
    asked.residence = replace(asked.residence, cold_after=0.0)
    assert len(asked.plan([XMAS], excess=0, reason="watermark", now=NOW)) == 1


async def test_what_is_preferred_hot_leaves_grade_by_grade(tmp_path: Path) -> None:
    """However long ago it was used, and only once all others have left; explain names the rule."""
    async with a_place(tmp_path).core(size_limit=20 * 4096) as core:
        core.planner.rules = [rule("kind=a prefer hot"), rule("kind=b prefer hot 2")]
        for number in range(17):
            asset = await core.hot(f"{number:02}", b"x" * 4096)
            kind = "b" if number < 8 else "a" if number < 12 else "c"
            await core.catalog.describe(asset.id, type=None, fields={}, tags={"kind": kind})
            await core.catalog.touch({asset.id: Use(core.clock() + number, 1)})
        assert "'kind=b prefer hot 2' has it leave after" in "".join(
            (await core.inspector.explain(RelPath("00"))).reasons
        )
        await core.keeper.tend()
        left = {asset.path for asset in await core.assets() if core.on_disk(asset.path) is None}
        assert left == {"08", "09", "12", "13", "14", "15", "16"}, "five without a grade, then two of the first"
