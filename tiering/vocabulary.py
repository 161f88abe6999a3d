"""The types of assets that are known everywhere, and what their fields may say. Any other field is a text of its own.

Values are strings wherever they are kept: a number is its digits, a moment is as exact as it was given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tiering.moments import parse_day
from tiering.outcome import TierError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Kind = Callable[[str], str]
    """Returns a value as it is kept. Raises ValueError, whose message completes the sentence "it should be …"."""

_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_RATIO: Final = re.compile(r"\d+(?:\.\d+)?[:x_/-]\d+(?:\.\d+)?", re.ASCII)
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_HASH: Final = re.compile(r"[0-9A-Za-z]{1,128}")


class MeaningError(TierError):
    """Metadata are not what the type says, or more than an object can carry."""

    code = "bad-metadata"


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _number(value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise ValueError("a whole number from 0 to 999999999")
    return str(int(value))


def _ratio(value: str) -> str:
    if not _RATIO.fullmatch(value):
        raise ValueError("two numbers, as in 16:9 or 16x9")
    return value


def _md5(value: str) -> str:
    if not _MD5.fullmatch(value.lower()):
        raise ValueError("the 32 hexadecimal digits of an MD5")
    return value.lower()


def _hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError("1 to 128 letters of A to Z and digits")
    return value


def _moment(value: str) -> str:
    try:
        parse_day(value)
    except (ValueError, OverflowError):
        raise ValueError("a moment, as in 2025-03, 2025-03-09T14:30:00Z or 1741530600") from None
    return value


def _one_of(*words: str) -> Kind:
    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return value

    return check


TYPES: Final[Mapping[str, Mapping[str, Kind]]] = {
    "product": {"variant": _one_of("transparent", "original"), "category": _text, "product": _text},
    "background": {
        "kind": _one_of("scene", "gradient", "solid"),
        "region": _text,
        "season": _text,
        "style": _text,
        "color": _text,
    },
    "composite": {"campaign": _text, "product": _text, "aspect_ratio": _ratio},
    "artifact": {"kind": _text, "show": _text, "season": _number, "episode": _number},
    "media": {"media_type": _one_of("image", "video", "document"), "md5": _md5, "created": _moment},
    "temporal": {"hash": _hash, "timestamp": _moment},
}
"""What each type's fields are. None of them has to be given."""


def checked(type: str | None, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields as they are kept. Raise MeaningError for a value that the type does not allow."""
    kinds = TYPES.get(type or "", {})
    return {name: _checked(type, name, value, kinds.get(name)) for name, value in fields.items()}


def _checked(type: str | None, name: str, value: str, kind: Kind | None) -> str:
    if kind is None:
        return value
    try:
        return kind(value)
    except ValueError as error:
        raise MeaningError(f"{name} of type {type} cannot be {value!a}: it should be {error}") from None
