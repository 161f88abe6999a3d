"""Every system call may fail, once or for ever: nothing is lost, nothing is half, and nothing is said that is not so.

As SQLite is tested: the fault is moved on, from the first call of a kind to the last, until a life passes untouched.
A sync that fails loses the bytes that it was about; after a fault that passed, the power is cut, and with it goes
whatever was never synced.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from effort import scaled, seeds
from faults import Fault, Lives, lives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["lives"]
PART = "R3 failing system calls"

FEW = {
    "files": {"fsync": 4, "linkat": 1, "renameat": 1, "rename": 1, "unlinkat": 1, "unlink": 1},
    "index": {"fdatasync": 2, "unlink": 1},
}
"""The calls that make things durable and give and take names, by thread; each with how many cases share its calls."""
MANY = {
    "files": {"openat": 16, "write": 1, "pwrite64": 1, "fallocate": 1, "ftruncate": 1, "fchmod": 1, "mkdirat": 1},
    "index": {"openat": 1, "pwrite64": 32, "ftruncate": 1, "fsync": 1},
}
"""All others that can fail for want of a disk."""
ERRORS = ("EIO", "ENOSPC", "EMFILE", "EINTR")


def _cases() -> Iterator[tuple[Fault, int, int]]:
    for calls, errors, sample in scaled(
        test=[(FEW, ERRORS[:2], 1)],
        quick=[(FEW, ERRORS, 1), (MANY, ERRORS, 4)],
        long=[(FEW, (*ERRORS, "KILL"), 1), (MANY, (*ERRORS, "KILL"), 1)],
    ):
        for thread, shares in calls.items():
            for (call, parts), error, forever in product(shares.items(), errors, (False, True)):
                if error != "KILL" or not forever:
                    fault = Fault(thread, call, error, forever)
                    yield from _parts(fault, parts, sample)


def _parts(fault: Fault, parts: int, sample: int) -> Iterator[tuple[Fault, int, int]]:
    (seed,) = seeds(f"{PART} {fault}", 1)
    for part in range(parts):
        yield fault, 1 + (part * sample + seed % sample), parts * sample


@pytest.mark.parametrize(("fault", "first", "step"), list(_cases()), ids=str)
def test_fault(
    lives: Lives, fault: Fault, first: int, step: int, record_property: Callable[[str, object], None]
) -> None:
    """Struck at every `step`th call from the `first` on, a life ends well or says why not; the next one is whole."""
    struck, wrong = lives.strike(fault, first=first, step=step)
    record_property("faults", struck)
    assert not wrong
