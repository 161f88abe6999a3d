"""Moments as metadata write them: a date, as exact as it is known, or seconds since the epoch. Always UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_EPOCH: Final = re.compile(r"(\d{9,10})(?:\.\d{1,9})?|(\d{12,13})", re.ASCII)
_COMPACT: Final = re.compile(r"(\d{8})(?:[_T-]?(\d{6})Z?)?", re.ASCII)


class Day(NamedTuple):
    """The day of a moment, as far as it says: `month` and `day` are None where it does not."""

    year: int
    month: int | None = None
    day: int | None = None


def parse_day(text: str) -> Day:
    """Return the day of a moment.

    It is `2025`, `2025-03`, `2025-03-09`, ISO 8601 with a time, `20250309_143000`, or seconds or milliseconds since
    the epoch. A time without a zone is taken for UTC. Raise ValueError for anything else.
    """
    if found := _DATE.fullmatch(text):
        year, month, day = (None if part is None else int(part) for part in found.groups())
        # Whether there is such a day.
        datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
        return Day(year or 0, month, day)
    moment = _moment(text)
    return Day(moment.year, moment.month, moment.day)


def _moment(text: str) -> datetime:
    if found := _EPOCH.fullmatch(text):
        seconds = int(found[1]) if found[1] else int(found[2]) / 1000
        return datetime.fromtimestamp(seconds, UTC)
    if found := _COMPACT.fullmatch(text):
        return datetime.strptime(found[1] + (found[2] or "000000"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
