"""Nothing leaves the root, and only the kernel's own word makes a file missing."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from trees import HOSTILE_NAMES, IGNORED, make_tree, open_descriptors, plant

from index.asset import RACY_NS
from tiering import tree as tree_module
from tiering.file_lease import Quiet, ignore_sigio, is_awaited, only_opener
from tiering.tree import (
    BadNameError,
    BusyError,
    ChangedError,
    DiskFullError,
    ExistsError,
    FileError,
    MissingError,
    NotMovableError,
    NotRegularError,
    Tree,
    UnreadableError,
    sighting_of,
    translated,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a prepared tree."""
    return make_tree(tmp_path / "media")


def read(tree: Tree, path: str) -> bytes:
    """Return the content, read as the daemon reads."""
    with os.fdopen(tree.open(path), "rb") as file:
        return file.read()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_every_name_a_file_can_have_is_opened_and_seen(tree: Tree, name: str) -> None:
    """A name is its bytes: none is lost, folded or taken for something else."""
    path = f"{name}/{name}"
    plant(tree, path, name.encode("utf-8", "surrogateescape"))

    assert read(tree, path) == name.encode("utf-8", "surrogateescape")
    assert tree.sight(path).path == path


def test_a_very_deep_path_is_opened(tree: Tree) -> None:
    """A path longer than PATH_MAX works: it is walked, never handed over whole."""
    directory = os.open(tree.root, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=directory)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)

    assert read(tree, "/".join(["d" * 200] * 30) + "/f") == b""


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../media/f", "a/../f", "./f", "a//f", "f/", "nul\0byte", "\ud800", "x" * 256]
)
def test_what_is_no_path_beneath_the_root_is_refused(tree: Tree, path: str) -> None:
    """Nothing but names joined by single slashes is a path."""
    plant(tree, "f")
    for ask in (tree.open, tree.sight):
        with pytest.raises(BadNameError):
            ask(path)


@pytest.mark.parametrize("path", ["none", "none/none", "f/below-a-file"])
def test_only_a_name_that_is_not_there_is_missing(tree: Tree, path: str) -> None:
    """ENOENT, and a file where a directory should be, are the kernel's word that there is nothing."""
    plant(tree, "f")
    for ask in (tree.open, tree.sight):
        with pytest.raises(MissingError):
            ask(path)


