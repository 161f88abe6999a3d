"""The brake: when too much is missing at once, the disk is doubted and not the files.

Nothing is removed from the index and nothing demoted until a person has looked, or everything is found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_ALWAYS_ALLOWED: Final = 10
_ALLOWED_SHARE: Final = 100  # one in


@dataclass(frozen=True, slots=True)
class Brake:
    """Whether it is on: since when, why, and how many files were missing."""

    since: float | None = None
    reason: str = ""
    missing: int = 0

    @property
    def engaged(self) -> bool:
        """Whether destructive work has to wait."""
        return self.since is not None

    def engage(self, reason: str, *, missing: int, now: float) -> Brake:
        """Return the brake on; it keeps the time since when it has been."""
        return Brake(now if self.since is None else self.since, reason, missing)


RELEASED: Final = Brake()


def allowance(believed_hot: int) -> int:
    """Return how many of the assets believed hot, and not in flight, may be missing before the disk is doubted.

    More than ten and more than one in a hundred is too many, and so are all of ten or more.
    """
    allowed = max(_ALWAYS_ALLOWED, believed_hot // _ALLOWED_SHARE)
    return min(allowed, believed_hot - 1) if believed_hot >= _ALWAYS_ALLOWED else allowed


def verdict(*, missing: int, believed_hot: int, marker_fault: str | None) -> str | None:
    """Return why the brake must be on, None where it need not."""
    if marker_fault is not None:
        return marker_fault
    if missing > allowance(believed_hot):
        return f"{missing} of {believed_hot} files are missing at once"
    return None
