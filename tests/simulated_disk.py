"""A disk in memory, as Linux shows it to one program and its users, that can lose its power.

What is written, linked, renamed or unlinked is seen at once, as in the page cache, and survives a crash for certain
only once it was synced: a file's bytes by an fsync of the file, a name by an fsync of its directory. Of the rest
`lose_power` keeps any part. Two promises are those of every journalling file system: a rename never loses the old name
without the new one being there, and what was synced stays.

`Calls` stands in for the module `os`, `Locks` for `fcntl`: they have what the product uses and nothing else, so that a
call that is not simulated is an error and not a touch of the real disk. Not simulated: symbolic links, rights, reads
and writes that are shorter than asked for, and file systems without O_TMPFILE.
"""

# ruff: noqa: D102 - the calls are those of os and fcntl, and do what those do

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Before = Callable[[str, "Node | None", bytes], None]
"""Told before each call: its name, and which file and name it is about."""
CHANGES = frozenset(
    {"create", "mkdir", "rmdir", "rename", "link", "unlink", "fsync", "pwrite", "posix_fallocate", "fchmod", "utime"}
)
"""The calls that change something."""

TICK_NS = 4_000_000
"""File times move on in steps of the kernel's timer."""
BLOCK = 512
FIRST_FD = 1000
CONSTANTS = {"fsencode", "fspath"}


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class Seen(NamedTuple):
    """What stat tells."""

    st_mode: int
    st_ino: int
    st_nlink: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_atime_ns: int
    st_blocks: int


class Room(NamedTuple):
    """What statvfs tells."""

    f_frsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int


class Kept(NamedTuple):
    """A file as it was last synced."""

    data: bytes
    mode: int
    mtime_ns: int
    ctime_ns: int


NEVER = Kept(b"", 0, 0, 0)


@dataclass(eq=False, slots=True)
class Node:
    """A file or a directory. `names` is what a directory holds, `kept_names` what it holds for certain."""

    number: int
    is_directory: bool
    mode: int
    is_owners: bool
    """Whether the bytes are not tierd's."""
    mtime_ns: int = 0
    ctime_ns: int = 0
    atime_ns: int = 0
    links: int = 0
    data: bytes = b""
    kept: Kept = NEVER
    names: dict[bytes, Node] = field(default_factory=dict)
    kept_names: dict[bytes, Node] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)
    lease: tuple[Opening, int] | None = None
    is_awaited: bool = False
    was_looked_at: bool = False
    is_torn: bool = False
    """Whether a loss of power left a mixture: of old and new bytes, or of bytes and times."""

    def now_kept(self) -> Kept:
        """Return what an fsync would make certain."""
        return Kept(self.data, self.mode, self.mtime_ns, self.ctime_ns)

    def is_leased_against(self, *, writing: bool) -> bool:
        """Whether an open would have to wait."""
        return self.lease is not None and (writing or self.lease[1] == fcntl.F_WRLCK)


@dataclass(eq=False, slots=True)
class Opening:
    """An open file description."""

    node: Node
    flags: int
    descriptors: int = 1
    position: int = 0

    @property
    def writes(self) -> bool:
        """Whether bytes may be written through it."""
        return self.flags & os.O_ACCMODE != os.O_RDONLY


class Entry(NamedTuple):
    """One name of one directory: what it stands for from now on, None for nothing."""

    directory: Node
    name: bytes
    node: Node | None


