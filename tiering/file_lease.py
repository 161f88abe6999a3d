"""The kernel's file leases: how to know, without waiting, that nobody writes a file or has it open.

While we hold one, whoever opens the file against it is kept waiting by the kernel, and we are sent SIGIO. So a file
lease lives inside one synchronous function, with neither network nor event loop in it, and SIGIO must be ignored
before the first: its default action ends the process.
"""

from __future__ import annotations

import fcntl
import signal
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Quiet(Enum):
    """What the kernel says about the others who may have a file open."""

    DONE = "done"
    """There are none."""
    BUSY = "busy"
    """There are."""
    UNKNOWN = "unknown"
    """It grants no lease here: a foreign owner without CAP_LEASE, or a file system without leases."""


def ignore_sigio() -> None:
    """Ignore SIGIO. To be called in the main thread, before the first file lease."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def writer_done(fd: int) -> Quiet:
    """Return whether nobody has the file of `fd`, opened read-only, open for writing."""
    answer = _ask(fd, fcntl.F_RDLCK)
    if answer is Quiet.DONE:
        _release(fd)
    return answer


@contextmanager
def only_opener(fd: int) -> Iterator[Quiet]:
    """Keep others from opening the file of `fd` meanwhile; yield whether that holds.

    Where the answer is not DONE nothing is held.
    """
    with _held(fd, fcntl.F_WRLCK) as answer:
        yield answer


@contextmanager
def no_writer(fd: int) -> Iterator[Callable[[], bool]]:
    """Keep others from opening the file of `fd`, opened read-only, for writing meanwhile.

    Yield what says whether nobody can have done so since: False also where nothing is held.
    """
    with _held(fd, fcntl.F_RDLCK) as answer:
        yield lambda: answer is Quiet.DONE and fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK


@contextmanager
def _held(fd: int, kind: int) -> Iterator[Quiet]:
    answer = _ask(fd, kind)
    try:
        yield answer
    finally:
        if answer is Quiet.DONE:
            _release(fd)


def is_awaited(fd: int) -> bool:
    """Return whether somebody waits for us to release the file of `fd`, which is held by `only_opener`."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_WRLCK


def _ask(fd: int, kind: int) -> Quiet:
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)
    except BlockingIOError:
        return Quiet.BUSY
    except OSError:
        # Every other refusal means the same: this way there is nothing to be learnt.
        return Quiet.UNKNOWN
    return Quiet.DONE


def _release(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
