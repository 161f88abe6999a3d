"""Whether the tests would notice: bugs are planted in a copy, one at a time, and the tests named with each must fail.

A bug is a patch in tests/litmus/, with a line `Bug:` that says what is broken and lines `Caught by:` that name tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from effort import scaled

PART = "litmus: planted bugs are caught"
TOP = Path(__file__).parent.parent.parent
BUGS = sorted((TOP / "tests" / "litmus").glob("*.patch"))
COPIED = ("daemon", "tiering", "index", "tests", "demo", "docs", "config.toml", "pyproject.toml")
CAUGHT = 1
"""What pytest returns where tests ran and some failed: not where there were none, or they could not be collected."""
SECONDS = scaled(test=110, quick=900, long=900)
"""The model may look for minutes, on a busy machine."""


@pytest.mark.parametrize("bug", BUGS[: scaled(test=3, quick=None, long=None)], ids=lambda bug: bug.stem)
def test_it_is_caught(bug: Path, tmp_path: Path) -> None:
    """The patch fits, and at least one of the tests named in it fails."""
    _copy(tmp_path)
    subprocess.run(["git", "apply", "-C1", str(bug)], cwd=tmp_path, check=True)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *_tests_of(bug)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TORTURE": "test"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == CAUGHT, f"not caught:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert f"{tmp_path}" in _where_from(tmp_path)


def _copy(to: Path) -> None:
    for name in COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TOP / name, to / name)


def _tests_of(bug: Path) -> list[str]:
    lines = bug.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("Caught by: ") for line in lines if line.startswith("Caught by: ")]


def _where_from(copy: Path) -> str:
    """Return where a process that runs the copy's tests has the product from."""
    code = "import tiering; print(tiering.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True, check=True
    ).stdout
