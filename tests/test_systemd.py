"""The units: without a fault, closed as far as can be, and their sockets taken over without a request lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent / "systemd"
DROPINS = sorted((UNITS / "examples").glob("*.conf"))
EXPOSURE = 13
"""At most, in tenths."""
EXPOSURE_WITH_ALL = 14
"""With CAP_LEASE and another group, for media that belong to others."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they are installed, but for a program that is there."""
    for unit in ("tierd.service", "tierd.socket"):
        text = (UNITS / unit).read_text(encoding="utf-8")
        (tmp_path / unit).write_text(text.replace("/usr/bin/tierd", shutil.which("true") or ""))
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd's own judge."""
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def dropped_in(installed: Path, *dropins: Path) -> None:
    """Lay drop-ins beside the unit."""
    directory = installed / "tierd.service.d"
    directory.mkdir()
    for dropin in dropins:
        shutil.copy(dropin, directory)


@pytest.mark.parametrize("dropins", [[], DROPINS], ids=["plain", "with every example"])
def test_units_are_without_a_fault(installed: Path, dropins: list[Path]) -> None:
    """A key that systemd does not know, it says; also in a drop-in."""
    dropped_in(installed, *dropins)
    done = analyze("verify", "--man=no", installed / "tierd.service", installed / "tierd.socket")
    # Other units of this machine, which are none of ours, may have faults.
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "tierd" in line or str(installed) in line]


@pytest.mark.parametrize(
    ("dropins", "at_most"), [([], EXPOSURE), (DROPINS, EXPOSURE_WITH_ALL)], ids=["plain", "with every example"]
)
def test_the_service_is_closed(installed: Path, dropins: list[Path], at_most: int) -> None:
    """As far as a service can be that reads foreign media and talks to a network."""
    dropped_in(installed, *dropins)
    done = analyze("security", "--offline=true", f"--threshold={at_most}", installed / "tierd.service")
    found = re.search(r"Overall exposure level for tierd.service: [\d.]+", done.stdout)
    assert found is not None, done.stderr
    assert done.returncode == 0, found[0]
