"""Prometheus, and promtool, its own judge: from the PATH, else where `make tools` has put them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Where it is."""
    return _find("promtool")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The server."""
    return _find("prometheus")


def _find(program: str) -> Path:
    places = os.pathsep.join((os.environ["PATH"], str(Path(sys.executable).parent)))
    found = shutil.which(program, path=places)
    if found is None:
        pytest.fail(f"{program} is not here: `make tools` fetches it; elsewhere install Debian's package prometheus")
    return Path(found)
