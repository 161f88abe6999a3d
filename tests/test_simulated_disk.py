"""The simulated disk answers as the kernel does, and loses what it may lose, and nothing else."""

from __future__ import annotations

import fcntl
import os
import random
import stat
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_disk import Calls, Disk, Locks

from tiering.file_lease import ignore_sigio

PLACE = "/media"
OPENS = (
    os.O_RDONLY | os.O_NONBLOCK,
    os.O_WRONLY | os.O_NONBLOCK,
    os.O_RDWR | os.O_CREAT | os.O_NONBLOCK,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK,
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_PATH,
)
names = st.sampled_from((b"a", b"b", b"c"))
slots = st.integers(0, 2)
homes = st.integers(0, 1)
acts = st.one_of(
    st.tuples(st.just("open"), homes, names, st.sampled_from(OPENS)),
    st.tuples(st.just("open"), homes, names, st.sampled_from(OPENS)),
    st.tuples(st.just("unnamed"), homes),
    st.tuples(st.just("close"), slots),
    st.tuples(st.just("pwrite"), slots, st.sampled_from((b"", b"x", b"long")), st.sampled_from((0, 2, 5))),
    st.tuples(st.just("pread"), slots),
    st.tuples(st.just("fstat"), slots),
    st.tuples(st.just("stat"), homes, names),
    st.tuples(st.just("link"), homes, names, homes, names),
    st.tuples(st.just("land"), slots, homes, names),
    st.tuples(st.just("rename"), homes, names, homes, names),
    st.tuples(st.just("unlink"), homes, names),
    st.tuples(st.just("lease"), slots, st.sampled_from((fcntl.F_RDLCK, fcntl.F_WRLCK))),
    st.tuples(st.just("duplicate"), slots, slots),
    st.tuples(st.just("reopen"), slots),
    st.tuples(st.just("list"), homes),
)


