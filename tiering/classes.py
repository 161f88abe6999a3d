"""In which class an object is stored, by what it is and how old: the first rule that fits, or the store's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.bucket.wishes import ARCHIVED

if TYPE_CHECKING:
    from tiering.store import ObjectInfo

_DAY: Final = 86_400.0
LEAST_STAY: Final = {
    name: days * _DAY
    for name, days in {
        **dict.fromkeys(("STANDARD_IA", "ONEZONE_IA", "NEARLINE", "COOL"), 30),
        **dict.fromkeys(("GLACIER_IR", "GLACIER", "COLDLINE", "COLD"), 90),
        "DEEP_ARCHIVE": 180,
        "ARCHIVE": 365,
    }.items()
}
"""Seconds for which an object is paid for in a class, however soon it leaves it."""
FLOORS: Final = dict.fromkeys(("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"), 128 * 1024)
"""Bytes below which a class costs more than it saves: a smaller object is paid for as one of this size, or is mostly
what the class adds to it."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Objects of at least `above` bytes, and of a type, are stored so, once they are `after` seconds old.

    `type` is an asset's type, or with a slash in it what a media type begins with; empty is any.
    """

    storage_class: str
    type: str = ""
    above: int = 0
    after: float = 0.0

    def fits(self, type: str | None, content_type: str, size: int) -> bool:
        """Whether the rule is about such an object. None is below the floor of its class."""
        is_of_type = content_type.startswith(self.type) if "/" in self.type else self.type in {"", type}
        return is_of_type and size >= max(self.above, FLOORS.get(self.storage_class, 0))


@dataclass(frozen=True, slots=True)
class Classes:
    """The rules, in their order."""

    rules: tuple[ClassRule, ...] = ()

    def choose(self, type: str | None, content_type: str, size: int, *, age: float = 0.0) -> str | None:
        """Return the class for an object of this age; None leaves it to the store."""
        rule = self._first(type, content_type, size, age)
        return None if rule is None else rule.storage_class

    def may_be_due(self, info: ObjectInfo, *, now: float) -> bool:
        """Whether an object that a listing tells of may be one that is to change its class where it is."""
        present, age = info.storage_class, now - info.modified
        if present is None or present in ARCHIVED or age < LEAST_STAY.get(present, 0.0):
            return False
        return any(0 < rule.after <= age and rule.storage_class != present for rule in self.rules)

    def due(self, info: ObjectInfo, type: str | None, content_type: str, *, now: float) -> str | None:
        """Return the class to which an object is to change where it is; None where it stays as it is.

        Only a rule that waits changes anything: what has another class for another reason keeps it. None leaves a class
        sooner than it is paid for, and what is in an archive is left there.
        """
        if not self.may_be_due(info, now=now):
            return None
        rule = self._first(type, content_type, info.size, now - info.modified)
        is_another = rule is not None and rule.after > 0 and rule.storage_class != info.storage_class
        return rule.storage_class if rule is not None and is_another else None

    def _first(self, type: str | None, content_type: str, size: int, age: float) -> ClassRule | None:
        fitting = (rule for rule in self.rules if rule.fits(type, content_type, size))
        return next((rule for rule in fitting if age >= rule.after), None)
