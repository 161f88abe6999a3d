"""One daemon per root and index, whatever way the other one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from daemon.instance import AlreadyRunningError, hold_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from daemon.instance import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Let a process of its own hold the lock; it lets go when its input ends."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_the_second_is_told_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    """The message has the process, the lock and the remedy; the lock is the first one's still."""
    lock = tmp_path / "lock"
    with another_process(lock) as process:
        for _ in range(2):
            with pytest.raises(AlreadyRunningError) as refused, hold_lock(lock):
                pytest.fail("two hold one lock")
            assert f"process {process.pid}" in str(refused.value)
            assert str(lock) in str(refused.value)
            assert "stop it first" in str(refused.value)


def test_two_in_one_process_are_two(tmp_path: Path) -> None:
    """A lock that its own process could take twice would not be one."""
    with hold_lock(tmp_path / "lock"), pytest.raises(AlreadyRunningError), hold_lock(tmp_path / "lock"):
        pytest.fail("two hold one lock")


def test_a_kill_frees_it(tmp_path: Path) -> None:
    """Nobody has to remove a stale file by hand."""
    lock = tmp_path / "lock"
    with another_process(lock) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hold_lock(lock):
            assert lock.read_text() == f"{os.getpid()}\n"


def test_an_orderly_end_frees_it_and_leaves_the_file(tmp_path: Path) -> None:
    """To remove the file would let two processes lock two files of one name."""
    lock = tmp_path / "lock"
    for _ in range(2):
        with hold_lock(lock):
            inode = lock.stat().st_ino
        assert lock.stat().st_ino == inode


def test_a_longer_process_id_leaves_no_rest(tmp_path: Path) -> None:
    """Who holds it is read by people."""
    lock = tmp_path / "lock"
    lock.write_text("1234567890123456789\n")
    with hold_lock(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_a_missing_root_is_not_made(tmp_path: Path) -> None:
    """An unmounted disk must not look like a new one; only the lock's own directory is made."""
    with pytest.raises(FileNotFoundError), hold_lock(tmp_path / "root" / ".tierd" / "lock"):
        pytest.fail("the root was made")
    assert not (tmp_path / "root").exists()
    with hold_lock(tmp_path / ".tierd" / "lock"):
        assert (tmp_path / ".tierd").stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write into the directory must not choose which file we truncate."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), hold_lock(tmp_path / "lock"):
        pytest.fail("the link was followed")
    assert victim.read_text() == "precious"
