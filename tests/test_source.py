"""A file while it is uploaded: the same content from the first byte to the last, or an error."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import asset_at, make_tree, open_descriptors, plant

from tiering import source as source_module
from tiering.file_lease import Quiet, ignore_sigio
from tiering.source import AlteredError, Digests, NotYetError, Source
from tiering.tree import MissingError, NotRegularError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from index.asset import Asset
    from tiering.tree import Tree

CONTENT = bytes(range(256)) * 20


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a tree with one file."""
    tree = make_tree(tmp_path / "media")
    plant(tree, "a.bin", CONTENT)
    return tree


def opened(tree: Tree, asset: Asset | None = None, *, settle: float = 0.0) -> Source:
    """Return the file, opened."""
    source = Source(tree, asset or asset_at(tree, "a.bin"), settle=settle)
    try:
        source.open()
    except BaseException:
        source.__exit__(None, None, None)
        raise
    return source


def test_a_whole_file_comes_with_its_digests(tree: Tree) -> None:
    """One request has one part, and its ETag is the MD5."""
    with opened(tree) as source:
        body, digests = source.read()
        source.confirm()
    assert body == CONTENT
    assert digests.etag == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert digests.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert digests.size == len(CONTENT)


def test_an_empty_file_is_a_file(tree: Tree) -> None:
    """Nothing to read is no error."""
    plant(tree, "empty", b"")
    with opened(tree, asset_at(tree, "empty")) as source:
        body, digests = source.read()
    assert body == b""
    assert digests.etag == hashlib.md5(b"", usedforsecurity=False).hexdigest()


@given(size=st.integers(1, 3000), part_size=st.integers(1, 1200))
def test_parts_put_together_are_the_file(tmp_path_factory: pytest.TempPathFactory, size: int, part_size: int) -> None:
    """Each part has the MD5 that was found by hashing, and the ETag is that of S3."""
    tree = make_tree(tmp_path_factory.mktemp("parts") / "media")
    plant(tree, "f", os.urandom(size))
    with opened(tree, asset_at(tree, "f")) as source:
        digests = source.hash_parts(part_size)
        parts = [source.read_part(number, part_size) for number in range(1, len(digests.part_md5s) + 1)]
    md5s = [hashlib.md5(part, usedforsecurity=False).digest() for part in parts]
    assert b"".join(parts) == (tree.root / "f").read_bytes()
    assert tuple(md5s) == digests.part_md5s
    assert digests.etag == f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(parts)}"
    assert digests.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_file_that_is_written_is_not_taken(tree: Tree) -> None:
    """Nor is it believed to be whole where its writer comes while it is read."""
    with (tree.root / "a.bin").open("r+b"), pytest.raises(NotYetError) as refused:
        opened(tree)
    assert refused.value.after is None
    with opened(tree) as source, (tree.root / "a.bin").open("r+b"), pytest.raises(NotYetError):
        source.confirm()


def rewrite(tree: Tree) -> None:
    """Change the content, keeping size and mtime, as some tools do."""
    file = tree.root / "a.bin"
    before = file.stat()
    file.write_bytes(b"x" * len(CONTENT))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_it(tree: Tree) -> None:
    """Save atomically: another file under the same name, the open one left without."""
    plant(tree, "b.part", b"y" * len(CONTENT))
    (tree.root / "b.part").rename(tree.root / "a.bin")


ALTERATIONS: list[Callable[[Tree], object]] = [
    lambda tree: (tree.root / "a.bin").write_bytes(b"other"),
    lambda tree: os.truncate(tree.root / "a.bin", 3),
    lambda tree: (tree.root / "a.bin").open("ab").write(b"more"),
    lambda tree: (tree.root / "a.bin").touch(),
    rewrite,
    replace_it,
]


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_whatever_was_done_to_it_is_noticed(tree: Tree, alter: Callable[[Tree], object]) -> None:
    """After reading, and before: what was claimed is not what is there."""
    asset = asset_at(tree, "a.bin")
    with opened(tree) as source:
        source.read()
        alter(tree)
        with pytest.raises(AlteredError) as altered:
            source.confirm()
        assert altered.value.sighting.path == "a.bin"
    if alter is not rewrite:  # which only ctime tells: the content is hashed again anyway
        with pytest.raises(AlteredError) as altered:
            opened(tree, asset)
        assert altered.value.sighting == tree.sight("a.bin")


