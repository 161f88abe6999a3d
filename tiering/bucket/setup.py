"""Making a bucket what it is wished to be: looked at in full before anything is changed, then rule by rule.

A rule is read again right before it is written, so that what others wrote meanwhile stays; and once more after, since
a store may take what it does not keep. What may lock us out is tried at once, and taken back where it does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiering.bucket import place, trial
from tiering.bucket.documents import DeniedError, NotSupportedError
from tiering.bucket.plan import Found, Outcome, Step, denied, judge, plan
from tiering.bucket.rules import rules_for
from tiering.store import RefusedError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tiering.bucket.documents import Content
    from tiering.bucket.rule import Rule
    from tiering.bucket.wishes import Wishes
    from tiering.store import Store
    from tiering.stores.s3_requests import Requests

BUCKET = "bucket"
"""The name of the first step: that there is one."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen and what would be done, the bucket itself first."""

    exists: bool
    steps: Sequence[Step]

    @property
    def pending(self) -> list[Step]:
        """The steps that would change something."""
        return [step for step in self.steps if step.outcome is Outcome.PLANNED]


class Setup:
    """One bucket, and what is wished of it. `store` is the same bucket, to try it with."""

    def __init__(self, requests: Requests, store: Store, wishes: Wishes) -> None:
        self._requests = requests
        self._store = store
        self._wishes = wishes
        self._rules = rules_for(wishes)

    async def survey(self) -> Survey:
        """Look at all that there is. Raise RefusedError where the bucket is not ours to use, StoreError for weather."""
        exists = await place.is_there(self._requests)
        if not exists:
            place.check_name(self._wishes.bucket)
        found: Found = {}
        for rule in self._rules:
            if rule.document.name not in found:
                found[rule.document.name] = await self._look(rule) if exists else {}
        where = f"s3://{self._wishes.bucket} in {self._wishes.region}"
        first = Step(BUCKET, Outcome.UNCHANGED if exists else Outcome.PLANNED, where)
        return Survey(exists, [first, *plan(self._rules, found)])

    async def apply(self, survey: Survey) -> AsyncIterator[Step]:
        """Do what the survey says, and yield what became of each step.

        Raise RefusedError, with nothing changed in a bucket that is there, where it cannot be used as it is.
        """
        if not survey.exists:
            await place.make(self._requests)
        fault = await trial.failure(self._store)
        if fault:
            raise RefusedError(f"no object can be written, read and removed: {fault}", hint="no rule was changed")
        for step in survey.steps:
            if step.outcome is not Outcome.PLANNED:
                yield step
            elif step.rule == BUCKET:
                yield replace(step, outcome=Outcome.DONE)
            else:
                yield await self._change(next(rule for rule in self._rules if rule.name == step.rule))

    async def _look(self, rule: Rule) -> Content | NotSupportedError | DeniedError:
        try:
            return await rule.document.read(self._requests)
        except (NotSupportedError, DeniedError) as error:
            return error

    async def _change(self, rule: Rule) -> Step:
        try:
            step = judge(rule, await self._look(rule))
            if step.after is None:
                return step
            await rule.document.write(self._requests, step.after)
            # First of all: what is read of the bucket may be refused by the very rule that locks us out.
            fault = await trial.failure(self._store) if rule.tried else ""
            if fault:
                return Step(rule.name, Outcome.FAILED, f"{await self._take_back(rule, step)}: {fault}")
            return await self._confirm(rule, step)
        except NotSupportedError:
            return Step(rule.name, Outcome.UNSUPPORTED, rule.wish)
        except DeniedError as error:
            return denied(rule, error)
        except StoreError as error:
            return Step(rule.name, Outcome.FAILED, error.advice)

    async def _confirm(self, rule: Rule, step: Step) -> Step:
        """See that the rule is there now."""
        if judge(rule, await rule.document.read(self._requests)).outcome is Outcome.PLANNED:
            return Step(rule.name, Outcome.UNSUPPORTED, f"{rule.wish}: the store took this, and does not have it")
        return replace(step, outcome=Outcome.DONE)

    async def _take_back(self, rule: Rule, step: Step) -> str:
        try:
            await rule.document.write(self._requests, step.before or {})
        except (NotSupportedError, DeniedError, StoreError) as error:
            return f"the bucket does not serve with it, and it could NOT be taken back ({error}); do that by hand"
        return "taken back, since the bucket does not serve with it"
