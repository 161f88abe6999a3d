"""Which bytes of a content a GET is answered with: RFC 9110, sections 13 (conditions) and 14 (ranges). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE | re.ASCII)
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_MANY_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Entity:
    """One content as its headers describe it. `tag` has no quotes."""

    tag: str
    size: int
    mtime_ns: int

    @property
    def modified(self) -> int:
        """When it was written, in whole seconds, as HTTP dates can say."""
        return self.mtime_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The headers of a request that decide how it is answered, as they came."""

    none_match: str | None = None
    modified_since: str | None = None
    range: str | None = None
    if_range: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Conditions | None:
        """Take them from a request's headers; None where there are none, which is the usual case."""
        found = cls(
            headers.get("If-None-Match"),
            headers.get("If-Modified-Since"),
            headers.get("Range"),
            headers.get("If-Range"),
        )
        return None if found == _NO_CONDITIONS else found


_NO_CONDITIONS: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Reply:
    """How to answer: 200, 206, 304 or 416, and with the bytes from `start` up to `stop`."""

    status: int
    start: int = 0
    stop: int = 0


def decide(conditions: Conditions | None, entity: Entity, now: float) -> Reply:
    """Return the answer to a GET of this content under these conditions."""
    if conditions is None:
        return Reply(200, 0, entity.size)
    if _is_known(conditions, entity):
        return Reply(304)
    if conditions.range is None or not _is_same(conditions.if_range, entity, now):
        return Reply(200, 0, entity.size)
    return cut(conditions.range, entity.size)


def cut(header: str, size: int) -> Reply:
    """Return the answer to a Range. One that is malformed, of another unit or of several parts is ignored."""
    found = _RANGE.fullmatch(header)
    if found is None or not any(found.groups()):
        return Reply(200, 0, size)
    first, last = found.groups()
    if not first:
        return _tail(_number(last), size)
    start, stop = _number(first), (_number(last) + 1 if last else size)
    if last and start >= stop:
        return Reply(200, 0, size)
    if start >= size:
        return Reply(416)
    return Reply(206, start, min(stop, size))


def _tail(length: int, size: int) -> Reply:
    if length == 0:
        return Reply(416)
    if size == 0:
        return Reply(200)  # All of nothing was asked for, and Content-Range cannot say so.
    return Reply(206, max(0, size - length), size)


def _number(digits: str) -> int:
    # Longer ones are beyond any file; int() of thousands of digits is slow and in the end refused.
    return int(digits) if len(digits) <= _MANY_DIGITS else 10**_MANY_DIGITS


def _is_known(conditions: Conditions, entity: Entity) -> bool:
    """Whether the client has this content already. A tag outweighs a date."""
    if conditions.none_match is not None:
        return conditions.none_match.strip() == "*" or f'"{entity.tag}"' in _TAG.findall(conditions.none_match)
    if conditions.modified_since is None:
        return False
    since = http_date(conditions.modified_since)
    return since is not None and entity.modified <= since


def _is_same(if_range: str | None, entity: Entity, now: float) -> bool:
    """Whether the parts that the client has are of this content, compared strongly: no weak tag, no recent date."""
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == f'"{entity.tag}"'
    # A file may change twice within the second that its date can tell: then the date proves nothing.
    return http_date(if_range) == entity.modified and entity.modified + 1 <= int(now)


def http_date(text: str) -> int | None:
    """Return an HTTP date in seconds since the epoch; None where it is none."""
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return int((when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp())
