"""What came of asking one asset to move, and the errors that people are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is `done`, `unchanged`, `planned`, `started`, `refused`, `failed` or `unknown`; `reason` says why."""

    asset: Asset
    result: str
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether the asset moved."""
        return self.result == "done"


class TierError(Exception):
    """What was asked cannot be done; `code` is stable, `hint` says what to do."""

    code = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConflictError(TierError):
    """The asset is in a state in which this makes no sense, or is busy."""

    code = "conflict"


class RestoringError(TierError):
    """Its object is on its way out of an archive; `expected` is when, in seconds since the epoch."""

    code = "restoring"

    def __init__(self, message: str, *, expected: float) -> None:
        super().__init__(message, hint="ask again then; it comes back by itself")
        self.expected = expected


class NoSpaceError(TierError):
    """There is no room for it on the disk, and none could be made."""

    code = "no-space"


class DamagedError(TierError):
    """Its remote copy is missing or wrong: there is nothing right to serve."""

    code = "damaged"


class IgnoredError(TierError):
    """The configuration says that files of this name are not assets."""

    code = "ignored"
