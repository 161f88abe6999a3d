"""The wheel: installs into a bare environment, brings what it says, and runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from pages import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

UV = str(Path(sys.executable).parent / "uv")
SHARED = ("config.toml", "systemd/tierd.service", "systemd/tierd.socket", "monitoring/alerts.yml")


def run(*command: str, where: Path = PROJECT, environment: Mapping[str, str] | None = None) -> str:
    """Run a program, which must do well; return what it printed."""
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_runs_in_a_bare_environment(tmp_path: Path) -> None:
    """Away from the source, with what requirements/runtime.txt names and nothing else."""
    run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", str(tmp_path))
    (wheel,) = tmp_path.glob("tierd-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert all(any(name.endswith(f"share/tierd/{each}") for name in names) for each in SHARED)
    assert not any(name.startswith(("tests/", "demo/", "packaging/", "systemd/")) for name in names)
    assert "daemon/page.html" in names
    bare = tmp_path / "bare"
    run(UV, "venv", "--python", sys.executable, str(bare))
    install = (UV, "pip", "install", "--python", str(bare))
    run(*install, "--require-hashes", "-r", "requirements/runtime.txt")
    run(*install, "--no-deps", str(wheel))
    elsewhere = {name: value for name, value in os.environ.items() if not name.startswith(("TIERD_", "PYTHON"))}
    elsewhere["TIERD_METRICS__LISTEN"] = ""
    elsewhere["TIERD_CONFIG"] = str(bare / "share/tierd/config.toml")
    (bare / "share/tierd/media").mkdir()
    said = run(str(bare / "bin/tierd"), "--json", "config", "check", where=tmp_path, environment=elsewhere)
    assert json.loads(said)
    (bare / "share/tierd/media/a.bin").write_bytes(b"content")
    daemon = subprocess.Popen([bare / "bin/tierd", "serve"], cwd=tmp_path, env=elsewhere, stderr=subprocess.PIPE)
    try:
        assert daemon.stderr is not None
        assert any(json.loads(line)["message"] == "ready" for line in daemon.stderr)
        drained = run(str(bare / "bin/tierd"), "--json", "drain", where=tmp_path, environment=elsewhere)
        assert json.loads(drained)
    finally:
        daemon.terminate()
        daemon.communicate()
    assert (bare / "share/tierd/var/cold/a.bin").read_bytes() == b"content"
