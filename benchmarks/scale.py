"""P10: whether the last of many uploads costs what the first did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.ground import a_ground, wait_until, write_files
from daemon.plot import Line, plot

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB: Final = 1 << 20
MANY: Final = 100_000
TENTHS: Final = 10
EACH: Final = MANY // TENTHS
PICTURE: Final = Path(__file__).parents[1] / "docs" / "cost.svg"


def steady(place: Path) -> list[str]:
    """P10: many small files, and the daemon's processor time for each tenth of them. It draws its picture anew."""
    costs, memory = [], []
    with a_ground(place) as ground, ground.service("host") as service:
        for tenth in range(TENTHS):
            directory = write_files(place / f"{tenth}", EACH, 4 << 10)
            before = service.processor_seconds()
            directory.rename(service.root / f"{tenth}")
            wanted = (tenth + 1) * EACH
            wait_until(lambda wanted=wanted: service.status()["assets"]["replicated"] == wanted)  # type: ignore[misc]
            costs.append(1e3 * (service.processor_seconds() - before) / EACH)
            memory.append(service.resident() / MIB)
    PICTURE.write_text(_picture(costs, memory))
    return [
        f"P10 {MANY:,} x 4 KiB: processor seconds per 1,000 assets, and resident memory",
        *(f"    {10 * (at + 1):3} %  {costs[at]:.3f} s  {memory[at]:.0f} MiB" for at in range(TENTHS)),
        f"    last / first {costs[-1] / costs[0]:.2f}; to reach: 1.10",
    ]


def _picture(costs: Sequence[float], memory: Sequence[float]) -> str:
    counts = [EACH * (tenth + 1) for tenth in range(TENTHS)]
    lines = [
        Line(f"processor time (of {max(costs):.2f} ms)", _shares(counts, costs)),
        Line(f"memory (of {max(memory):.0f} MiB)", _shares(counts, memory)),
    ]
    ticks = [(count, f"{count // 1000:,}k") for count in counts if count // EACH in {1, 2, 3, 5, 10}]
    return plot(
        f"What one upload of 4 KiB costs, by how many came before ({MANY:,} in all)",
        lines,
        x_name="objects uploaded",
        y_name="share of the highest",
        ticks=ticks,
    )


def _shares(counts: Sequence[int], values: Sequence[float]) -> list[tuple[float, float]]:
    return [(count, value / max(values)) for count, value in zip(counts, values, strict=True)]
