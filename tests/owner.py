"""The owner of the files in the simulated world: what he does to them, and what he may expect to find.

`expected` is what his last act left at a path: it must be somewhere until he deletes it. After a loss of power it is
what may have become of an act that he did not sync. `history` is all that was ever his at a path: what he has deleted
may come back from the store, or not, but nothing else may.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from mortal import World
    from simulated_disk import Node

PATHS: Final = ("a", "b.bin", "d/c", "d/e/f")
SIZES: Final = (0, 6, 500, 3000, 3001, 4500)


class Owner:
    """Acts at once, at any moment of the daemon's; every act returns whether it could be done now."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._disk = world.disk
        self._os = world.users_os
        self._versions = 0
        self.expected: dict[str, set[bytes]] = {}
        self.history: dict[str, set[bytes]] = {path: set() for path in PATHS}
        self.promised: dict[str, bytes] = {}
        """What was cold at each path when the index was lost, until he puts something there or takes it away."""
        self.unsynced: set[str] = set()
        """Paths whose last act a loss of power may undo."""
        self.seen: dict[str, set[bytes | None]] = {}
        """What was to be found at each path at some moment of the present step; None: nothing, or what was deleted."""
        self.writers: dict[int, str] = {}
        """Descriptors that are held open for writing, and the path each was opened at."""
        self.readers: dict[int, bytes] = {}
        """Descriptors that are held open for reading, and what each must give."""

    # What he expects

    def watch(self) -> None:
        """Begin to note what is to be found."""
        self.seen = {path: set(self.expected.get(path, {None})) for path in PATHS}

    def _left(self, paths: Iterable[str], content: bytes, *, synced: bool) -> None:
        for path in paths:
            self.expected[path] = {content}
            self.promised.pop(path, None)
            self.history[path].add(content)
            self.seen.setdefault(path, set()).add(content)
            (self.unsynced.discard if synced else self.unsynced.add)(path)

    def _gone(self, path: str, *, synced: bool) -> None:
        self.expected.pop(path, None)
        self.promised.pop(path, None)
        self.seen.setdefault(path, set()).add(None)
        (self.unsynced.discard if synced else self.unsynced.add)(path)

    def _names_of(self, node: Node) -> list[str]:
        return [path for path in PATHS if self._disk.node(path) is node]

    def is_somewhere_else(self, content: bytes, path: str) -> bool:
        """Whether another path still expects this content."""
        return any(content in self.expected.get(other, ()) for other in PATHS if other != path)

    # What he does

    def fresh(self, size: int) -> bytes:
        """Return content that never was."""
        self._versions += 1
        return (b"%06d" % self._versions * (size // 6 + 1))[:size]

    def _parent(self, path: str) -> int:
        """Return the directory of this path, made where it is not there."""
        held = self._os.open(self._disk.place, os.O_PATH)
        for name in os.fsencode(path).split(b"/")[:-1]:
            if name not in self._disk.opening(held).node.names:
                self._os.mkdir(name, dir_fd=held)
            below = self._os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=held)
            self._os.close(held)
            held = below
        return held

    def _sync(self, path: str) -> None:
        """Sync a file, if it is there, and every directory on the way to it."""
        node = self._disk.root
        for name in os.fsencode(path).split(b"/"):
            self._disk.sync(node)
            if name not in node.names:
                return
            node = node.names[name]
        self._disk.sync(node)

    def _finish(self, path: str, content: bytes, chance: random.Random) -> bool:
        synced = chance.random() < 0.6
        node = self._disk.node(path)
        assert node is not None
        names = self._names_of(node)
        if synced:
            for name in names:
                self._sync(name)
        self._left(names, content, synced=synced)
        self._world.trace.append(f"OWNER left {len(content)} bytes at {names}{' synced' if synced else ''}")
        return True

    def _open(self, path: str, flags: int) -> int | None:
        parent = self._parent(path)
        try:
            return self._os.open(os.fsencode(path).rpartition(b"/")[2], flags, 0o644, dir_fd=parent)
        except BlockingIOError:
            return None
        finally:
            self._os.close(parent)

    def write(self, path: str, size: int, chance: random.Random) -> bool:
        """Write the file in place, or make it."""
        fd = self._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if fd is None:
            return False
        content = self.fresh(size)
        self._os.pwrite(fd, content, 0)
        self._os.close(fd)
        return self._finish(path, content, chance)

    def append(self, path: str, chance: random.Random) -> bool:
        """Add some bytes to a file."""
        return self._patch(path, self.fresh(chance.choice((6, 300, 1000))), None, chance, keeps_date=False)

    def patch(self, path: str, chance: random.Random) -> bool:
        """Change some bytes of a file, perhaps giving it its old date back."""
        # Where times tick, one such change within the tick of a promotion could not be seen, and is not promised to be.
        keeps_date = self._disk.has_fine_times and chance.random() < 0.5
        return self._patch(path, self.fresh(6), 0, chance, keeps_date=keeps_date)

    def _patch(self, path: str, data: bytes, at: int | None, chance: random.Random, *, keeps_date: bool) -> bool:
        node = self._disk.node(path)
        if node is None:
            return True
        fd = self._open(path, os.O_WRONLY)
        if fd is None:
            return False
        dates = (node.atime_ns, node.mtime_ns)
        self._os.pwrite(fd, data, len(node.data) if at is None else at)
        if keeps_date:
            self._os.utime(fd, ns=dates)
        self._os.close(fd)
        return self._finish(path, node.data, chance)

    def save(self, path: str, size: int, chance: random.Random) -> bool:
        """Write another file and rename it over this one."""
        content = self.fresh(size)
        parent = self._parent(path)
        name = os.fsencode(path).rpartition(b"/")[2]
        fd = self._os.open(b".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=parent)
        self._os.pwrite(fd, content, 0)
        if chance.random() < 0.7:
            self._os.fsync(fd)
        self._os.close(fd)
        self._os.rename(b".new", name, src_dir_fd=parent, dst_dir_fd=parent)
        self._os.close(parent)
        return self._finish(path, content, chance)

    def delete(self, path: str, chance: random.Random) -> bool:
        """Delete a file; one that is cold cannot be deleted so."""
        if self._disk.node(path) is None:
            return True
        parent = self._parent(path)
        self._os.unlink(os.fsencode(path).rpartition(b"/")[2], dir_fd=parent)
        synced = chance.random() < 0.6
        if synced:
            self._disk.sync(self._disk.opening(parent).node)
        self._os.close(parent)
        self._gone(path, synced=synced)
        self._world.trace.append(f"OWNER deleted {path}")
        return True

    def rename(self, old: str, new: str, chance: random.Random, *, link: bool = False) -> bool:
        """Rename a file, perhaps over another; or give it a second name."""
        node = self._disk.node(old)
        there = self._disk.node(new)
        if old == new or node is None or there is node or (link and there is not None):
            return True
        source, target = self._parent(old), self._parent(new)
        names = [os.fsencode(path).rpartition(b"/")[2] for path in (old, new)]
        (self._os.link if link else self._os.rename)(*names, src_dir_fd=source, dst_dir_fd=target)
        self._world.trace.append(f"OWNER {'linked' if link else 'renamed'} {old} {new}")
        self._os.close(source)
        self._os.close(target)
        self.history[new] |= self.history[old]
        was_unsynced = bool(self.unsynced & {old, new})
        self._finish(new, node.data, chance)
        synced = new not in self.unsynced
        if synced:
            self._sync(old)
        if not link:
            self._gone(old, synced=synced)
        elif was_unsynced and not synced:
            self.unsynced.add(old)
        return True

    def touch(self, path: str, chance: random.Random) -> bool:
        """Change a file's date or mode and not its bytes."""
        node = self._disk.node(path)
        if node is not None:
            fd = self._open(path, os.O_RDONLY)
            if fd is None:
                return False
            if chance.random() < 0.5:
                self._os.fchmod(fd, chance.choice((0o600, 0o644)))
            else:
                self._os.utime(fd, ns=(node.atime_ns, node.mtime_ns + chance.choice((-(10**9), 1, 10**9))))
            self._os.close(fd)
        return True

    # What he holds open

    def hold(self, path: str, *, writing: bool) -> bool:
        """Open a file and keep it open; to write it only where there are file leases, for else nobody could know."""
        node = self._disk.node(path)
        if node is None or len(self.writers) + len(self.readers) >= 4:
            return True
        writing = writing and self._disk.grants_leases
        fd = self._open(path, os.O_RDWR if writing else os.O_RDONLY)
        if fd is None:
            return False
        if writing:
            self.writers[fd] = path
        else:
            self.readers[fd] = node.data
        return True

    def go_on(self, chance: random.Random) -> bool:
        """Write or close something that is held open."""
        held = [*self.writers, *self.readers]
        if held:
            fd = chance.choice(held)
            if fd in self.writers and chance.random() < 0.6:
                self.write_on(fd, chance)
            else:
                self.let_go(fd)
        return True

    def write_on(self, fd: int, chance: random.Random) -> None:
        """Write through what was opened long ago. It must still have a name, if he has not taken it away."""
        node = self._disk.opening(fd).node
        before = node.data
        self._os.pwrite(fd, self.fresh(6), chance.choice((0, len(node.data))))
        for reader, content in self.readers.items():
            if content == before and self._disk.opening(reader).node is node:
                self.readers[reader] = node.data
        names = self._names_of(node)
        self._left(names, node.data, synced=False)
        self._world.trace.append(f"OWNER wrote on at {names}")
        home = self.writers[fd]
        # Of two empty files nobody can tell which it was.
        if not names and before and self.expected.get(home) == {before}:
            self._world.violate(f"I1: {home} was taken away from one who writes it")

    def let_go(self, fd: int) -> None:
        """Close what was held open; one who reads must have got what was there when he opened it."""
        node = self._disk.opening(fd).node
        if fd in self.readers and self.readers.pop(fd) != node.data and not node.is_owners:
            self._world.violate("I3: what somebody reads was changed under him")
        self.writers.pop(fd, None)
        self._os.close(fd)

    # What he finds after a loss of power

    def look_after_loss(self, trashed: dict[str, Node], proven: dict[str, set[bytes]]) -> None:
        """Expect what is there now wherever the last act was not synced.

        `trashed` is what the trash holds, by the path it came from; `proven` what the index knows to be in the store.
        """
        self.writers.clear()
        self.readers.clear()
        for path in PATHS:
            self._find(path, trashed.get(path), proven.get(path, set()))
        self.unsynced.clear()

    def _find(self, path: str, trashed: Node | None, proven: set[bytes]) -> None:
        node = self._disk.node(path)
        for found in (node, trashed):
            if found is not None and found.is_torn and not found.is_owners:
                self._world.violate(f"I3: {path} is not what was promoted")
        if path not in self.unsynced:
            return
        self.history[path].update(each.data for each in (node, trashed) if each is not None)
        # What is in the trash of a path that nothing is expected at was on its way out by a person's order.
        trashed = trashed if path in self.expected else None
        found = [each.data for each in (node, trashed) if each is not None]
        # A rename that was undone leaves its content where it came from.
        elsewhere = {self._disk.content(other) for other in PATHS if other != path}
        # Of a file that looks as it was when it was proven, what was proven may come back.
        is_torn = any(each is not None and each.is_torn for each in (node, trashed))
        kept = (self.history[path] if is_torn else self.expected.get(path, set())) & proven - elsewhere
        if found or kept:
            self.expected[path] = {*found, *kept}
        else:
            self.expected.pop(path, None)
