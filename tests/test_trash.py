"""A local copy leaves its name only when nobody can miss it, and finds the way back."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from trees import HOSTILE_NAMES, asset_at, content_of, make_tree, open_descriptors, plant

from index.asset import AssetId
from tiering import trash
from tiering.file_lease import Quiet, ignore_sigio, is_awaited, only_opener
from tiering.trash import Safety, discard, listing, move_to_trash, put_back, recheck, trashed_sha256
from tiering.tree import BusyError, ChangedError, ExistsError, MissingError, NotMovableError, Tree, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from index.asset import Asset


@pytest.fixture(autouse=True)
def _sigio_ignored() -> None:
    ignore_sigio()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a tree with one file, `d/f`."""
    tree = make_tree(tmp_path / "media")
    plant(tree, "d/f", b"proven")
    return tree


@pytest.fixture
def asset(tree: Tree) -> Asset:
    """Return the asset of that file."""
    return asset_at(tree, "d/f")


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the acts on names that follow, in order."""
    happened: list[str] = []

    def record(name: str, label: str) -> None:
        really = getattr(os, name)

        def act(*args: Any, **kwargs: Any) -> Any:
            happened.append(label)
            return really(*args, **kwargs)

        monkeypatch.setattr(os, name, act)

    for name, label in [("rename", "rename"), ("link", "link"), ("unlink", "unlink"), ("fsync", "sync")]:
        record(name, label)
    return happened


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_quiet_file_leaves_its_name_and_then_the_disk(tree: Tree, name: str) -> None:
    """Out of reach, looked at again, gone: three steps, whatever the file is called."""
    plant(tree, name)
    asset = asset_at(tree, name)
    before = open_descriptors()

    assert move_to_trash(tree, asset) is Safety.SAFE
    assert listing(tree) == [asset.id]
    with pytest.raises(MissingError):
        tree.sight(name)
    assert recheck(tree, asset) is Safety.SAFE
    discard(tree, asset.id)
    discard(tree, asset.id)
    assert listing(tree) == []
    assert open_descriptors() == before


def test_the_move_is_durable_when_it_returns(tree: Tree, asset: Asset, acts: list[str]) -> None:
    """Both directories are synced after the rename, for the index relies on it next."""
    move_to_trash(tree, asset)
    assert acts == ["rename", "sync", "sync"]


def test_what_is_discarded_does_not_come_back(tree: Tree, asset: Asset, acts: list[str]) -> None:
    """A power cut that brought it back would show an old copy to a start that knows of a newer one."""
    move_to_trash(tree, asset)
    acts.clear()
    discard(tree, asset.id)
    assert acts == ["unlink", "sync"]


def test_a_move_that_is_not_durable_is_none(tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a directory cannot be synced, the file has its name again: whoever asked is told that nothing was done."""
    syncs = iter([errno.EIO])
    really = os.fsync

    def fail_once(fd: int) -> None:
        for code in syncs:
            raise OSError(code, os.strerror(code))
        really(fd)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(UnreadableError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"proven"
    assert listing(tree) == []


def test_putting_back_never_leaves_the_file_without_a_name(tree: Tree, asset: Asset, acts: list[str]) -> None:
    """The public name is durable before the one in the trash goes."""
    move_to_trash(tree, asset)
    acts.clear()
    assert put_back(tree, asset)
    assert acts == ["link", "sync", "unlink", "sync"]
    assert content_of(tree, "d/f") == b"proven"
    assert listing(tree) == []


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_a_file_that_somebody_has_open_stays(tree: Tree, asset: Asset, mode: str) -> None:
    """Reader or writer: it is not touched."""
    with (tree.root / "d/f").open(mode), pytest.raises(BusyError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"proven"
    assert move_to_trash(tree, asset) is Safety.SAFE


def test_a_file_that_somebody_is_opening_stays(tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    """An opener whom the kernel keeps waiting for us is reason enough to give up."""
    monkeypatch.setattr(trash, "is_awaited", lambda _fd: True)
    with pytest.raises(BusyError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"proven"


def change_content(path: Path) -> None:
    """Write other bytes of the same length."""
    path.write_bytes(b"edited")


def change_content_and_hide_it(path: Path) -> None:
    """Write other bytes, and set mtime as it was."""
    before = path.stat()
    path.write_bytes(b"edited")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def save_by_rename(path: Path) -> None:
    """Save as editors do."""
    path.with_name("new").write_bytes(b"proven")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("edit", [change_content, change_content_and_hide_it, save_by_rename])
def test_a_file_that_was_changed_stays(tree: Tree, asset: Asset, edit: Any) -> None:
    """Same size, and even the same mtime: what was not hashed is not removed."""
    edit(tree.root / "d/f")
    with pytest.raises(ChangedError):
        move_to_trash(tree, asset)
    assert tree.sight("d/f")
    assert listing(tree) == []


def test_a_file_with_another_name_stays(tree: Tree) -> None:
    """Through the other name it may be changed, and removing this one frees nothing."""
    os.link(tree.root / "d/f", tree.root / "d/g")
    with pytest.raises(NotMovableError):
        move_to_trash(tree, asset_at(tree, "d/f"))
    assert content_of(tree, "d/f") == b"proven"


def test_a_file_on_another_disk_stays(tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system mounted inside the root cannot be renamed into the trash, and that is said."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(NotMovableError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"proven"


def test_an_older_copy_in_the_trash_is_not_replaced(tree: Tree, asset: Asset) -> None:
    """What the trash still holds may be wanted: it is dealt with first."""
    plant(tree, f".tierd/trash/{asset.id}", b"older")
    with pytest.raises(ExistsError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"proven"
    assert content_of(tree, f".tierd/trash/{asset.id}") == b"older"


def test_a_writer_who_comes_at_the_last_moment_loses_nothing(
    tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He opened the file by its name, we renamed it meanwhile: the second look finds him, and the name comes back."""
    opened, written = threading.Event(), threading.Event()
    really_rename = trash._rename_into_trash
    held: list[int] = []

    def write_late() -> None:
        with (tree.root / "d/f").open("r+b") as file:
            opened.set()
            assert written.wait(20)
            file.write(b"edited")

    writer = threading.Thread(target=write_late)

    @contextmanager
    def remembering(fd: int) -> Iterator[Quiet]:
        held.append(fd)
        with only_opener(fd) as quiet:
            yield quiet

    def rename_while_he_opens(tree: Tree, asset: Asset, inode: int) -> None:
        writer.start()
        while not is_awaited(held[-1]):
            assert writer.is_alive()
        really_rename(tree, asset, inode)

    monkeypatch.setattr(trash, "only_opener", remembering)
    monkeypatch.setattr(trash, "_rename_into_trash", rename_while_he_opens)
    move_to_trash(tree, asset)
    assert opened.wait(20)
    with pytest.raises(BusyError):
        recheck(tree, asset)
    assert put_back(tree, asset)
    written.set()
    writer.join()
    assert content_of(tree, "d/f") == b"edited"


def test_a_late_write_is_seen_after_its_writer_left(tree: Tree, asset: Asset) -> None:
    """The second look compares, too: who wrote and closed in between is not forgotten."""
    move_to_trash(tree, asset)
    (tree.root / ".tierd/trash" / asset.id).write_bytes(b"edited")
    with pytest.raises(ChangedError):
        recheck(tree, asset)
    assert put_back(tree, asset)
    assert content_of(tree, "d/f") == b"edited"


def test_a_file_swapped_in_at_the_last_moment_keeps_its_name(
    tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file lease guards a file, not its name: when the name is another file's by now, that file goes back."""

    def swap(_fd: int) -> bool:
        (tree.root / "new").write_bytes(b"newer!")
        (tree.root / "new").replace(tree.root / "d/f")
        return False

    monkeypatch.setattr(trash, "is_awaited", swap)
    with pytest.raises(ChangedError):
        move_to_trash(tree, asset)
    assert content_of(tree, "d/f") == b"newer!"
    assert listing(tree) == []


def test_what_its_owner_wrote_meanwhile_stays(tree: Tree, asset: Asset) -> None:
    """Putting back never overwrites: the caller is told, and the proven copy waits in the trash for him."""
    move_to_trash(tree, asset)
    plant(tree, "d/f", b"newer")
    assert not put_back(tree, asset)
    assert content_of(tree, "d/f") == b"newer"
    assert listing(tree) == [asset.id]
    assert recheck(tree, asset) is Safety.SAFE


def test_putting_back_can_be_repeated_after_a_crash(tree: Tree, asset: Asset) -> None:
    """A crash between link and unlink leaves one file at both places: then only the trash is cleared."""
    move_to_trash(tree, asset)
    os.link(tree.root / ".tierd/trash" / asset.id, tree.root / "d/f")
    with pytest.raises(ChangedError):
        recheck(tree, asset)
    assert put_back(tree, asset)
    assert content_of(tree, "d/f") == b"proven"
    assert listing(tree) == []


def test_what_its_owner_moved_on_after_a_crash_needs_no_second_name(tree: Tree, asset: Asset) -> None:
    """With a second name in the trash for ever it could never leave the disk."""
    move_to_trash(tree, asset)
    os.link(tree.root / ".tierd/trash" / asset.id, tree.root / "d/f")
    (tree.root / "d/f").rename(tree.root / "moved")
    plant(tree, "d/f", b"newer")
    assert put_back(tree, asset)
    assert listing(tree) == []
    assert (content_of(tree, "moved"), content_of(tree, "d/f")) == (b"proven", b"newer")


def test_putting_back_makes_the_directory_again(tree: Tree, asset: Asset) -> None:
    """Its owner may have removed the directory that it left empty."""
    move_to_trash(tree, asset)
    (tree.root / "d").rmdir()
    assert put_back(tree, asset)
    assert content_of(tree, "d/f") == b"proven"


def test_where_no_file_lease_can_be_had_time_and_content_must_tell(
    tree: Tree, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path, but the caller learns that it is not sure, and can hash the copy."""

    @contextmanager
    def refused(_fd: int) -> Iterator[Quiet]:
        yield Quiet.UNKNOWN

    monkeypatch.setattr(trash, "only_opener", refused)
    assert move_to_trash(tree, asset) is Safety.GRACE
    assert recheck(tree, asset) is Safety.GRACE
    assert trashed_sha256(tree, asset) == hashlib.sha256(b"proven").hexdigest()


def test_an_unknown_copy_is_missing(tree: Tree, asset: Asset) -> None:
    """Neither look nor return invents a file."""
    other = replace(asset, id=AssetId("b" * 32))
    for act in (recheck, put_back, trashed_sha256):
        with pytest.raises(MissingError):
            act(tree, other)
