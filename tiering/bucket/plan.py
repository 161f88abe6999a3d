"""What would change: from the documents as they are and the rules, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tiering.bucket.documents import DeniedError, NotSupportedError
from tiering.bucket.rule import TakenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiering.bucket.documents import Content
    from tiering.bucket.rule import Rule

Found = dict[str, "Content | NotSupportedError | DeniedError"]
"""What was read, by the documents' names; one that could not be read has the reason in its place."""


class Outcome(StrEnum):
    """What becomes of a rule."""

    UNCHANGED = "unchanged"
    PLANNED = "planned"
    DONE = "done"
    UNSUPPORTED = "not supported here"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to happen, or has happened, to one rule. `detail` is what should be, or what is in the way."""

    rule: str
    outcome: Outcome
    detail: str
    before: Content | None = None
    after: Content | None = None


def plan(rules: Sequence[Rule], found: Mapping[str, Content | NotSupportedError | DeniedError]) -> list[Step]:
    """Return a step for each rule that is wished for, and for what is left of one that is not."""
    steps = [judge(rule, found[rule.document.name]) for rule in rules]
    return [step for rule, step in zip(rules, steps, strict=True) if rule.wished or step.outcome is Outcome.PLANNED]


def judge(rule: Rule, found: Content | NotSupportedError | DeniedError) -> Step:
    """Return what is to happen to one rule, given its document."""
    if isinstance(found, NotSupportedError):
        return Step(rule.name, Outcome.UNSUPPORTED, rule.wish)
    if isinstance(found, DeniedError):
        return denied(rule, found)
    try:
        amended = rule.amended(found)
    except TakenError as error:
        return Step(rule.name, Outcome.FAILED, str(error))
    if amended == found:
        return Step(rule.name, Outcome.UNCHANGED, rule.wish)
    wish = rule.wish if rule.wished else "the rule that bears our name is taken away: nobody wishes for it"
    return Step(rule.name, Outcome.PLANNED, wish, found, amended)


def denied(rule: Rule, error: DeniedError) -> Step:
    """Return the step of a rule whose document we may not see, or not write."""
    return Step(rule.name, Outcome.DENIED, f"{error} is not allowed: {rule.wish}")