class Disk:
    """The tree, who has what open, and which changes of names a loss of power may undo."""

    def __init__(self, place: str, now_ns: Callable[[], int]) -> None:
        self.place = place
        self.now_ns = now_ns
        self.grants_leases = True
        self.has_fine_times = True
        """Whether a time that was looked at moves on with the next change, as from Linux 6.13 on, without a tick."""
        self._latest_ns = 0
        """The latest time between ticks that a file was given."""
        self.is_mounted = True
        self._numbers = 1
        self.root = self._directory()
        self._empty = self._directory()
        """What is at the place while nothing is mounted there."""
        self.unsynced: list[list[Entry]] = []
        """Changes of names in order. Of a rename, the new name comes first."""
        self._openings: dict[int, Opening] = {}
        self._next_fd = FIRST_FD
        self.lent: set[int] = set()
        """Descriptors of the users; all others are the daemon's."""

    # The tree

    def _directory(self) -> Node:
        return self.make(is_directory=True, mode=0o755, is_owners=True)

    def make(self, *, is_directory: bool, mode: int, is_owners: bool) -> Node:
        """Return a node without a name."""
        self._numbers += 1
        node = Node(self._numbers, is_directory, mode, is_owners)
        node.mtime_ns = node.ctime_ns = node.atime_ns = self.tick()
        return node

    def tick(self) -> int:
        """Return the time as files get it."""
        now = self.now_ns()
        return now - now % TICK_NS

    def stamp(self, node: Node) -> int:
        """Return the time of a change to a file."""
        now = self.tick()
        if self.has_fine_times:
            if self._latest_ns // TICK_NS == now // TICK_NS:
                # No time of a tick is before one that was given since.
                now = self._latest_ns
            if node.was_looked_at and now <= node.ctime_ns:
                now = self._latest_ns = max(self.now_ns(), node.ctime_ns + 1)
        node.was_looked_at = False
        return now

    def top(self) -> Node:
        """Return what is at the place now."""
        return self.root if self.is_mounted else self._empty

    def node(self, path: str) -> Node | None:
        """Return what is at a path beneath the root."""
        node: Node | None = self.root
        for name in os.fsencode(path).split(b"/"):
            node = node.names.get(name) if node is not None else None
        return node

    def has_home(self, path: str) -> bool:
        """Whether the directory is there that a path is in."""
        return self.node(path.rpartition("/")[0]) is not None if "/" in path else True

    def content(self, path: str) -> bytes | None:
        """Return what the file holds, None where there is none."""
        node = self.node(path)
        return None if node is None or node.is_directory else node.data

    def files(self, directory: str) -> dict[str, Node]:
        """Return the files in a directory by their names."""
        node = self.node(directory)
        return {} if node is None else {os.fsdecode(name): each for name, each in node.names.items()}

    def change(self, *entries: Entry) -> None:
        """Change names, all at once; a loss of power may undo it until the directories are synced."""
        now = self.tick()
        for directory, name, node in entries:
            old = directory.names.pop(name, None)
            if old is not None:
                old.links -= 1
                old.ctime_ns = self.stamp(old)
            if node is not None:
                directory.names[name] = node
                node.links += 1
                node.ctime_ns = self.stamp(node)
            directory.mtime_ns = directory.ctime_ns = now
        self.unsynced.append(list(entries))

    def sync(self, node: Node) -> None:
        """Make certain what this node holds."""
        if not node.is_directory:
            node.is_torn = node.is_torn and node.data == node.kept.data
            node.kept = node.now_kept()
            return
        certain = {
            at: change if len(change) == 2 and change[1].directory is node else here
            for at, change in enumerate(self.unsynced)
            # A rename whose old name is certain to be gone has its new name for certain.
            if (here := [entry for entry in change if entry.directory is node])
        }
        last: dict[tuple[Node, bytes], int] = {}
        for at, entries in certain.items():
            _keep(entries)
            last.update({(entry.directory, entry.name): at for entry in entries})
        # What came before a change that is certain cannot come after it.
        remaining = [
            [
                each
                for each in change
                if each not in certain.get(at, ()) and last.get((each.directory, each.name), -1) < at
            ]
            for at, change in enumerate(self.unsynced)
        ]
        self.unsynced = [change for change in remaining if change]

    # Open files

    def open_node(self, node: Node, flags: int) -> int:
        """Return a new descriptor."""
        opening = Opening(node, flags)
        if not flags & os.O_PATH:
            node.openings.append(opening)
        return self._enter(opening)

    def _enter(self, opening: Opening) -> int:
        self._next_fd += 1
        self._openings[self._next_fd] = opening
        return self._next_fd

    def opening(self, fd: int) -> Opening:
        """Return what the descriptor stands for."""
        try:
            return self._openings[fd]
        except KeyError:
            raise _error(errno.EBADF) from None

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        opening = self.opening(fd)
        del self._openings[fd]
        self.lent.discard(fd)
        opening.descriptors -= 1
        if opening.descriptors == 0 and opening in opening.node.openings:
            opening.node.openings.remove(opening)
            if opening.node.lease is not None and opening.node.lease[0] is opening:
                opening.node.lease, opening.node.is_awaited = None, False

    def duplicate(self, fd: int, over: int) -> None:
        """Let one descriptor stand for what another stands for."""
        opening = self.opening(fd)
        self.close(over)
        opening.descriptors += 1
        self._openings[over] = opening

    def held(self) -> list[int]:
        """Return the daemon's descriptors."""
        return [fd for fd in self._openings if fd not in self.lent]

    def is_in_use(self, node: Node) -> bool:
        """Whether somebody else than the daemon has a file open."""
        return any(self._openings[fd].node is node and not self._openings[fd].flags & os.O_PATH for fd in self.lent)

    def end_process(self) -> None:
        """The daemon is gone, and nothing else."""
        for fd in self.held():
            self.close(fd)

    # Loss of power

    def lose_power(self, chance: random.Random) -> None:
        """Everybody is gone, and of what was not synced any part."""
        for fd in list(self._openings):
            self.close(fd)
        share = chance.choice((0.0, 0.0, 0.5, 0.5, 0.8, 1.0))
        for change in self.unsynced:
            if chance.random() < share:
                # Of a rename, the old name may have been kept as well.
                _keep(change[:1] if len(change) == 2 and chance.random() < 0.25 else change)
        self.unsynced = []
        reached: set[Node] = set()
        self._revive(self.root, reached)
        for node in sorted(reached, key=lambda each: each.number):
            if not node.is_directory:
                _tear(node, chance)

    def _revive(self, directory: Node, reached: set[Node]) -> None:
        directory.names = dict(directory.kept_names)
        for node in directory.names.values():
            node.links = node.links + 1 if node in reached else 1
            if node not in reached:
                reached.add(node)
                if node.is_directory:
                    self._revive(node, reached)


