"""The table of the torture: violations are counted, a long run goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

PARTS = """
import pytest

PART = "R0 an example"

@pytest.mark.parametrize("case", range(4))
def test_case(case, record_property):
    record_property("kills", 2)
    assert case != 3
"""


def _run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    monkeypatch.setenv("TORTURE_JOURNAL", str(pytester.path / "journal"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makeconftest('pytest_plugins = ["torture_table"]')
    pytester.makepyfile(PARTS)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options).stdout.str()


def test_cases_violations_and_what_was_done_are_added_up(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the cases ran in other processes."""
    [line] = [line for line in _run(pytester, monkeypatch, "-n", "2").splitlines() if line.startswith("R0 an example")]

    assert line.split()[3:5] == ["4", "1"]
    assert line.endswith("8 kills")


def test_a_run_goes_on_where_it_was_stopped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What passed is not run again; what failed is."""
    _run(pytester, monkeypatch)

    again = _run(pytester, monkeypatch)

    assert "1 failed, 3 deselected" in again
