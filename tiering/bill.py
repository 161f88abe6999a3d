"""What a month costs: so far, as it goes on, and as it would with everything on disk or nothing. Pure."""

from __future__ import annotations

import calendar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tiering.prices import GIB

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from tiering.prices import Prices

_DAY: Final = 86_400.0
_PRICED_AS: Final = {"NEARLINE": "standard_ia", "COOL": "standard_ia", "COLDLINE": "glacier_ir", "COLD": "glacier_ir"}
"""Classes of other stores than Amazon's, and those that are most like them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is kept now, in bytes: on disk, all assets wherever they are, and in the store by class."""

    disk: int
    assets: int
    stored: Mapping[str, int]


@dataclass(slots=True)
class Usage:
    """What was counted of one month (UTC), from `since` to `last`, in seconds since the epoch.

    `stored` and `disk` are bytes times the seconds for which they were kept; `served` are applications' requests.
    """

    month: str
    since: float
    last: float
    writes: int = 0
    reads: int = 0
    read_bytes: int = 0
    served: int = 0
    served_bytes: int = 0
    disk: float = 0.0
    stored: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, now: float) -> Usage:
        """Return one that has counted nothing."""
        return cls(_month(now), now, now)

    def keep(self, standing: Standing, now: float) -> Usage:
        """Count what was kept since the last time; return what is to be counted in from now on.

        That is another one where a month has begun. Also while nobody counted the bytes were kept.
        """
        if _month(now) != self.month:
            start = _bounds(now)[0]
            return Usage(_month(now), start, start).keep(standing, now)
        seconds = max(now - self.last, 0.0)
        for name, size in standing.stored.items():
            self.stored[name] = self.stored.get(name, 0.0) + size * seconds
        self.disk += standing.disk * seconds
        self.last = max(self.last, now)
        return self

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Usage:
        """Read it back. Raise ValueError where it makes no sense."""
        try:
            usage = cls(**document)
            if usage.month != _month(usage.since) or usage.last < usage.since:
                raise ValueError(f"not what was counted of a month: {usage.month}")
        except (TypeError, OverflowError) as error:
            raise ValueError(f"not what was counted of a month: {error}") from error
        return usage


@dataclass(frozen=True, slots=True)
class Bill:
    """Money. `so_far` and `forecast` are by what it is for; `all_hot` and `all_cold` are of the whole month.

    Everything hot: all assets on disk, and in the store as they are. Everything cold: nothing on disk, and all that
    applications ask for read from the store.
    """

    month: str
    since: float
    so_far: Mapping[str, float]
    forecast: Mapping[str, float]
    all_hot: float
    all_cold: float


def bill(usage: Usage, standing: Standing, prices: Prices, now: float) -> Bill:
    """Return what the month costs. What was counted in less than a day is not taken for more than a day's worth."""
    start, end = _bounds(now)
    length, left = end - start, end - now
    counted = max(usage.last - usage.since, _DAY)
    so_far = {
        "storage": sum(_of_keeping(prices, name, kept / length) for name, kept in usage.stored.items()),
        "disk": prices.of_disk(usage.disk / length),
        "requests": prices.of_writing(usage.writes) + prices.of_reading(usage.reads, 0),
        "egress": prices.of_reading(0, usage.read_bytes),
    }
    month = {
        "storage": sum(_of_keeping(prices, name, size) for name, size in standing.stored.items()),
        "disk": prices.of_disk(standing.disk),
        "requests": so_far["requests"] / counted * length,
        "egress": so_far["egress"] / counted * length,
    }
    forecast = {name: so_far[name] + month[name] * left / length for name in so_far}
    common = month["storage"] + prices.of_writing(usage.writes) / counted * length
    served = prices.of_reading(usage.served, usage.served_bytes) / counted * length
    return Bill(usage.month, usage.since, so_far, forecast, common + prices.of_disk(standing.assets), common + served)


def total(parts: Mapping[str, float]) -> float:
    """Return the sum of what is listed by what it is for."""
    return sum(parts.values())


def by_class(sizes: Counter[str], *, unlisted: int, default: str) -> dict[str, int]:
    """Return the bytes by class: as they were listed, and what has come or gone since in the class of new objects."""
    return {**sizes, default: max(sizes[default] + unlisted, 0)}


def _of_keeping(prices: Prices, storage_class: str, size_bytes: float) -> float:
    name = _PRICED_AS.get(storage_class, storage_class.lower())
    price: float = getattr(prices, name, prices.standard) if name not in {"put", "get", "egress", "disk"} else 0.0
    return size_bytes / GIB * price


def _month(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


def _bounds(now: float) -> tuple[float, float]:
    """Return when the month begins and ends."""
    start = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    days = calendar.monthrange(start.year, start.month)[1]
    return start.timestamp(), start.timestamp() + days * _DAY