class Player:
    """Does acts with the calls of one disk, and notes what comes of each."""

    def __init__(self, calls: Any, locks: Any, place: str) -> None:
        self._os = calls
        self._fcntl = locks
        root = calls.open(place, os.O_PATH | os.O_DIRECTORY)
        calls.mkdir(b"d", dir_fd=root)
        self._homes = [root, calls.open(b"d", os.O_PATH | os.O_DIRECTORY, dir_fd=root)]
        self._slots: list[int] = []

    def play(self, act: tuple[Any, ...]) -> Any:
        """Do one; return what it told, or its error."""
        try:
            return getattr(self, f"_{act[0]}")(*act[1:])
        except OSError as error:
            return error.errno

    def close(self) -> None:
        """Give everything back."""
        for fd in [*self._slots, *self._homes]:
            self._os.close(fd)

    def _slot(self, slot: int) -> int:
        if slot >= len(self._slots):
            raise OSError(0, "nothing is open")
        return self._slots[slot]

    def _keep(self, fd: int) -> None:
        if len(self._slots) == 3:
            self._os.close(self._slots.pop(0))
        self._slots.append(fd)

    def _open(self, home: int, name: bytes, flags: int) -> None:
        self._keep(self._os.open(name, flags, 0o600, dir_fd=self._homes[home]))

    def _unnamed(self, home: int) -> None:
        self._keep(self._os.open(b".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=self._homes[home]))

    def _close(self, slot: int) -> None:
        self._os.close(self._slot(slot))
        self._slots.pop(slot)

    def _pwrite(self, slot: int, data: bytes, offset: int) -> Any:
        return self._os.pwrite(self._slot(slot), data, offset)

    def _pread(self, slot: int) -> Any:
        return self._os.pread(self._slot(slot), 100, 1)

    def _fstat(self, slot: int) -> Any:
        return self._told(self._os.fstat(self._slot(slot)))

    def _stat(self, home: int, name: bytes) -> Any:
        return self._told(self._os.stat(name, dir_fd=self._homes[home], follow_symlinks=False))

    def _told(self, seen: Any) -> Any:
        return stat.S_IFMT(seen.st_mode), seen.st_nlink, seen.st_size

    def _link(self, home: int, name: bytes, other: int, new: bytes) -> None:
        homes_ = {"src_dir_fd": self._homes[home], "dst_dir_fd": self._homes[other]}
        self._os.link(name, new, **homes_, follow_symlinks=False)

    def _land(self, slot: int, home: int, name: bytes) -> None:
        self._os.link(f"/proc/self/fd/{self._slot(slot)}", name, dst_dir_fd=self._homes[home])

    def _rename(self, home: int, name: bytes, other: int, new: bytes) -> None:
        self._os.rename(name, new, src_dir_fd=self._homes[home], dst_dir_fd=self._homes[other])

    def _unlink(self, home: int, name: bytes) -> None:
        self._os.unlink(name, dir_fd=self._homes[home])

    def _lease(self, slot: int, kind: int) -> Any:
        """As the product does: taken, looked at and given back in one go."""
        self._fcntl.fcntl(self._slot(slot), fcntl.F_SETLEASE, kind)
        held = self._fcntl.fcntl(self._slot(slot), fcntl.F_GETLEASE)
        self._fcntl.fcntl(self._slot(slot), fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return held

    def _duplicate(self, slot: int, other: int) -> None:
        if self._slot(slot) != self._slot(other):
            self._os.dup2(self._slot(slot), self._slot(other), inheritable=False)

    def _reopen(self, slot: int) -> None:
        self._keep(self._os.open(f"/proc/self/fd/{self._slot(slot)}", os.O_RDONLY | os.O_NONBLOCK))

    def _list(self, home: int) -> Any:
        fd = self._os.open(b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._homes[home])
        with self._os.scandir(fd) as entries:
            told = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        self._os.close(fd)
        return told


def _nothing(*_: Any) -> None:
    """Let it happen."""


def a_disk() -> tuple[Disk, Calls]:
    """Return an empty disk, and the calls of its user."""
    disk = Disk(PLACE, lambda: 1_800_000_000 * 10**9)
    return disk, Calls(disk, _nothing, is_owner=True)


@given(script=st.lists(acts, max_size=25))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_it_answers_as_the_kernel_does(script: list[tuple[Any, ...]]) -> None:
    """Every call that the product makes gives the same answer, or the same error, on this disk and on a real one."""
    ignore_sigio()
    disk, calls = a_disk()
    simulated = Player(calls, Locks(disk, _nothing), PLACE)
    with tempfile.TemporaryDirectory() as place:
        real = Player(os, fcntl, place)
        try:
            for act in script:
                assert (act, simulated.play(act)) == (act, real.play(act))
        finally:
            real.close()


# --- loss of power


def put(calls: Calls, name: bytes, content: bytes, *, synced: bool) -> None:
    """Write a file at the root."""
    root = calls.open(PLACE, os.O_PATH)
    fd = calls.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=root)
    calls.pwrite(fd, content, 0)
    if synced:
        calls.fsync(fd)
        calls.fsync(root)
    calls.close(fd)
    calls.close(root)


@pytest.mark.parametrize("seed", range(50))
def test_what_was_synced_stays(seed: int) -> None:
    """Bytes and name, whatever becomes of others."""
    disk, calls = a_disk()
    put(calls, b"a", b"synced", synced=True)
    put(calls, b"b", b"not synced", synced=False)
    disk.lose_power(random.Random(seed))
    assert disk.content("a") == b"synced"


def test_what_was_not_synced_may_be_anything() -> None:
    """Whole, empty, zeros, cut short, not there at all: all of it happens."""
    found = set()
    for seed in range(300):
        disk, calls = a_disk()
        put(calls, b"a", b"content", synced=False)
        disk.lose_power(random.Random(seed))
        found.add(disk.content("a"))
    assert {None, b"content", b"", bytes(7)} < found


def test_a_rename_never_loses_the_file() -> None:
    """It has its old name, its new one or both."""
    found = set()
    for seed in range(300):
        disk, calls = a_disk()
        put(calls, b"old", b"content", synced=True)
        root = calls.open(PLACE, os.O_PATH)
        calls.rename(b"old", b"new", src_dir_fd=root, dst_dir_fd=root)
        disk.lose_power(random.Random(seed))
        found.add((disk.content("old"), disk.content("new")))
    assert found == {(b"content", None), (None, b"content"), (b"content", b"content")}


def test_what_was_not_touched_since_it_was_synced_is_not_torn() -> None:
    """Of a file that was added to, only the new bytes are in doubt."""
    for seed in range(300):
        disk, calls = a_disk()
        put(calls, b"a", b"synced", synced=True)
        root = calls.open(PLACE, os.O_PATH)
        fd = calls.open(b"a", os.O_WRONLY, dir_fd=root)
        calls.pwrite(fd, b" and more", 6)
        disk.lose_power(random.Random(seed))
        assert (disk.content("a") or b"").startswith(b"synced")


def test_a_call_that_is_not_simulated_is_an_error() -> None:
    """Nothing reaches the real disk by mistake."""
    _, calls = a_disk()
    with pytest.raises(AttributeError, match="not simulated"):
        calls.truncate("/etc/passwd", 0)


def test_no_time_goes_back_within_a_tick() -> None:
    """A change after a look moves on within it, and one that nobody looked before takes no time of before that."""
    now = 1_000_000_001
    disk = Disk(PLACE, lambda: now)
    node = disk.make(is_directory=False, mode=0o644, is_owners=True)
    node.was_looked_at = True
    node.ctime_ns = disk.stamp(node)
    assert node.ctime_ns == now
    now += 1
    assert disk.stamp(node) == node.ctime_ns
