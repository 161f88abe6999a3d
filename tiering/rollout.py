"""Which assets tierd is to keep in the store at all, so that a team can begin with some of them, and go back.

A path is in a roll-out of so many per cent, or not, by its hash and by nothing else: the same on every host and after
every start, and whoever is in at 10 % is in at 25 %, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from index.asset import path_to_bytes

if TYPE_CHECKING:
    from index.asset import RelPath

_PLACES: Final = 1 << 64
_WHOLE: Final = 100.0


class Mode(StrEnum):
    """How much of it goes to the store."""

    LOCAL = "local"
    """Nothing is uploaded, demoted or expired; what is cold can be promoted."""
    HYBRID = "hybrid"
    """Only so many per cent of the paths."""
    S3 = "s3"
    """Everything."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far it has come: `percent` of all paths."""

    mode: Mode = Mode.S3
    percent: float = _WHOLE

    @classmethod
    def of(cls, mode: Mode, percent: float | None) -> Rollout:
        """Return the roll-out of a mode; `percent` is that of `hybrid`."""
        return cls(mode, {Mode.LOCAL: 0.0, Mode.S3: _WHOLE}.get(mode, percent or 0.0))

    def covers(self, path: RelPath) -> bool:
        """Whether the asset at the path is in it."""
        return _place(path) * _WHOLE < self.percent * _PLACES

    @property
    def reason(self) -> str:
        """Say why an asset that is not covered stays as it is."""
        if self.mode is Mode.LOCAL:
            return "[store] mode is local: nothing is uploaded or demoted"
        return f"it is out of the roll-out: [store] mode is {self.mode} with {self.percent:g} % of all paths"


EVERYTHING: Final = Rollout()


def _place(path: RelPath) -> int:
    return int.from_bytes(blake2b(path_to_bytes(path), digest_size=8).digest())
