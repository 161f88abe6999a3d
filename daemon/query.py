"""Query strings, taken apart by hand: what is not well-formed is refused, never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon.problem import ApiError
from daemon.target import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAMILIES: Final = {"field": "fields", "tag": "tags"}
_MOST: Final = 64


def query_fields(query: str) -> dict[str, object]:
    """Return the parameters by name, as daemon/models.py expects them.

    `state` may come several times; `field.NAME` and `tag.NAME` are gathered; an empty value counts as not given.
    Raise ApiError (400) for a parameter given twice, too many of them, and bytes that are not UTF-8.
    """
    plain: dict[str, str] = {}
    states: list[str] = []
    families: dict[str, dict[str, str]] = {}
    for name, value in _pairs(query):
        family, dot, member = name.partition(".")
        if name == "state":
            states.append(value)
        elif dot and family in _FAMILIES:
            _put(families.setdefault(_FAMILIES[family], {}), member, value)
        else:
            _put(plain, name, value)
    return {**plain, **families, **({"state": states} if states else {})}


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    pairs = query.split("&")
    if len(pairs) > _MOST:
        raise ApiError(400, "bad-input", f"more than {_MOST} parameters")
    for pair in pairs:
        name, _, value = pair.partition("=")
        if value:
            yield _text(name), _text(value)


def _put(into: dict[str, str], name: str, value: str) -> None:
    if name in into:
        raise ApiError(400, "bad-input", f"{name}: given twice")
    into[name] = value


def _text(encoded: str) -> str:
    try:
        return decode(encoded.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise ApiError(400, "bad-input", "the query is not UTF-8") from None
