"""A counter by one label, whose values are few and known: every series is there from the start, at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric

OTHER: Final = "other"
"""What counts values that are not known."""
_TRANSFER_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Tallies(Collector):
    """A counter with one label, of these values; any other value counts as the last of them.

    Prometheus is told when it asks: to count is part of every request.
    """

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, values: Iterable[str], *, label: str = "result"
    ) -> None:
        self._name = f"tierd_{name}"
        self._text = text
        self._label = label
        self._totals = dict.fromkeys(values, 0.0)
        self._last = next(reversed(self._totals))
        registry.register(self)

    def __repr__(self) -> str:
        return f"<Tallies {self._totals}>"

    def add(self, value: str, amount: float = 1) -> None:
        """Count."""
        self._totals[value if value in self._totals else self._last] += amount

    def collect(self) -> Iterator[Metric]:
        """Yield it as Prometheus is told."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, total in self._totals.items():
            family.add_metric([value], total)
        yield family

    def value(self, value: str) -> float:
        """Return what was counted of one value."""
        return self._totals[value]

    def totals(self) -> dict[str, int]:
        """Return what was counted of each."""
        return {value: int(total) for value, total in self._totals.items()}


def transfer_seconds(registry: CollectorRegistry, name: str, text: str) -> Histogram:
    """Return a histogram of how long transfers took."""
    return Histogram(f"tierd_{name}_duration_seconds", text, buckets=_TRANSFER_SECONDS, registry=registry)
