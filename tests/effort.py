"""How much of the long tests runs: TORTURE is unset in `make test`, `quick` for every submission, `long` by hand."""

from __future__ import annotations

import os
import random
from enum import Enum
from typing import TypeVar

Amount = TypeVar("Amount")


class Effort(Enum):
    """How long somebody is ready to wait."""

    TEST = "test"
    QUICK = "quick"
    LONG = "long"


EFFORT = Effort(os.environ.get("TORTURE", "test"))
SEED = int(os.environ.get("TORTURE_SEED", "0"))
"""From which all chance comes. Where none is given, every submission is judged by the same cases."""


def scaled(*, test: Amount, quick: Amount, long: Amount) -> Amount:
    """Return the amount for the effort in force."""
    return {Effort.TEST: test, Effort.QUICK: quick, Effort.LONG: long}[EFFORT]


def seeds(part: str, count: int) -> list[int]:
    """Return so many seeds for a part; each of them alone repeats its case."""
    chance = random.Random(f"{SEED} {part}")
    return [chance.randrange(10**9) for _ in range(count)]
