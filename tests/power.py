"""A disk as it is, in a process that only has a kernel's cache: what was not synced does not survive a power cut.

`Power.on` watches what this process does with files. A sync that fails loses the bytes that it was about, as kernels
do; `cut` takes back every name and every byte that was never synced, whatever the cache still shows.
"""

# pathlib calls what is watched here.
# ruff: noqa: PTH100, PTH112, PTH114, PTH115, PTH118, PTH120

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAMING = ("open", "link", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "fsync")
WRITING = ("write", "pwrite", "posix_fallocate", "copy_file_range", "sendfile")
WATCHED = {name: getattr(os, name) for name in (*NAMING, *WRITING)}
"""The calls as they were."""


@dataclass
class Act:
    """Something done to names: durable once all of its directories are synced, till then `undo` takes it back."""

    undo: Callable[[], object]
    directories: set[str]


@dataclass
class Power:
    """What this process has done to the files below `root` and not synced."""

    root: Path
    acts: list[Act] = field(default_factory=list)
    dirty: dict[int, int] = field(default_factory=dict)
    """A descriptor of ours for each inode whose bytes are not synced."""

    def __post_init__(self) -> None:
        self._kept = Path(tempfile.mkdtemp(prefix=".kept-", dir=self.root))
        # Our own calls must not be counted among those of the process: a tracer sees one thread only.
        self._aside = ThreadPoolExecutor(1)

    def on(self) -> None:
        """Watch from now on."""
        for name in WATCHED:
            setattr(os, name, partial(getattr(self, f"_{name}", self._write), getattr(os, name)))

    def cut(self) -> None:
        """Take back whatever was not synced, and watch no more."""
        for name, real in WATCHED.items():
            setattr(os, name, real)
        self._away(self._cut)

    def _cut(self) -> None:
        for act in reversed(self.acts):
            act.undo()
        for fd in self.dirty.values():
            _lose(fd)

    def _away(self, work: Callable[..., Any], *args: Any) -> Any:
        return self._aside.submit(work, *args).result()

    def _note(self, undo: Callable[[], object], *places: str) -> None:
        self.acts.append(Act(undo, {os.path.dirname(place) for place in places}))

    # What the process calls.

    def _open(self, real: Any, path: Any, flags: int, *args: Any, **named: Any) -> int:
        place = _place(path, named.get("dir_fd"))
        creates = flags & os.O_CREAT and not self._away(os.path.lexists, place)
        fd: int = real(path, flags, *args, **named)
        if creates:
            self._note(partial(_drop, place), place)
        return fd

    def _link(self, real: Any, source: Any, target: Any, **named: Any) -> None:
        real(source, target, **named)
        place = _place(target, named.get("dst_dir_fd"))
        self._note(partial(_drop, place), place)

    def _rename(self, real: Any, source: Any, target: Any, **named: Any) -> None:
        before, after = _place(source, named.get("src_dir_fd")), _place(target, named.get("dst_dir_fd"))
        replaced = self._away(self._keep, after)
        try:
            real(source, target, **named)
        except OSError:
            if replaced is not None:
                self._away(WATCHED["unlink"], replaced)
            raise
        self._note(partial(_move_back, before, after, replaced), before, after)

    _replace = _rename

    def _unlink(self, real: Any, path: Any, **named: Any) -> None:
        place = _place(path, named.get("dir_fd"))
        kept = self._away(self._keep, place)
        try:
            real(path, **named)
        except OSError:
            if kept is not None:
                self._away(WATCHED["unlink"], kept)
            raise
        self._note(partial(_move_back, None, place, kept), place)

    _remove = _unlink

    def _mkdir(self, real: Any, path: Any, *args: Any, **named: Any) -> None:
        real(path, *args, **named)
        place = _place(path, named.get("dir_fd"))
        self._note(partial(_drop, place), place)

    def _rmdir(self, real: Any, path: Any, **named: Any) -> None:
        real(path, **named)
        place = _place(path, named.get("dir_fd"))
        self._note(partial(Path(place).mkdir, exist_ok=True), place)

    def _fsync(self, real: Any, fd: int) -> None:
        found = os.fstat(fd)
        try:
            real(fd)
        except OSError:
            if stat.S_ISREG(found.st_mode):
                self._away(_lose, fd)
            raise
        if stat.S_ISREG(found.st_mode):
            if (ours := self.dirty.pop(found.st_ino, None)) is not None:
                os.close(ours)
            return
        directory = _place("", fd)
        for act in self.acts:
            act.directories.discard(directory)
        self.acts = [act for act in self.acts if act.directories]

    def _write(self, real: Any, fd: int, *args: Any, **named: Any) -> Any:
        count = real(fd, *args, **named)
        inode = os.fstat(fd).st_ino
        if inode not in self.dirty:
            self.dirty[inode] = os.dup(fd)
        return count

    def _copy_file_range(self, real: Any, source: int, target: int, *args: Any) -> Any:
        return self._write(lambda target: real(source, target, *args), target)

    def _keep(self, place: str) -> Path | None:
        """Hold on to a file that is about to lose its name."""
        kept = self._kept / str(len(list(self._kept.iterdir())))
        try:
            WATCHED["link"](place, kept, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return kept


def _place(path: Any, directory: int | None) -> str:
    """Return the absolute path that a call is about."""
    name = os.fsdecode(path)
    if directory is None:
        return os.path.abspath(name)
    above = os.readlink(f"/proc/self/fd/{directory}")
    return os.path.normpath(os.path.join(above, name))


def _drop(place: str) -> None:
    """Take back that a file or a directory was made; what was put into it goes with it."""
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place, ignore_errors=True)
    elif os.path.lexists(place):
        WATCHED["unlink"](place)


def _move_back(before: str | None, after: str, replaced: Path | None) -> None:
    if before is not None and os.path.lexists(after):
        WATCHED["rename"](after, before)
    if replaced is not None and replaced.exists() and not os.path.lexists(after):
        Path(after).parent.mkdir(parents=True, exist_ok=True)
        WATCHED["rename"](replaced, after)


def _lose(fd: int) -> None:
    """Nothing of a file's bytes reached the disk."""
    with Path(f"/proc/self/fd/{fd}").open("r+b", buffering=0) as file:
        file.write(bytes(os.fstat(fd).st_size))
