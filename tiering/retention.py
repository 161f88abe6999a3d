"""What is to go from the store because it is old, in words: `type=artifact field.kind=thumbnails expire after 90d`.

A rule is selectors, all of which must fit (`type=T`, `field.NAME=VALUE`, `tag.NAME=VALUE`), and `keep`, or `expire
after` so many days. The first rule that fits an asset counts. Pure: no clock, no store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from index.lifecycle import State
from index.listing import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from index.asset import Asset
    from index.expiring import Mark

RIGHT: Final = (
    "should be rules as in 'type=artifact field.kind=thumbnails expire after 90d' or 'tag.legal=hold keep': type=, "
    "field.NAME= or tag.NAME=, as many as are to fit at once, then keep, or expire after so many days (d) or weeks (w)"
)
_DAY: Final = 86_400.0
_UNITS: Final = {"d": _DAY, "w": 7 * _DAY}
_RULE: Final = re.compile(
    r"(?P<selectors>(?:[^=\s]+=\S+\s+)+)(?:keep|expire after (?P<count>[1-9]\d{0,4})(?P<unit>[dw]))"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `after` is the age in seconds at which its assets go; None where they stay for ever."""

    text: str
    type: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    after: float | None = None

    def fits(self, asset: Asset) -> bool:
        """Whether it is about the asset."""
        return (
            self.type in {None, asset.type}
            and self.fields.items() <= asset.fields.items()
            and self.tags.items() <= asset.tags.items()
        )

    def query(self) -> Query:
        """Return what finds its assets that can go."""
        return Query(states=(State.COLD,), type=self.type, fields=self.fields, tags=self.tags, pinned=False)


@dataclass(frozen=True, slots=True)
class Going:
    """An asset that is to go from the store at a moment, if nothing is done about it. `marked`: its grace time runs."""

    asset: Asset
    rule: str
    marked: bool
    at: float


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules, and for how long what is to go is only marked, in seconds."""

    rules: Sequence[Rule] = ()
    grace: float = 7 * _DAY

    def rule_for(self, asset: Asset) -> Rule | None:
        """Return the rule by which it is to go some day; None where it stays for ever.

        What is pinned, or on disk, or on its way, stays.
        """
        if asset.state is not State.COLD or asset.pinned or asset.proof is None:
            return None
        first = next((rule for rule in self.rules if rule.fits(asset)), None)
        return first if first is not None and first.after is not None else None

    def is_old(self, asset: Asset, *, now: float) -> Rule | None:
        """Return the rule by which it is to go now, once its grace time is over; None where it stays."""
        rule = self.rule_for(asset)
        return rule if rule is not None and now >= _old_at(asset, rule) else None

    def going(self, asset: Asset, mark: Mark | None, *, now: float, watched: float) -> Going | None:
        """Return when it goes; None where it stays. `watched` is how long the rules have been watched over."""
        rule = self.rule_for(asset)
        if rule is None:
            return None
        is_marked = mark is not None and mark.rule == rule.text and now >= _old_at(asset, rule)
        begun = now - (watched - mark.since) if is_marked and mark is not None else max(now, _old_at(asset, rule))
        return Going(asset, rule.text, is_marked, max(now, begun + self.grace))


def rule(text: str) -> Rule:
    """Return the rule that the text is. Raise ValueError where it is none."""
    found = _RULE.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(text)
    said: dict[str, dict[str, str]] = {"type": {}, "field": {}, "tag": {}}
    for selector in found["selectors"].split():
        left, _, value = selector.partition("=")
        kind, dot, name = left.partition(".")
        if kind not in said or (kind == "type") == bool(dot) or (dot and not name) or name in said[kind]:
            raise ValueError(text)
        said[kind][name] = value
    after = None if found["count"] is None else int(found["count"]) * _UNITS[found["unit"]]
    return Rule(text, said["type"].get(""), said["field"], said["tag"], after)


def _old_at(asset: Asset, rule: Rule) -> float:
    """Return when it is as old as the rule says: since its content was made, or came to the store if that was later."""
    proof = asset.proof
    born = max(proof.mtime_ns / 1e9, proof.at) if proof is not None else float("inf")
    return born + (rule.after or 0.0)
