"""In which class an object is stored, by what it is: the first rule that fits counts, the store's own choice else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FLOORS: Final = dict.fromkeys(("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"), 128 * 1024)
"""Bytes below which a class costs more than it saves: a smaller object is paid for as one of this size, or is mostly
what the class adds to it."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Objects of at least `above` bytes, and of a type, are stored so.

    `type` is an asset's type, or with a slash in it what a media type begins with; empty is any.
    """

    storage_class: str
    type: str = ""
    above: int = 0

    def fits(self, type: str | None, content_type: str, size: int) -> bool:
        """Whether the rule is about such an object. None is below the floor of its class."""
        is_of_type = content_type.startswith(self.type) if "/" in self.type else self.type in {"", type}
        return is_of_type and size >= max(self.above, FLOORS.get(self.storage_class, 0))


@dataclass(frozen=True, slots=True)
class Classes:
    """The rules, in their order."""

    rules: tuple[ClassRule, ...] = ()

    def choose(self, type: str | None, content_type: str, size: int) -> str | None:
        """Return the class for an object; None leaves it to the store."""
        return next((rule.storage_class for rule in self.rules if rule.fits(type, content_type, size)), None)