def _keep(change: list[Entry]) -> None:
    for directory, name, node in change:
        if node is None:
            directory.kept_names.pop(name, None)
        else:
            directory.kept_names[name] = node


def _tear(node: Node, chance: random.Random) -> None:
    """Leave of a file that was not synced what a file system may leave."""
    written, old = node.now_kept(), node.kept.data
    if written == node.kept:
        return
    data = old
    if written.data != old:
        pairs = zip(written.data, old, strict=False)
        same = next((at for at, (new, was) in enumerate(pairs) if new != was), min(len(written.data), len(old)))
        torn = chance.choice((_all, _none, _zeros, _prefix, _hole))
        data = old[:same] + torn(written.data[same:], old[same:], chance)
    # The size and the times are the journal's: they may be newer than the bytes, or older.
    meta = written if len(data) != len(old) or chance.random() < 0.5 else node.kept
    # What comes back as it was synced may be a mixture that an earlier loss of power left.
    if (data, meta) != (old, node.kept):
        node.is_torn = written.data != old and (data, meta) != (written.data, written)
    node.data, node.mode, node.mtime_ns, node.ctime_ns = data, meta.mode, meta.mtime_ns, meta.ctime_ns
    node.kept = node.now_kept()


def _all(new: bytes, _old: bytes, _chance: random.Random) -> bytes:
    return new


def _none(_new: bytes, old: bytes, _chance: random.Random) -> bytes:
    return old


def _zeros(new: bytes, _old: bytes, _chance: random.Random) -> bytes:
    return bytes(len(new))


def _prefix(new: bytes, _old: bytes, chance: random.Random) -> bytes:
    return new[: chance.randint(0, len(new))]


def _hole(new: bytes, _old: bytes, chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(new)), chance.randint(0, len(new))))
    return new[:start] + bytes(end - start) + new[end:]


class _Raw(io.RawIOBase):
    """A file object on a descriptor of the disk."""

    def __init__(self, calls: Calls, fd: int) -> None:
        self._calls = calls
        self._fd = fd

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        opening = self._calls.disk.opening(self._fd)
        chunk = self._calls.pread(self._fd, len(buffer), opening.position)
        buffer[: len(chunk)] = chunk
        opening.position += len(chunk)
        return len(chunk)

    def write(self, data: Any) -> int:
        opening = self._calls.disk.opening(self._fd)
        opening.position += self._calls.pwrite(self._fd, bytes(data), opening.position)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._calls.close(self._fd)


class Item:
    """An entry of a directory that is listed."""

    def __init__(self, name: bytes, node: Node) -> None:
        self.name = os.fsdecode(name)
        self._node = node

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._node.is_directory

    def stat(self, *, follow_symlinks: bool = True) -> Seen:
        return look(self._node)


