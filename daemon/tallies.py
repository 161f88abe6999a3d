"""A counter by one label, whose values are few and known: every series is there from the start, at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

OTHER: Final = "other"
"""What counts values that are not known."""
_TRANSFER_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Tallies:
    """A counter with one label, of these values; any other value counts as the last of them."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, values: Iterable[str], *, label: str = "result"
    ) -> None:
        counter = Counter(f"tierd_{name}", text, [label], registry=registry)
        self._children = {value: counter.labels(value) for value in values}
        self._last = next(reversed(self._children))
        self._totals = dict.fromkeys(self._children, 0.0)

    def __repr__(self) -> str:
        return f"<Tallies {self._totals}>"

    def add(self, value: str, amount: float = 1) -> None:
        """Count."""
        value = value if value in self._children else self._last
        self._children[value].inc(amount)
        self._totals[value] += amount

    def value(self, value: str) -> float:
        """Return what was counted of one value."""
        return self._totals[value]

    def totals(self) -> dict[str, int]:
        """Return what was counted of each."""
        return {value: int(total) for value, total in self._totals.items()}


def transfer_seconds(registry: CollectorRegistry, name: str, text: str) -> Histogram:
    """Return a histogram of how long transfers took."""
    return Histogram(f"tierd_{name}_duration_seconds", text, buckets=_TRANSFER_SECONDS, registry=registry)
