"""Bytes come back whole, under their own name, over nobody's file, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trees import HOSTILE_NAMES, content_of, make_tree, open_descriptors, plant

from tiering import landing as landing_module
from tiering.file_lease import Quiet, ignore_sigio, writer_done
from tiering.landing import ContentError, Landing
from tiering.tree import DiskFullError, ExistsError, NotRegularError, Tree

if TYPE_CHECKING:
    from index.asset import Sighting

MTIME_NS = 1_600_000_000_123_456_789


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a prepared tree."""
    return make_tree(tmp_path / "media")


@pytest.fixture
def no_tmpfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the kernel refuse files without a name, as some file systems do."""
    really_open = os.open

    def refusing(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return really_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)


def refuse_to_reserve(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Make the kernel refuse to reserve space."""

    def refuse(*_args: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def land(tree: Tree, path: str, content: bytes, mode: int = 0o640) -> Sighting:
    """Bring a file back in chunks."""
    with closing(Landing(tree, path, len(content))) as landing:
        for start in range(0, len(content), 1000):
            landing.write(content[start : start + 1000])
        return landing.land(mode=mode, mtime_ns=MTIME_NS, sha256=hashlib.sha256(content).hexdigest())


def all_files(tree: Tree) -> set[str]:
    """Return every name beneath the root, tierd's own included."""
    return {str(path.relative_to(tree.root)) for path in tree.root.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_file_comes_back_as_it_was(tree: Tree, name: str) -> None:
    """Bytes, mode and mtime are restored, in directories made again, and what is returned is what is there."""
    content = os.urandom(12_345)
    before = open_descriptors()

    seen = land(tree, f"{name}/{name}", content)
    assert seen == tree.sight(f"{name}/{name}")
    assert content_of(tree, f"{name}/{name}") == content
    assert (seen.mode, seen.fingerprint.mtime_ns, seen.links) == (0o640, MTIME_NS, 1)
    assert open_descriptors() == before


def test_an_empty_file_comes_back(tree: Tree) -> None:
    """Nothing to reserve and nothing to write is still a file."""
    assert land(tree, "empty", b"").fingerprint.size == 0


def test_the_set_user_id_bit_does_not_come_back(tree: Tree) -> None:
    """The file would run as the daemon's user, not as its owner."""
    assert land(tree, "tool", b"x", mode=0o4755).mode == 0o755


def test_until_it_lands_there_is_no_name(tree: Tree) -> None:
    """Not even a directory is made for what may never arrive."""
    before = all_files(tree)
    with closing(Landing(tree, "a/b/f", 10)) as landing:
        landing.write(b"12345")
        assert all_files(tree) == before
    assert all_files(tree) == before


def test_what_its_owner_wrote_meanwhile_stays(tree: Tree) -> None:
    """The name is taken: the owner's file is the newer truth."""
    with closing(Landing(tree, "f", 4)) as landing:
        landing.write(b"cold")
        plant(tree, "f", b"newer")
        with pytest.raises(ExistsError):
            landing.land(mode=0o600, mtime_ns=0, sha256=hashlib.sha256(b"cold").hexdigest())
    assert content_of(tree, "f") == b"newer"


@pytest.mark.parametrize("moment", ["link", "fsync"])
def test_what_its_owner_writes_to_it_is_no_part_of_what_came_back(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """As soon as it has its name he may: what is returned is the file as it was hashed, and the difference is seen."""
    ours = getattr(os, moment)

    def write_too(*args: Any, **named: Any) -> None:
        ours(*args, **named)
        if (tree.root / "name").exists():
            with pytest.raises(BlockingIOError) if moment == "link" else nullcontext():
                os.close(os.open(tree.root / "name", os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK))

    monkeypatch.setattr(os, moment, write_too)
    seen = land(tree, "name", b"promoted")
    now = tree.sight("name")
    assert seen.fingerprint.size == len(b"promoted")
    assert (now.fingerprint == seen.fingerprint) is (moment == "link")


def test_where_its_owner_cannot_be_kept_off_it_looks_touched(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is hashed before it may leave again, and a change under the same date is seen, too."""
    monkeypatch.setattr(landing_module, "no_writer", lambda _fd: nullcontext(lambda: False))
    really_link = os.link

    def write_after(*args: Any, **named: Any) -> None:
        really_link(*args, **named)
        (tree.root / "name").write_bytes(b"by owner")
        os.utime(tree.root / "name", ns=(MTIME_NS, MTIME_NS))

    monkeypatch.setattr(os, "link", write_after)
    seen = land(tree, "name", b"promoted")
    now = tree.sight("name")
    assert (now.fingerprint, now.links) == (seen.fingerprint, seen.links)
    assert now.ctime_ns != seen.ctime_ns


def test_a_file_where_a_directory_must_be_stays(tree: Tree) -> None:
    """`f` is not replaced by a directory for `f/g`."""
    plant(tree, "f", b"file")
    with pytest.raises(NotRegularError):
        land(tree, "f/g", b"x")
    assert content_of(tree, "f") == b"file"


def test_a_link_on_the_way_is_not_followed(tree: Tree, tmp_path: Path) -> None:
    """Nothing lands outside the root."""
    (tmp_path / "outside").mkdir()
    (tree.root / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(NotRegularError):
        land(tree, "d/f", b"x")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_directory_moved_away_meanwhile_does_not_take_it_along(tree: Tree) -> None:
    """The name is looked up when the file lands, not when its first byte came."""
    plant(tree, "d/other")
    with closing(Landing(tree, "d/f", 1)) as landing:
        landing.write(b"x")
        (tree.root / "d").rename(tree.root / "elsewhere")
        landing.land(mode=0o600, mtime_ns=0, sha256=hashlib.sha256(b"x").hexdigest())
    assert content_of(tree, "d/f") == b"x"
    assert not (tree.root / "elsewhere/f").exists()


@pytest.mark.parametrize("arrived", [b"", b"12", b"abc"])
def test_what_is_not_the_proven_content_never_lands(tree: Tree, arrived: bytes) -> None:
    """Short or wrong, nobody sees it under the name."""
    with closing(Landing(tree, "f", 3)) as landing:
        landing.write(arrived)
        with pytest.raises(ContentError):
            landing.land(mode=0o600, mtime_ns=0, sha256=hashlib.sha256(b"123").hexdigest())
    assert "f" not in all_files(tree)


def test_more_than_was_said_is_refused(tree: Tree) -> None:
    """A store that sends too much cannot fill the disk."""
    with closing(Landing(tree, "f", 3)) as landing, pytest.raises(ContentError):
        landing.write(b"1234")


def test_a_full_disk_shows_before_the_first_byte() -> None:
    """The whole size is reserved at once: a file that does not fit is refused, and leaves nothing."""
    disk = Path("/dev/shm") / f"tierd-{os.getpid()}"
    tree = make_tree(disk)
    before = open_descriptors()
    with pytest.raises(DiskFullError):
        Landing(tree, "f", tree.space().total + 2**30)
    assert open_descriptors() == before
    assert all_files(tree) == {".tierd", ".tierd/trash", ".tierd/unfinished"}
    for directory in (".tierd/trash", ".tierd/unfinished", ".tierd", ""):
        (disk / directory).rmdir()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_quota_is_a_full_disk(tree: Tree, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Both mean that there is no room."""
    refuse_to_reserve(monkeypatch, code)
    with pytest.raises(DiskFullError):
        Landing(tree, "f", 1)


def test_a_file_system_that_cannot_reserve_is_used_all_the_same(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a full disk shows later, which is no reason to refuse now."""
    refuse_to_reserve(monkeypatch, errno.EOPNOTSUPP)
    land(tree, "f", b"x" * 5000)
    assert content_of(tree, "f") == b"x" * 5000


@pytest.mark.usefixtures("no_tmpfile")
def test_without_unnamed_files_the_same_holds(tree: Tree) -> None:
    """The fallback has a name of ours while it grows, and leaves none behind."""
    assert land(tree, "d/f", b"x" * 5000).links == 1
    assert content_of(tree, "d/f") == b"x" * 5000
    with closing(Landing(tree, "d/g", 10)) as landing:
        landing.write(b"12345")
        assert len(tree.names(".tierd/unfinished")) == 1
    assert tree.names(".tierd/unfinished") == []


def test_the_bytes_are_durable_before_they_have_a_name(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync the file, link it, sync its directory: in no other order."""
    acts: list[str] = []
    for name in ("fsync", "link"):
        really = getattr(os, name)

        def act(*args: Any, name: str = name, really: Any = really, **kwargs: Any) -> Any:
            acts.append(name)
            return really(*args, **kwargs)

        monkeypatch.setattr(os, name, act)
    land(tree, "f", b"x")
    assert acts == ["fsync", "link", "fsync"]


def test_readers_follow_the_file_as_it_grows(tree: Tree) -> None:
    """Others read what has arrived, before and after the file has its name, and when who wrote it has let go."""
    content = os.urandom(300_000)
    landing = Landing(tree, "f", len(content))
    fd = landing.open_reader()
    arrived = threading.Condition()
    read = bytearray()

    def follow() -> None:
        while len(read) < len(content):
            with arrived:
                assert arrived.wait_for(lambda: landing.written > len(read), timeout=20)
            read.extend(os.pread(fd, min(65_536, landing.written - len(read)), len(read)))

    assert os.pread(fd, 100, 0) == b"\0" * 100, "reserved, and nothing in it"
    reader = threading.Thread(target=follow)
    reader.start()
    for start in range(0, len(content), 7_000):
        landing.write(content[start : start + 7_000])
        with arrived:
            arrived.notify_all()
    reader.join()
    landing.land(mode=0o600, mtime_ns=0, sha256=hashlib.sha256(content).hexdigest())
    assert read == content
    landing.close()
    assert os.pread(fd, len(content), 0) == content
    os.close(fd)


def test_who_still_reads_along_does_not_make_it_look_unfinished(tree: Tree) -> None:
    """From the moment it has its name nobody has it open for writing."""
    with closing(Landing(tree, "f", 1)) as landing:
        landing.write(b"x")
        landing.land(mode=0o600, mtime_ns=0, sha256=hashlib.sha256(b"x").hexdigest())
        descriptor = tree.open("f")
        assert writer_done(descriptor) is Quiet.DONE
        os.close(descriptor)


def test_a_closed_landing_touches_no_other_file(tree: Tree) -> None:
    """A thread that comes late finds it closed, not a descriptor that is somebody else's by now."""
    landing = Landing(tree, "f", 10)
    landing.close()
    landing.close()
    with pytest.raises(ValueError, match="closed"):
        landing.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        landing.open_reader()
