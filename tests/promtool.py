"""Prometheus, and promtool, its own judge: from the PATH, else out of Debian's package, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SECONDS = 100
PROGRAMS = ("prometheus", "promtool")


@pytest.fixture(scope="session")
def promtool() -> Path | None:
    """Where it is; None on a machine that neither has it nor can fetch it."""
    return _find("promtool")


@pytest.fixture(scope="session")
def prometheus() -> Path | None:
    """The server; None likewise."""
    return _find("prometheus")


def _find(program: str) -> Path | None:
    found = shutil.which(program)
    if found is not None:
        return Path(found)
    kept = Path(tempfile.gettempdir()) / f"tierd-prometheus-{os.getuid()}"
    if not _is_ours(kept) and shutil.which("apt-get") and shutil.which("dpkg"):
        _install(kept)
    return kept / program if _is_ours(kept) else None


def _is_ours(directory: Path) -> bool:
    """Whether it is complete, and nobody else's: anybody may write in the directory above."""
    is_whole = all((directory / program).is_file() for program in PROGRAMS)
    return is_whole and directory.lstat().st_uid == os.getuid()


def _install(target: Path) -> None:
    """Unpack it, and put it there whole: several test processes may do so at once."""
    with tempfile.TemporaryDirectory(prefix="tierd-prometheus-") as name:
        work = Path(name)
        try:
            _run(["apt-get", "download", "prometheus"], work)
            (package,) = work.glob("prometheus_*.deb")
            _run(["dpkg", "-x", package.name, "."], work)
        except (OSError, ValueError, subprocess.SubprocessError):
            return
        ready = Path(tempfile.mkdtemp(prefix="tierd-prometheus-"))
        for program in PROGRAMS:
            shutil.copy(work / "usr/bin" / program, ready)
        try:
            ready.rename(target)
        except OSError:
            shutil.rmtree(ready)  # Another process was quicker.


def _run(command: list[str], work: Path) -> None:
    subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=SECONDS)
