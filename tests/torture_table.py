"""What the parts of the torture have in common: one table at the end, and going on where a long run was stopped.

A part is a module with a PART, its title. A test may say what it has done: `record_property("kills", 1)`; the table
adds it up. TORTURE_JOURNAL names a file of the cases that have passed, which are not run again.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from effort import EFFORT, SEED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

PART = "part"


@dataclass
class Row:
    """What came of one part."""

    cases: int = 0
    violations: int = 0
    seconds: float = 0
    done: Counter[str] = field(default_factory=Counter)

    def add(self, report: pytest.TestReport) -> None:
        """Count one case."""
        self.cases += 1
        self.violations += report.failed
        self.seconds += report.duration
        self.done.update({name: count for name, count in report.user_properties if isinstance(count, int)})

    def line(self, title: str) -> str:
        """Return it as a line of the table."""
        done = ", ".join(f"{count:,} {name}" for name, count in sorted(self.done.items()))
        return f"{title:48} {self.cases:7,} {self.violations:10,} {self.seconds:8.0f} s  {done}"


class Table:
    """Watches the cases go by, and keeps the journal."""

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal
        self._rows: defaultdict[str, Row] = defaultdict(Row)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One case has ended, or its set-up failed."""
        title = dict(report.user_properties).get(PART)
        if title is None or not (report.when == "call" or report.failed):
            return
        self._rows[str(title)].add(report)
        if self._journal is not None and report.passed:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        if not self._rows:
            return
        terminalreporter.section(f"torture: effort {EFFORT.value}, seed {SEED}")
        terminalreporter.line(f"{'part':48} {'cases':>7} {'violations':>10} {'time':>10}  what was done")
        for title, row in sorted(self._rows.items()):
            terminalreporter.line(row.line(title))


def _journal() -> Path | None:
    name = os.environ.get("TORTURE_JOURNAL")
    return Path(name) if name else None


def _passed(journal: Path | None) -> set[str]:
    return set(journal.read_text(encoding="utf-8").splitlines()) if journal and journal.exists() else set()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the table in the process that sees all reports."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(_journal()), "torture-table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every case the title of its part, and leave out what has passed."""
    for item in items:
        title = getattr(getattr(item, "module", None), "PART", None)
        if isinstance(title, str):
            item.user_properties.append((PART, title))
    passed = _passed(_journal())
    if passed:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = _remaining(items, passed)


def _remaining(items: Iterable[pytest.Item], passed: set[str]) -> list[pytest.Item]:
    return [item for item in items if item.nodeid not in passed]
