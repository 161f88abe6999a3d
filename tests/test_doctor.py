"""The doctor: every check has its turn, whatever the others do."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from daemon import doctor
from daemon.cli_doctor import number
from daemon.doctor import Finding, Verdict, examine, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


def two(subject: str) -> Iterator[Finding]:
    """Find two things."""
    yield ok(subject)
    yield warning("slow", "wait")


async def later(subject: str) -> list[Finding]:
    """Find one thing, with a loop."""
    return [failed(subject, "mend it")]


def broken(subject: str) -> Iterator[Finding]:
    """Fail after the first."""
    yield ok(subject)
    raise OSError(5, "Input/output error")


async def test_what_is_not_there_is_no_fault_of_the_check(tmp_path: Path) -> None:
    """And no right that somebody lacks."""

    def look(place: Path) -> Iterator[Finding]:
        yield ok(str(os.statvfs(place)))

    (row,) = await examine((("a", look),), tmp_path / "away")
    assert row.finding == failed(f"{tmp_path}/away is not there to be looked at", "mount its disk, or make it")


async def test_every_check_has_its_turn() -> None:
    """One that fails itself is a finding; those after it are made all the same."""
    rows = await examine((("a", two), ("b", broken), ("c", later)), "it")
    assert [(row.check, row.finding.verdict, row.finding.message) for row in rows] == [
        ("a", Verdict.OK, "it"),
        ("a", Verdict.WARNING, "slow"),
        ("b", Verdict.FAILED, "the check itself failed: OSError(5, 'Input/output error')"),
        ("c", Verdict.FAILED, "it"),
    ]
    assert all(row.finding.remedy for row in rows if row.finding.verdict is not Verdict.OK)


async def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer is what one looks for; the thread that waits for it keeps nobody from ending."""
    monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 0.05)
    release = threading.Event()

    def hangs(subject: str) -> Iterator[Finding]:
        threads.append(threading.current_thread())
        release.wait(20)
        yield ok(subject)

    threads: list[threading.Thread] = []
    rows = await examine((("disk", hangs), ("after", two)), "it")
    assert [row.finding.verdict for row in rows] == [Verdict.FAILED, Verdict.OK, Verdict.WARNING]
    assert "no answer within" in rows[0].finding.message
    assert threads[0].daemon
    release.set()
    threads[0].join()


def test_findings_are_numbered_by_their_check() -> None:
    """What comes later about the same check stands with it."""
    found = number([{"check": "a"}, {"check": "b"}, {"check": "c"}, {"check": "b"}])
    assert [(each["number"], each["check"]) for each in found] == [(1, "a"), (2, "b"), (2, "b"), (3, "c")]
