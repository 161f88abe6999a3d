"""promtool, Prometheus' own judge of what is scraped: from the PATH, else out of Debian's package, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SECONDS = 100


@pytest.fixture(scope="session")
def promtool() -> Path | None:
    """Where it is; None on a machine that neither has it nor can fetch it."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    kept = Path(tempfile.gettempdir()) / f"tierd-promtool-{os.getuid()}"
    if not _is_ours(kept) and shutil.which("apt-get") and shutil.which("dpkg"):
        _install(kept)
    return kept / "promtool" if _is_ours(kept) else None


def _is_ours(directory: Path) -> bool:
    """Whether it is complete, and nobody else's: anybody may write in the directory above."""
    return (directory / "promtool").is_file() and directory.lstat().st_uid == os.getuid()


def _install(target: Path) -> None:
    """Unpack it, and put it there whole: several test processes may do so at once."""
    with tempfile.TemporaryDirectory(prefix="tierd-promtool-") as name:
        work = Path(name)
        try:
            _run(["apt-get", "download", "prometheus"], work)
            (package,) = work.glob("prometheus_*.deb")
            _run(["dpkg", "-x", package.name, "."], work)
        except (OSError, ValueError, subprocess.SubprocessError):
            return
        ready = Path(tempfile.mkdtemp(prefix="tierd-promtool-"))
        shutil.copy(work / "usr/bin/promtool", ready)
        try:
            ready.rename(target)
        except OSError:
            shutil.rmtree(ready)  # Another process was quicker.


def _run(command: list[str], work: Path) -> None:
    subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=SECONDS)
