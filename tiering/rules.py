"""Rules above heat, in words: `campaign=xmas hot until 2027-01-07`.

A rule is a selector, what holds for those assets, and, if it is to end, until when. The selector is `type=T`,
`field.NAME=VALUE`, `tag.NAME=VALUE`, or `NAME=VALUE` for a field or a tag of that name. What holds is one of

- `hot`: the policy does not demote it; a person may.
- `never demote`: nobody does.
- `stay 7d`: so long after its upload and after its promotion at least.
- `prefer cold`: it leaves before all others when room is needed.
- `prefer hot 3`: it leaves only once all of a lower grade have left; grades are 1 (if none is said) to 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Final

from index.lifecycle import State
from index.listing import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from index.asset import Asset

RIGHT: Final = (
    "should be rules as in 'campaign=xmas hot until 2027-01-07': type=, field.NAME=, tag.NAME= or NAME=VALUE, then "
    "hot, never demote, stay 7d, prefer cold or prefer hot 1 to 9, then, if it is to end, until YYYY-MM-DD"
)
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_RULE: Final = re.compile(
    r"(?P<selector>[^=\s]+=\S+)\s+(?P<action>hot|never demote|prefer cold|prefer hot(?: (?P<grade>[1-9]))?"
    r"|stay (?P<count>\d{1,6})(?P<unit>[smhdw]))"
    r"(?:\s+until (?P<until>\d{4}-\d\d-\d\d))?"
)


class Action(StrEnum):
    """What holds for the assets of a rule."""

    HOT = "hot"
    NEVER = "never demote"
    STAY = "stay"
    COLD = "prefer cold"
    WARM = "prefer hot"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `kind` is `type`, `field`, `tag`, or empty for a field or a tag; `seconds` is how long `stay` is.

    `grade` is that of `prefer hot`: who has a higher one leaves later.
    """

    text: str
    kind: str
    name: str
    value: str
    action: Action
    seconds: float = 0.0
    until: float = float("inf")
    grade: int = 0

    def covers(self, asset: Asset, *, now: float) -> bool:
        """Whether it holds for the asset now."""
        if now >= self.until:
            return False
        if self.kind == "type":
            return asset.type == self.value
        is_field = self.kind != "tag" and asset.fields.get(self.name) == self.value
        return is_field or (self.kind != "field" and asset.tags.get(self.name) == self.value)

    def queries(self) -> Iterator[Query]:
        """Yield what finds its assets that can leave the disk."""
        states, words = (State.REPLICATED,), {self.name: self.value}
        if self.kind == "type":
            yield Query(states=states, type=self.value, pinned=False)
        if self.kind in {"field", ""}:
            yield Query(states=states, fields=words, pinned=False)
        if self.kind in {"tag", ""}:
            yield Query(states=states, tags=words, pinned=False)


def rule(text: str) -> Rule:
    """Return the rule that the text is. Raise ValueError where it is none."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    selector, _, value = found["selector"].partition("=")
    kind, _, name = selector.partition(".") if selector.startswith(("field.", "tag.")) else ("", "", selector)
    return Rule(
        text=text,
        kind="type" if selector == "type" else kind,
        name=name,
        value=value,
        action=Action.STAY if found["count"] else Action(found["action"].removesuffix(f" {found['grade']}")),
        seconds=float(found["count"] or 0) * _SECONDS[found["unit"] or "s"],
        until=_moment(found["until"]) if found["until"] else float("inf"),
        grade=int(found["grade"] or found["action"] == Action.WARM),
    )


def _moment(date: str) -> float:
    """Return when a day begins, in UTC."""
    return datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()


def conflicts(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Yield each two rules that cannot both hold: for the same assets one to keep them and one to send them away.

    Two that say the same of the same assets until different times, or of different length, are such, too.
    """
    for one, other in combinations(rules, 2):
        if _is_same(one, other) and (one.action is other.action or Action.COLD in {one.action, other.action}):
            yield one, other


def _is_same(one: Rule, other: Rule) -> bool:
    kinds = {one.kind, other.kind}
    return (one.name, one.value) == (other.name, other.value) and (
        len(kinds) == 1 or ("" in kinds and "type" not in kinds)
    )


def reason_to_stay(rules: Sequence[Rule], asset: Asset, *, now: float, by_hand: bool) -> str | None:
    """Return the rule that keeps the asset on disk, in words; None where none does."""
    for each in rules:
        if each.covers(asset, now=now) and _keeps(each, asset, now=now, by_hand=by_hand):
            return f"the rule '{each.text}' keeps it"
    return None


def preference(rules: Sequence[Rule], asset: Asset, *, now: float) -> Rule | None:
    """Return the rule of the highest grade that prefers the asset hot; None where none does."""
    preferring = (each for each in rules if each.grade and each.covers(asset, now=now))
    return max(preferring, key=lambda each: each.grade, default=None)


def _keeps(each: Rule, asset: Asset, *, now: float, by_hand: bool) -> bool:
    match each.action:
        case Action.NEVER:
            return True
        case Action.HOT:
            return not by_hand
        case Action.STAY:
            since = max(asset.promoted_at, asset.proof.at if asset.proof else 0.0)
            return not by_hand and abs(now - since) < each.seconds
        case _:
            return False