def look(node: Node) -> Seen:
    """Return what stat tells of a node."""
    node.was_looked_at = True
    kind = stat.S_IFDIR if node.is_directory else stat.S_IFREG
    blocks = -(-len(node.data) // BLOCK)
    return Seen(
        kind | node.mode,
        node.number,
        node.links,
        len(node.data),
        node.mtime_ns,
        node.ctime_ns,
        node.atime_ns,
        blocks,
    )


class Calls:
    """The calls of one who uses the disk. `before` is told of each call."""

    def __init__(self, disk: Disk, before: Before, *, is_owner: bool) -> None:
        self.disk = disk
        self._before = before
        self._is_owner = is_owner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("O_") or name in CONSTANTS:
            return getattr(os, name)
        raise AttributeError(f"os.{name} is not simulated")

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if os.fspath(path) == self.disk.place:
            return self._lend(self.disk.open_node(self.disk.top(), flags))
        if dir_fd is None:
            node = self.disk.opening(_number(path)).node
            return self._lend(self.disk.open_node(node, flags))
        directory = self.disk.opening(dir_fd).node
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            self._before("create", None, b"")
            return self._lend(self.disk.open_node(self._file(mode), flags & ~os.O_TMPFILE))
        node = directory if path == b"." else directory.names.get(path)
        self._before("create" if node is None and flags & os.O_CREAT else "open", node, path)
        # Looked up again: somebody may have been quicker.
        node = directory if path == b"." else directory.names.get(path)
        if node is None:
            node = self._create(directory, path, flags, mode)
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        self._require_openable(node, flags)
        fd = self.disk.open_node(node, flags)
        if flags & os.O_TRUNC:
            self._write(node, b"")
        return self._lend(fd)

    def _lend(self, fd: int) -> int:
        if self._is_owner:
            self.disk.lent.add(fd)
        return fd

    def _file(self, mode: int) -> Node:
        return self.disk.make(is_directory=False, mode=mode, is_owners=self._is_owner)

    def _create(self, directory: Node, name: bytes, flags: int, mode: int) -> Node:
        if not flags & os.O_CREAT:
            raise _error(errno.ENOENT)
        node = self._file(mode)
        self.disk.change(Entry(directory, name, node))
        return node

    def _require_openable(self, node: Node, flags: int) -> None:
        writing = flags & os.O_ACCMODE != os.O_RDONLY
        if flags & os.O_DIRECTORY and not node.is_directory:
            raise _error(errno.ENOTDIR)
        if node.is_directory and writing:
            raise _error(errno.EISDIR)
        if not flags & os.O_PATH and node.is_leased_against(writing=writing):
            node.is_awaited = True
            raise _error(errno.EAGAIN)

    def close(self, fd: int) -> None:
        self.disk.close(fd)

    def fstat(self, fd: int) -> Seen:
        self._before("fstat", None, b"")
        return look(self.disk.opening(fd).node)

    def stat(self, name: bytes, *, dir_fd: int, follow_symlinks: bool) -> Seen:
        self._before("stat", None, b"")
        return look(self._named(dir_fd, name))

    def _named(self, dir_fd: int, name: bytes) -> Node:
        try:
            return self.disk.opening(dir_fd).node.names[name]
        except KeyError:
            raise _error(errno.ENOENT) from None

    def mkdir(self, name: bytes, mode: int = 0o777, *, dir_fd: int) -> None:
        self._before("mkdir", None, name)
        directory = self.disk.opening(dir_fd).node
        if name in directory.names:
            raise _error(errno.EEXIST)
        node = self.disk.make(is_directory=True, mode=mode, is_owners=self._is_owner)
        self.disk.change(Entry(directory, name, node))

    def rename(self, old: bytes, new: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        self._before("rename", self.disk.opening(src_dir_fd).node.names.get(old), new)
        node = self._named(src_dir_fd, old)
        source, target = self.disk.opening(src_dir_fd).node, self.disk.opening(dst_dir_fd).node
        # Of two names of one file, POSIX leaves both.
        if target.names.get(new) is not node:
            self.disk.change(Entry(target, new, node), Entry(source, old, None))

    def link(
        self,
        source: Any,
        name: bytes,
        *,
        dst_dir_fd: int,
        src_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        self._before("link", None, name)
        node = self.disk.opening(_number(source)).node if src_dir_fd is None else self._named(src_dir_fd, source)
        directory = self.disk.opening(dst_dir_fd).node
        if name in directory.names:
            raise _error(errno.EEXIST)
        self.disk.change(Entry(directory, name, node))

    def unlink(self, name: bytes, *, dir_fd: int) -> None:
        self._before("unlink", self.disk.opening(dir_fd).node.names.get(name), name)
        self._named(dir_fd, name)
        self.disk.change(Entry(self.disk.opening(dir_fd).node, name, None))

    def rmdir(self, name: bytes, *, dir_fd: int) -> None:
        self._before("rmdir", None, name)
        if self._named(dir_fd, name).names:
            raise _error(errno.ENOTEMPTY)
        self.disk.change(Entry(self.disk.opening(dir_fd).node, name, None))

    def fsync(self, fd: int) -> None:
        self._before("fsync", self.disk.opening(fd).node, b"")
        self.disk.sync(self.disk.opening(fd).node)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        self._before("pwrite", None, b"")
        opening = self.disk.opening(fd)
        if not opening.writes or opening.flags & os.O_PATH:
            raise _error(errno.EBADF)
        node = opening.node
        grown = node.data.ljust(offset, b"\0")
        self._write(node, grown[:offset] + bytes(data) + grown[offset + len(data) :])
        return len(data)

    def _write(self, node: Node, data: bytes) -> None:
        if self._is_owner:
            node.is_owners = True
        elif node.is_owners:
            raise AssertionError("tierd writes to a file of its owner")
        node.data = data
        node.mtime_ns = node.ctime_ns = self.disk.stamp(node)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._before("pread", None, b"")
        opening = self.disk.opening(fd)
        if opening.flags & (os.O_WRONLY | os.O_PATH):
            raise _error(errno.EBADF)
        return opening.node.data[offset : offset + size]

    def posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        self._before("posix_fallocate", None, b"")
        if size <= 0:
            raise _error(errno.EINVAL)
        node = self.disk.opening(fd).node
        self._write(node, node.data.ljust(offset + size, b"\0"))

    def fchmod(self, fd: int, mode: int) -> None:
        self._before("fchmod", None, b"")
        node = self.disk.opening(fd).node
        node.mode, node.ctime_ns = mode, self.disk.stamp(node)

    def utime(self, fd: int, *, ns: tuple[int, int]) -> None:
        self._before("utime", None, b"")
        node = self.disk.opening(fd).node
        node.atime_ns, node.mtime_ns = ns
        node.ctime_ns = self.disk.stamp(node)

    def dup2(self, fd: int, over: int, *, inheritable: bool) -> None:
        self.disk.duplicate(fd, over)

    def statvfs(self, place: Any) -> Room:
        return Room(4096, 1 << 20, 1 << 19, 1 << 19)

    @contextmanager
    def scandir(self, fd: int) -> Iterator[Iterator[Item]]:
        self._before("scandir", None, b"")
        yield iter([Item(name, node) for name, node in self.disk.opening(fd).node.names.items()])

    def fdopen(self, fd: int, mode: str = "r", **text: Any) -> Any:
        raw = _Raw(self, fd)
        buffered = io.BufferedWriter(raw) if "w" in mode else io.BufferedReader(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **text)


def _number(path: str) -> int:
    """Return the descriptor that a path beneath /proc/self/fd names."""
    return int(path.removeprefix("/proc/self/fd/"))


class Locks:
    """Stands in for the module fcntl: file leases, and nothing else."""

    F_SETLEASE = fcntl.F_SETLEASE
    F_GETLEASE = fcntl.F_GETLEASE
    F_RDLCK = fcntl.F_RDLCK
    F_WRLCK = fcntl.F_WRLCK
    F_UNLCK = fcntl.F_UNLCK

    def __init__(self, disk: Disk, before: Before) -> None:
        self._disk = disk
        self._before = before

    def fcntl(self, fd: int, command: int, kind: int = fcntl.F_UNLCK) -> int:
        opening = self._disk.opening(fd)
        if command == fcntl.F_GETLEASE:
            lease = opening.node.lease
            return fcntl.F_UNLCK if lease is None or opening.node.is_awaited else lease[1]
        if kind == fcntl.F_UNLCK:
            # Whoever waited goes on before we do anything else.
            opening.node.lease, opening.node.is_awaited = None, False
            self._before("unlease", None, b"")
            return 0
        self._before("lease", None, b"")
        if not self._disk.grants_leases:
            raise _error(errno.EACCES)
        if opening.node.is_directory:
            raise _error(errno.EINVAL)
        openings = opening.node.openings
        if any(each.writes for each in openings) if kind == fcntl.F_RDLCK else len(openings) > 1:
            raise _error(errno.EAGAIN)
        opening.node.lease = (opening, kind)
        return 0
