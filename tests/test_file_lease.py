"""The kernel tells who has a file open, and asking it never kills the daemon."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tiering.file_lease import Quiet, ignore_sigio, is_awaited, only_opener, writer_done

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that nobody has open."""
    (tmp_path / "f").write_bytes(b"content")
    return tmp_path / "f"


@pytest.fixture
def fd(file: Path) -> Iterator[int]:
    """Return that file, opened read-only."""
    descriptor = os.open(file, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_file_that_nobody_writes_is_done(fd: int, file: Path) -> None:
    """Readers do not matter to whether the writer is done, and nothing stays held."""
    with file.open("rb"):
        assert writer_done(fd) is Quiet.DONE
    os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))


def test_a_file_open_for_writing_is_busy(fd: int, file: Path) -> None:
    """The writer need not have written lately: having it open is enough."""
    with file.open("ab"):
        assert writer_done(fd) is Quiet.BUSY
    assert writer_done(fd) is Quiet.DONE


def test_a_file_mapped_for_writing_is_busy(fd: int, file: Path) -> None:
    """A shared mapping writes long after its descriptor is closed."""
    with file.open("r+b") as writer:
        mapping = mmap.mmap(writer.fileno(), 0)
    assert writer_done(fd) is Quiet.BUSY
    mapping.close()
    assert writer_done(fd) is Quiet.DONE


def test_where_no_lease_is_granted_nothing_is_known() -> None:
    """A refusal is neither done nor busy."""
    reading, writing = os.pipe()
    assert writer_done(reading) is Quiet.UNKNOWN
    with only_opener(reading) as quiet:
        assert quiet is Quiet.UNKNOWN
    os.close(reading)
    os.close(writing)


def test_a_reader_keeps_us_from_being_the_only_opener(fd: int, file: Path) -> None:
    """To be alone with a file is more than to have no writer."""
    with file.open("rb"), only_opener(fd) as quiet:
        assert quiet is Quiet.BUSY
    with only_opener(fd) as quiet:
        assert quiet is Quiet.DONE


def test_an_opener_waits_and_is_seen_waiting(fd: int, file: Path) -> None:
    """While we are the only opener, another waits, we can tell, and he gets in when we let go."""
    opened = threading.Event()

    def open_it() -> None:
        with file.open("rb"):
            opened.set()

    opener = threading.Thread(target=open_it)
    with only_opener(fd):
        assert not is_awaited(fd)
        opener.start()
        while not is_awaited(fd):
            assert opener.is_alive()
        assert not opened.is_set()
    opener.join()
    assert opened.is_set()


HOLDER = """
import os, signal, sys
from tiering.file_lease import Quiet, ignore_sigio, is_awaited, only_opener
signal.signal(signal.SIGIO, signal.SIG_DFL)  # what is ignored stays so across exec
if sys.argv[2] == "ignore":
    ignore_sigio()
fd = os.open(sys.argv[1], os.O_RDONLY)
with only_opener(fd) as quiet:
    assert quiet is Quiet.DONE
    print("held", flush=True)
    while not is_awaited(fd):
        pass
print("lived", flush=True)
"""


@pytest.mark.parametrize(("how", "outcome"), [("ignore", 0), ("default", -signal.SIGIO)])
def test_an_opener_kills_only_who_does_not_ignore_sigio(file: Path, how: str, outcome: int) -> None:
    """SIGIO's default action ends the process that holds a lease; ignoring it first is what keeps the daemon alive."""
    command = [sys.executable, "-c", HOLDER, str(file), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        os.close(os.open(file, os.O_RDWR))
        assert holder.wait(timeout=20) == outcome