def test_a_symbolic_link_is_neither_followed_nor_missing(tree: Tree, tmp_path: Path) -> None:
    """Neither a file that is a link nor one behind a link is opened, and neither counts as missing."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"secret")
    (tree.root / "link").symlink_to(tmp_path / "outside" / "f")
    (tree.root / "directory").symlink_to(tmp_path / "outside")

    for path in ("link", "directory/f", "directory/none"):
        for ask in (tree.open, tree.sight):
            with pytest.raises(NotRegularError):
                ask(path)


def test_a_root_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    """Who configures the root may point at it by a link."""
    real = make_tree(tmp_path / "real")
    plant(real, "f", b"here")
    (tmp_path / "media").symlink_to(tmp_path / "real")

    assert read(Tree(tmp_path / "media", ignored=()), "f") == b"here"


def test_what_is_not_a_regular_file_is_never_opened(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a FIFO would let its writer go on, so it is looked at and left alone."""
    os.mkfifo(tree.root / "pipe")
    (tree.root / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree.root / "sock"))
    opened: list[object] = []
    really_open = os.open

    def recording_open(name: object, *args: object, **kwargs: object) -> int:
        opened.append(name)
        return really_open(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", recording_open)
    for name in ("pipe", "sock", "directory"):
        with pytest.raises(NotRegularError):
            tree.open(name)
    assert not {b"pipe", b"sock", b"directory"} & set(opened)


def test_a_link_swapped_in_never_leads_outside(tree: Tree, tmp_path: Path) -> None:
    """However a directory and a link to elsewhere change places, what is read is from beneath the root."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"outside")
    plant(tree, "d/f", b"inside")
    public, real, link = tree.root / "d", tree.root / "real", tree.root / "link"
    link.symlink_to(tmp_path / "outside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            public.rename(real)
            link.rename(public)
            public.rename(link)
            real.rename(public)

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes = set()
    try:
        for _ in range(20_000):
            try:
                outcomes.add(read(tree, "d/f"))
            except (MissingError, NotRegularError) as refusal:
                outcomes.add(type(refusal))
    finally:
        done.set()
        swapper.join()
    assert b"outside" not in outcomes
    assert b"inside" in outcomes
    assert NotRegularError in outcomes


def test_our_own_reading_leaves_no_trace(tree: Tree) -> None:
    """Reading does not move the access time: else hashing would keep everything hot."""
    plant(tree, "f")
    os.utime(tree.root / "f", ns=(10**18, 10**18 + 10**9))
    before = tree.sight("f").atime_ns
    read(tree, "f")
    assert tree.sight("f").atime_ns == before


def test_opening_waits_for_our_own_file_lease(tree: Tree) -> None:
    """A reader of the daemon that meets the daemon's own lease gets the file as soon as the lease is gone."""
    plant(tree, "f", b"whole")
    held = tree.open("f")
    contents: list[bytes] = []
    reader = threading.Thread(target=lambda: contents.append(read(tree, "f")))
    with only_opener(held) as quiet:
        assert quiet is Quiet.DONE
        reader.start()
        while not is_awaited(held):
            assert reader.is_alive()
    os.close(held)
    reader.join()
    assert contents == [b"whole"]


def test_opening_does_not_wait_for_ever(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file lease that stays makes the file busy, not the caller hang."""
    monkeypatch.setattr(tree_module, "_LEASE_PATIENCE_SECONDS", 0.02)
    plant(tree, "f")
    held = tree.open("f")
    with only_opener(held), pytest.raises(BusyError):
        tree.open("f")
    os.close(held)


def test_a_sighting_is_what_stat_says(tree: Tree) -> None:
    """Size, times, inode, links, mode and occupied bytes are the kernel's; holes are not counted."""
    with (tree.root / "sparse").open("wb") as file:
        file.truncate(10 * 1024 * 1024)
    (tree.root / "sparse").chmod(0o640)
    os.link(tree.root / "sparse", tree.root / "other")
    expected = (tree.root / "sparse").stat()

    seen = tree.sight("sparse")
    assert (seen.fingerprint.size, seen.fingerprint.mtime_ns, seen.fingerprint.inode) == (
        10 * 1024 * 1024,
        expected.st_mtime_ns,
        expected.st_ino,
    )
    assert (seen.ctime_ns, seen.atime_ns, seen.links, seen.mode) == (
        expected.st_ctime_ns,
        expected.st_atime_ns,
        2,
        0o640,
    )
    assert seen.disk_bytes < 1024 * 1024
    descriptor = tree.open("sparse")
    assert tree.sight_fd("sparse", descriptor) == seen
    os.close(descriptor)


def test_a_change_in_the_same_tick_is_waited_for(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it has another ctime, whatever the kernel's clock is like."""
    plant(tree, "a.bin", b"new")
    change_late = Mock(side_effect=lambda _: (tree.root / "a.bin").chmod(0o600))
    monkeypatch.setattr(tree_module.time, "sleep", change_late)
    assert tree.sight_settled("a.bin") == tree.sight("a.bin")
    assert change_late.call_count == 1
    later = tree.sight("a.bin").ctime_ns + RACY_NS
    monkeypatch.setattr(tree_module.time, "time_ns", lambda: later)
    assert tree.sight_settled("a.bin") == tree.sight("a.bin")
    assert change_late.call_count == 1, "there was nothing to wait for"


@pytest.mark.parametrize("time_ns", [2**64, -(2**64)])
def test_times_are_cut_to_what_the_index_can_store(time_ns: int) -> None:
    """All of them, else a file would look changed, or touched, at every scan."""
    times = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), time_ns)
    seen = sighting_of("f", os.stat_result([0] * 10, {"st_blocks": 0, **times}))
    assert all(-(2**63) <= cut < 2**63 for cut in (seen.fingerprint.mtime_ns, seen.ctime_ns, seen.atime_ns))


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("film.mov", False),
        ("film.mov.part", True),
        ("film.part.mov", False),
        (".DS_Store", True),
        (".cache/film.mov", True),
        ("a/b.tmp/c", True),
        ("a/lost+found/c", True),
        ("a/film.mov.tierd.json", True),
        ("a/.tierd/c", True),
        ("line\n.part", True),
        (".hidden\nline", True),
        ("a.b", False),
    ],
)
def test_ignored_names_hide_everything_beneath_them(tree: Tree, path: str, ignored: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """A path is ignored when any of its names matches a pattern."""
    assert tree.is_ignored(path) is ignored


def test_what_is_ours_is_ignored_whatever_the_patterns(tmp_path: Path) -> None:
    """The private directory is never looked at, even where dot names are."""
    tree = Tree(tmp_path, ignored=())
    assert tree.is_ignored(".tierd/trash/x")
    assert not tree.is_ignored(".dot")


def test_the_root_is_never_made(tmp_path: Path) -> None:
    """An unmounted disk must not look like a new one."""
    tree = Tree(tmp_path / "media", ignored=IGNORED)
    with pytest.raises(MissingError):
        tree.prepare()
    assert not (tmp_path / "media").exists()


def test_prepare_sweeps_the_unfinished_and_keeps_the_trash(tree: Tree) -> None:
    """What a crash left half-written goes; what it left in the trash may be the only local copy and stays."""
    plant(tree, ".tierd/unfinished/half")
    plant(tree, ".tierd/trash/kept")
    tree.prepare()
    assert tree.names(".tierd/unfinished") == []
    assert tree.names(".tierd/trash") == ["kept"]
    assert (tree.root / ".tierd").stat().st_mode & 0o777 == 0o700


def test_a_private_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """What is ours lies on the root's own disk, or nowhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / ".tierd").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotRegularError):
        Tree(tmp_path / "media", ignored=()).prepare()


def test_the_marker_is_what_was_written(tree: Tree) -> None:
    """No marker is told from any marker, and the newest counts."""
    assert tree.read_marker() is None
    tree.write_marker("one")
    tree.write_marker("two")
    assert tree.read_marker() == "two"


def test_space_is_the_file_systems(tree: Tree) -> None:
    """Figures are bytes of the root's own file system."""
    space = tree.space()
    assert space.total >= space.free >= space.available > 0
    assert space.total == os.statvfs(tree.root).f_blocks * os.statvfs(tree.root).f_frsize


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, MissingError),
        (errno.ENOTDIR, MissingError),
        (errno.EACCES, UnreadableError),
        (errno.EPERM, UnreadableError),
        (errno.EIO, UnreadableError),
        (errno.ESTALE, UnreadableError),
        (errno.EMFILE, UnreadableError),
        (errno.ELOOP, NotRegularError),
        (errno.EAGAIN, BusyError),
        (errno.EXDEV, NotMovableError),
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EEXIST, ExistsError),
        (errno.ENAMETOOLONG, BadNameError),
    ],
)
def test_unknown_is_not_missing(code: int, kind: type[FileError]) -> None:
    """Only what the kernel says is not there is missing; a refusal or a broken disk says nothing."""
    with pytest.raises(kind) as caught, translated("p"):
        raise OSError(code, os.strerror(code))
    assert type(caught.value) is kind
    assert caught.value.path == "p"


