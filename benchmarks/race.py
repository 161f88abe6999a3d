"""Contestants that do the same work in turns, and how they compare: pure figures, no clocks.

Every round everybody runs once, each round begins with the next one, so that no order favours anybody. What is
compared is the ratio within a round: what slows a machine down for a while slows everybody down.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS: Final = 5
NOISE_MOST: Final = 0.30
"""The spread above which a figure says more about the machine than about the contestant."""


@dataclass(frozen=True, slots=True)
class Span:
    """A median, and between what the others lay."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> Span:
        """Return the span of some figures, of which there is at least one."""
        return cls(statistics.median(figures), min(figures), max(figures))

    @property
    def spread(self) -> float:
        """How far apart they lay, as a part of the median."""
        return (self.most - self.least) / self.median

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.least:{spec}}-{self.most:{spec}})"


@dataclass(slots=True)
class Race:
    """What every contestant reached in every round: rates, of which more is better, unless `less_is_better`."""

    title: str
    unit: str
    less_is_better: bool = False
    reached: dict[str, list[float]] = field(default_factory=dict)

    def run(self, contestants: Mapping[str, Callable[[int], float]], *, rounds: int = ROUNDS) -> None:
        """Let everybody run, in rounds that begin with another one each."""
        names = [*contestants]
        self.reached = {name: [] for name in names}
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                self.reached[name].append(contestants[name](number))

    def span(self, name: str) -> Span:
        """Return what one of them reached."""
        return Span.of(self.reached[name])

    def ratio(self, ours: str, theirs: str) -> Span:
        """Return by how much ours is better, round by round: 2 is twice as good."""
        pairs = zip(self.reached[ours], self.reached[theirs], strict=True)
        return Span.of([b / a if self.less_is_better else a / b for a, b in pairs])

    def best(self, names: list[str]) -> str:
        """Return the best of some contestants, by the median."""
        order = min if self.less_is_better else max
        return order(names, key=lambda name: self.span(name).median)

    def noisy(self) -> list[str]:
        """Return those whose figures lie too far apart to be reported."""
        return [name for name in self.reached if self.span(name).spread > NOISE_MOST]

    def lines(self, ours: str, *, target: float, physical: str | None = None) -> list[str]:
        """Return the report: everybody's figures, our ratio to the best peer, and whether it is what it should be.

        `physical` is a contestant that shows what the machine allows, and is no peer.
        """
        noisy = self.noisy()
        found = [f"{self.title} [{self.unit}]"]
        found += [f"    {name:28} {self.span(name):10,.1f}" for name in self.reached]
        if noisy:
            return [*found, f"    not reported: too noisy here ({', '.join(noisy)} vary by more than {NOISE_MOST:.0%})"]
        peer = self.best([name for name in self.reached if name not in {ours, physical}])
        ratio = self.ratio(ours, peer)
        verdict = "reached" if ratio.median >= target else "MISSED"
        found.append(f"    {ours} / {peer}: {ratio:.2f}, to reach {target:.2f}: {verdict}")
        if physical is not None:
            found.append(f"    {ours} / {physical}: {self.ratio(ours, physical):.2f}")
        return found
