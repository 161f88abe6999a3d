"""`tierd top`: what is wrong stands first, it fits the terminal, and the terminal is given back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stub import Answer, Stub, asset

from daemon.cli_top import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

TIERD = str(Path(sys.executable).with_name("tierd"))
GIB = 1024**3
WELL: dict[str, Any] = {
    "assets": {"new": 0, "replicated": 2, "stuck": 0, "damaged": 0},
    "bytes": {},
    "queue": {
        "waiting": 0, "uploading": 0, "promoting": 0, "oldest_unprotected_seconds": 0.0, "unprotected_bytes": 0,
    },
    "rates": {"upload_bytes_per_second": 0.0, "hit_ratio": 0.5},
    "disk": {"total": 9, "free": GIB, "used": GIB, "limit": 2 * GIB, "high": 0.9, "low": 0.8, "full": False},
    "store": {"url": "s3://b", "reachable": True, "reason": "", "capabilities": {}},
    "brake": {"engaged": False, "reason": "", "since": None, "missing": 0},
    "scrub": {"oldest_seconds": 0.0, "suspects": 0, "doubt": "", "read_back_at": None, "hashed_at": None},
}  # fmt: skip
ILL: dict[str, Any] = WELL | {
    "assets": {"new": 3, "stuck": 1, "damaged": 2},
    "queue": {
        "waiting": 3, "uploading": 1, "promoting": 0, "oldest_unprotected_seconds": 7300.0, "unprotected_bytes": GIB,
    },
    "rates": {"upload_bytes_per_second": GIB / 600, "hit_ratio": 0.0},
    "disk": WELL["disk"] | {"used": 2 * GIB, "full": True},
    "store": WELL["store"] | {"reachable": False, "reason": "it hangs"},
    "brake": WELL["brake"] | {"engaged": True, "reason": "all are gone"},
    "scrub": WELL["scrub"] | {"doubt": "too much"},
}  # fmt: skip
STUCK = asset("a\x1b[2J.jpg", "stuck", failure={"code": "conflict", "reason": "not ours"})


def test_what_is_well_is_short() -> None:
    """A line each, and the bar has its marks."""
    assert lines(WELL, []) == [
        "safe     everything has a proven remote copy",
        "store    s3://b",
        "disk     [####################............|...|...] 50% of 2.0 GiB, 1.0 GiB free",
        "hits     50.0% of requests since the start",
        "uploads  0 under way, 0 waiting, 0 B/s; promotions: 0",
        "assets   replicated 2",
    ]


def test_what_is_wrong_is_told() -> None:
    """With its reason; and no name plays with the terminal."""
    assert lines(ILL, [STUCK]) == [
        "safe     1.0 GiB unprotected, the oldest for 2 h, 1 STUCK, 2 DAMAGED",
        "store    NOT REACHABLE: it hangs",
        "doubted  too much",
        "brake    ENGAGED: all are gone: tierd resume",
        "disk     [################################|###|###] 100% of 2.0 GiB, 1.0 GiB free, FULL",
        "hits     0.0% of requests since the start",
        "uploads  1 under way, 3 waiting, 1.7 MiB/s, about 10 min left; promotions: 0",
        "assets   new 3, stuck 1, damaged 2",
        "",
        "stuck             5 B  a\\x1b[2J.jpg  not ours",
    ]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Stub]:
    """One that is ill."""
    with Stub(tmp_path / "s") as stub:
        stub.answers["GET /v1/status"] = Answer(ILL)
        stub.answers["GET /v1/assets"] = Answer({"assets": [STUCK], "cursor": None})
        yield stub


def test_elsewhere_than_on_a_terminal(daemon: Stub) -> None:
    """So many looks, one after the other; or a document each."""
    command = [TIERD, "--socket", str(daemon.socket_path), "top", "--count", "2", "--interval", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("safe     1.0 GiB unprotected") == 2
    assert "\x1b" not in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == second == ILL | {"moving": [STUCK] * 4}


def test_on_a_terminal(daemon: Stub) -> None:
    """It is painted in place, no wider and no higher than there is room; an interrupt gives the terminal back."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 30, 0, 0))
    command = [TIERD, "--socket", str(daemon.socket_path), "top"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        try:
            seen = b""
            while b"\x1b[J" not in seen:
                seen += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    begin, _, painted = seen.decode().partition("\x1b[H")
    assert begin == "\x1b[?1049h\x1b[?25l"
    shown = painted.partition("\x1b[J")[0].removesuffix("\x1b[K").split("\x1b[K\r\n")
    assert len(shown) == 6
    assert all(len(line) <= 30 for line in shown)
    assert shown[2] == "safe     1.0 GiB unprotected, "
    assert os.read(ours, 4096).decode().endswith("\x1b[?25h\x1b[?1049l")
    os.close(ours)