def test_errors_can_always_be_shown() -> None:
    """No name, however broken, breaks the message about it."""
    assert "odd" in str(ChangedError("\ud800\udcff\n", "odd"))


def test_nothing_stays_open(tree: Tree, tmp_path: Path) -> None:
    """Neither success nor refusal leaks a descriptor."""
    plant(tree, "a/b/f")
    (tree.root / "link").symlink_to(tmp_path)
    before = open_descriptors()
    for path in ("a/b/f", "a/b/none", "a/b", "link/x", "a/../b", "a/b/f/x"):
        with suppress(FileError):
            os.close(tree.open(path))
        with suppress(FileError):
            tree.sight(path)
        with suppress(FileError):
            os.close(tree.open_directory(path))
    assert open_descriptors() == before


def test_made_directories_are_synced_into_their_parents(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory made for a file is as durable as the file that will be in it."""
    synced: list[int] = []
    really_sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), really_sync(fd)))
    with tree.beneath("a/b/f", make=True):
        pass
    assert synced == [tree.root.stat().st_ino, (tree.root / "a").stat().st_ino]
    assert [path.name for path in (tree.root / "a").iterdir()] == ["b"]


def test_a_directory_whose_name_cannot_be_synced_is_not_left(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came next would find it there, and put a file into it that goes with it in a power cut."""
    with monkeypatch.context() as faulty:
        faulty.setattr(os, "fsync", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        with pytest.raises(UnreadableError), tree.beneath("a/f", make=True):
            pass
    assert not (tree.root / "a").exists()
