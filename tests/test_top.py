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
from stub import Answer, Stub

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
    "rates": {"upload_bytes_per_second": 0.0, "hit_ratio": 0.5, "hit_ratios": {"5m": None, "1h": 0.75, "24h": 0.5}},
    "disk": {"total": 9, "free": GIB, "used": GIB, "limit": 2 * GIB, "high": 0.9, "low": 0.8, "full": False},
    "store": {"url": "s3://b", "reachable": True, "reason": "", "capabilities": {}},
    "brake": {"engaged": False, "reason": "", "since": None, "missing": 0},
    "scrub": {"oldest_seconds": 0.0, "suspects": 0, "doubt": "", "read_back_at": None, "hashed_at": None},
    "rollout": {"mode": "s3", "percent": 100.0, "outside": 0, "outside_bytes": 0},
}  # fmt: skip
ILL: dict[str, Any] = WELL | {
    "assets": {"new": 3, "stuck": 1, "damaged": 2},
    "queue": {
        "waiting": 3, "uploading": 1, "promoting": 0, "oldest_unprotected_seconds": 7300.0, "unprotected_bytes": GIB,
    },
    "rates": WELL["rates"] | {"upload_bytes_per_second": GIB / 600},
    "disk": WELL["disk"] | {"used": 2 * GIB, "full": True},
    "store": WELL["store"] | {"reachable": False, "reason": "it hangs"},
    "brake": WELL["brake"] | {"engaged": True, "reason": "all are gone"},
    "scrub": WELL["scrub"] | {"doubt": "too much"},
}  # fmt: skip
QUIET: dict[str, Any] = {"health": {}, "status": WELL, "transfers": [], "read": [], "missed": [], "trouble": []}
BUSY: dict[str, Any] = {
    "health": {},
    "status": ILL,
    "transfers": [
        {
            "path": "big.mov", "href": "big.mov", "direction": "upload", "size": GIB, "done": GIB // 4,
            "bytes_per_second": GIB / 8, "seconds_left": 6.0,
        },
        {
            "path": "e", "href": "e", "direction": "promotion", "size": 0, "done": 0,
            "bytes_per_second": None, "seconds_left": None,
        },
    ],
    "read": [{"path": "a", "href": "a", "times": 12}],
    "missed": [{"path": "b\n", "href": "b%0A", "times": 3}],
    "trouble": [
        {"at": None, "path": "a\x1b[2J.jpg", "href": "", "what": "it is stuck", "remedy": "rename it", "times": 1},
        {"at": 1.0, "path": None, "href": None, "what": "promotion failed", "remedy": "wait", "times": 4},
    ],
}  # fmt: skip


def test_what_is_well_is_short() -> None:
    """A line each, and the bar has its marks."""
    assert lines(QUIET) == [
        "safe     everything has a proven remote copy",
        "store    s3://b",
        "hits     5m -, 1h 75.0%, 24h 50.0%",
        "disk     [####################............|...|...] 50% of 2.0 GiB, 1.0 GiB free",
        "uploads  0 under way, 0 waiting, 0 B/s; promotions: 0",
        "assets   replicated 2",
    ]


def test_what_is_wrong_is_told() -> None:
    """With its remedy; and no name plays with the terminal."""
    assert lines(BUSY) == [
        "safe     1.0 GiB unprotected, the oldest for 2 h, 1 STUCK, 2 DAMAGED",
        "store    NOT REACHABLE: it hangs",
        "doubted  too much",
        "brake    ENGAGED: all are gone: tierd resume",
        "hits     5m -, 1h 75.0%, 24h 50.0%",
        "disk     [################################|###|###] 100% of 2.0 GiB, 1.0 GiB free, FULL",
        "uploads  1 under way, 3 waiting, 1.7 MiB/s, about 10 min left; promotions: 0",
        "assets   new 3, stuck 1, damaged 2",
        "",
        "moving:",
        "  upload     25% of   1.0 GiB  big.mov  128.0 MiB/s, 6 s left",
        "  promotion    - of       0 B  e",
        "",
        "read most:",
        "         12  a",
        "",
        "missed most:",
        "          3  b\\n",
        "",
        "trouble:",
        "  a\\x1b[2J.jpg: it is stuck: rename it",
        "  promotion failed (4 times): wait",
    ]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Stub]:
    """One that is ill."""
    with Stub(tmp_path / "s") as stub:
        stub.answers["GET /v1/glance"] = Answer(BUSY)
        yield stub


def test_elsewhere_than_on_a_terminal(daemon: Stub) -> None:
    """So many looks, one after the other; or a document each."""
    command = [TIERD, "--socket", str(daemon.socket_path), "top", "--count", "2", "--interval", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("safe     1.0 GiB unprotected") == 2
    assert "\x1b" not in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == second == BUSY


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
