"""The name of the request that is being answered: its client hears it, and whatever is logged on its account has it."""

from __future__ import annotations

import itertools
import re
import secrets
from contextvars import ContextVar
from typing import Final

HEADER: Final = "X-Request-Id"
CURRENT: Final[ContextVar[str]] = ContextVar("request", default="")
"""Empty where nobody asked. What a request begins, such as a promotion, keeps its name."""

_ACCEPTED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_LIFE: Final = secrets.token_hex(4)
_numbers: Final = itertools.count(1)


def begin(given: str | None) -> None:
    """Name the request that this task answers: as its client does, if that is a plain word, else by ourselves."""
    CURRENT.set(given if given is not None and _ACCEPTED.fullmatch(given) else f"{_LIFE}-{next(_numbers):x}")