def test_a_file_that_ends_early_is_noticed_while_it_is_read(tree: Tree) -> None:
    """A short read is never padded, nor taken for the whole."""
    with opened(tree) as source:
        os.truncate(tree.root / "a.bin", 100)
        for read in (source.read, lambda: source.hash_parts(1000), lambda: source.read_part(2, 1000)):
            with pytest.raises(AlteredError) as altered:
                read()
            assert altered.value.sighting.fingerprint.size == 100


def test_a_file_that_was_just_changed_is_looked_at_again(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in the tick of the last one leaves the same time stamps: the tick must have passed before we look."""
    waits: list[float] = []
    monkeypatch.setattr(source_module.time, "time_ns", lambda: tree.sight("a.bin").ctime_ns + 5_000_000)
    monkeypatch.setattr(source_module.time, "sleep", waits.append)
    with opened(tree):
        assert waits == [pytest.approx(0.02)]
    monkeypatch.setattr(source_module.time, "time_ns", lambda: tree.sight("a.bin").ctime_ns + 20_000_000)
    with opened(tree):
        assert len(waits) == 1


@pytest.fixture
def _no_file_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "writer_done", lambda _fd: Quiet.UNKNOWN)


@pytest.mark.usefixtures("_no_file_leases")
def test_without_file_leases_a_file_must_have_been_left_alone(tree: Tree) -> None:
    """For the settle time, and no longer; a time in the future says nothing and holds nothing up."""
    file = tree.root / "a.bin"
    os.utime(file, (0, time.time() - 3))
    with pytest.raises(NotYetError) as refused:
        opened(tree, settle=10)
    assert refused.value.after == pytest.approx(7, abs=1)
    for mtime in (time.time() - 11, time.time() + 3600):
        os.utime(file, (0, mtime))
        with opened(tree, settle=10) as source:
            source.confirm()


def test_where_a_file_lease_can_be_had_nothing_waits(tree: Tree) -> None:
    """The kernel knows that the writer is done."""
    with opened(tree, settle=3600):
        pass


def test_what_is_no_file_is_refused(tree: Tree) -> None:
    """By the tree's own errors."""
    asset = asset_at(tree, "a.bin")
    (tree.root / "a.bin").unlink()
    with pytest.raises(MissingError):
        opened(tree, asset)
    (tree.root / "a.bin").symlink_to("elsewhere")
    with pytest.raises(NotRegularError):
        opened(tree, asset)


def test_nothing_stays_open(tree: Tree) -> None:
    """However it ends."""
    before = open_descriptors()
    with opened(tree) as source:
        source.read()
    with pytest.raises(AlteredError):
        opened(tree, replace(asset_at(tree, "a.bin"), fingerprint=None))
    assert open_descriptors() == before


def test_closed_before_it_is_open_it_stays_closed(tree: Tree) -> None:
    """A thread that opens for an upload which was cancelled meanwhile leaves nothing behind."""
    before = open_descriptors()
    source = Source(tree, asset_at(tree, "a.bin"), settle=0.0)
    with source:
        pass
    with pytest.raises(OSError, match="has ended"):
        source.open()
    assert open_descriptors() == before


def test_closed_it_is_lent_to_nobody_else(tree: Tree) -> None:
    """Also while another thread has not yet given it back: else two of them could read on for ever."""
    source = opened(tree)
    with source._borrowed():
        source.__exit__(None, None, None)
        with pytest.raises(OSError, match="has ended"):
            source.read()


def test_closed_while_a_thread_reads_it_reads_no_other_file(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor is not given back, for another file to get its number, before the thread is done with it."""
    reading, go_on = threading.Event(), threading.Event()
    results: list[object] = []
    true_pread = os.pread

    def slow_pread(fd: int, size: int, start: int) -> bytes:
        reading.set()
        assert go_on.wait(10)
        return true_pread(fd, size, start)

    def work(source: Source) -> None:
        try:
            results.append(source.hash_parts(1000))
        except OSError as error:
            results.append(error)

    before = open_descriptors()
    with opened(tree) as source:
        fd = source._fd
        monkeypatch.setattr(source_module.os, "pread", slow_pread)
        thread = threading.Thread(target=work, args=(source,))
        thread.start()
        assert reading.wait(10)
    assert fd is not None
    os.fstat(fd)  # raises where it was closed already
    go_on.set()
    thread.join()
    assert isinstance(results[0], OSError)
    assert not isinstance(results[0], Digests)
    assert open_descriptors() == before
