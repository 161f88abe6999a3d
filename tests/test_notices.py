"""Each directory is watched by itself: within the root, whatever links and names are there."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trees import make_tree, plant

from tiering import notices as module
from tiering.directories import BlindSpots, walk
from tiering.notices import ALL, Notices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiering.tree import Tree

BAD = "bad\udcff"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a tree with the directories `d`, `d/sub` and `e`."""
    tree = make_tree(tmp_path / "media")
    (tree.root / "d/sub").mkdir(parents=True)
    (tree.root / "e").mkdir()
    return tree


@pytest.fixture
def notices(tree: Tree) -> Iterator[Notices]:
    """Return who does not watch yet."""
    notices = Notices(tree, BlindSpots())
    yield notices
    notices.close()


def until(notices: Notices, *wanted: str) -> set[str]:
    """Read hints until all of these came; return what came."""
    seen: set[str] = set()
    ends = time.monotonic() + 20
    while not set(wanted) <= seen:
        assert time.monotonic() < ends, (wanted, seen)
        seen |= notices.advance()
    return seen


def watched_inodes() -> set[int]:
    """Return the inodes that this process has inotify watches on, as the kernel tells it."""
    found = set()
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            found |= {int(inode, 16) for inode in re.findall(r"inotify wd:\S+ ino:([0-9a-f]+)", info.read_text())}
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


def test_no_symbolic_link_is_followed(tree: Tree, notices: Notices) -> None:
    """Neither those that are there when the watch begins nor those that come, alone or in a tree that is moved in."""
    outside = tree.root.with_name("outside")
    arriving = tree.root.with_name("arriving")
    for directory in (outside / "deep", arriving / "within"):
        directory.mkdir(parents=True)
    (tree.root / "d/out").symlink_to(outside)
    (tree.root / ".hidden").symlink_to(outside)
    (arriving / "within/out").symlink_to(outside)
    notices.open()
    (tree.root / "later").symlink_to(outside)
    until(notices, "later")
    arriving.rename(tree.root / "arrived")
    until(notices, "arrived")
    foreign = {outside.stat().st_ino, (outside / "deep").stat().st_ino, outside.parent.stat().st_ino}
    watched = watched_inodes()
    assert not watched & foreign
    assert {(tree.root / path).stat().st_ino for path in ("", "d", "d/sub", "arrived", "arrived/within")} <= watched
    plant(tree, "arrived/within/f")
    until(notices, "arrived/within/f")


def test_what_is_ignored_is_not_watched(tree: Tree, notices: Notices) -> None:
    """Neither the trash nor anything beneath an ignored name."""
    (tree.root / ".git/objects").mkdir(parents=True)
    notices.open()
    ours = {(tree.root / path).stat().st_ino for path in (".git", ".git/objects", ".tierd", ".tierd/trash")}
    assert not watched_inodes() & ours


def test_a_new_tree_is_watched_to_its_depth(tree: Tree, notices: Notices) -> None:
    """Before it is hinted at: what comes after the hint is hinted at, too."""
    notices.open()
    (tree.root / "a/b/c").mkdir(parents=True)
    until(notices, "a")
    plant(tree, "a/b/c/f")
    until(notices, "a/b/c/f")
    (tree.root / "a/b").rename(tree.root / "e/b")
    until(notices, "e/b")
    plant(tree, "e/b/c/g")
    until(notices, "e/b/c/g")


def test_a_directory_made_anew_under_its_old_name_is_watched(tree: Tree, notices: Notices) -> None:
    """It has another inode, and its old watch is gone with the old one."""
    notices.open()
    (tree.root / "d/sub").rmdir()
    (tree.root / "d/sub").mkdir()
    until(notices, "d/sub")
    plant(tree, "d/sub/f")
    until(notices, "d/sub/f")


def test_what_is_moved_out_of_the_tree_is_watched_no_longer(
    tree: Tree, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its watches lie: the next walk takes them away."""
    monkeypatch.setattr(module, "_SMALLEST_SHARE", 1)
    notices.open()
    away = tree.root.with_name("away")
    (tree.root / "d").rename(away)
    notices._walk()
    inodes = {away.stat().st_ino, (away / "sub").stat().st_ino}
    ends = time.monotonic() + 20
    while watched_inodes() & inodes:  # a watcher's own thread closes it
        assert time.monotonic() < ends


def test_directories_that_were_never_told_of_are_found_and_hinted_at(
    tree: Tree, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's queue may overflow without a word: a walk now and then makes it good."""
    notices.open()
    monkeypatch.setattr(notices, "_read", set)
    (tree.root / "silent/deep").mkdir(parents=True)
    monkeypatch.setattr(notices, "_next_walk", 0.0)
    assert notices.advance() == {"silent", "silent/deep"}
    monkeypatch.undo()
    plant(tree, "silent/deep/f")
    until(notices, "silent/deep/f")


@pytest.mark.parametrize("below", ["", "/deep/f"])
def test_a_foreign_name_that_is_there_costs_its_directory_only(
    tree: Tree, notices: Notices, caplog: pytest.LogCaptureFixture, below: str
) -> None:
    """Nothing is lost, however often the name is touched, and people are told once."""
    plant(tree, f"d/{BAD}{below}")
    with caplog.at_level(logging.WARNING):
        notices.open()
        for _ in range(3):
            list(os.walk(tree.root))
            os.utime(tree.root / "d" / BAD)
            plant(tree, "e/f")
            plant(tree, "d/sub/f")
            until(notices, "e/f", "d/sub/f")
            notices._walk()
    assert notices.losses == 0
    assert notices._blind.paths == {"d"}
    assert [record.getMessage() for record in caplog.records] == [
        "no hints, only scans, in d: names there are not UTF-8"
    ]


@pytest.mark.parametrize(
    "home", ["d", "", "new\nline", "back\\slash", "x\\x41", "q\"uo'te", "u\u0301\u200b\x07ü", "🎬"]
)
def test_a_foreign_name_that_comes_ends_nothing_else(tree: Tree, notices: Notices, home: str) -> None:
    """Be it gone again at once: one loss, and everything is to be looked at."""
    (tree.root / home).mkdir(exist_ok=True)
    notices.open()
    for _ in range(3):
        plant(tree, f"{home}/{BAD}" if home else BAD)
        (tree.root / home / BAD).unlink()
        plant(tree, "e/f")
        until(notices, *(ALL if notices.losses == 0 else {"e/f"}))
    assert notices.losses == 1
    assert notices._blind.paths == {home}


def test_a_directory_is_watched_again_when_the_foreign_name_has_gone(
    tree: Tree, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, so that a name that comes and goes does not end it each time."""
    notices.open()
    plant(tree, f"d/{BAD}")
    until(notices, "")
    (tree.root / "d" / BAD).unlink()
    notices._walk()
    assert notices._blind.paths == {"d"}
    monkeypatch.setattr(notices, "_avoided", {"d": 0.0})
    assert notices._walk() == {"d"}
    assert notices._blind.paths == set()
    plant(tree, "d/f")
    until(notices, "d/f")


def test_an_error_that_names_no_name_ends_everything(notices: Notices) -> None:
    """Whoever reads begins anew, and waits longer each time."""
    with pytest.raises(RuntimeError, match="queue"):
        notices._avoid_cause(RuntimeError("error in underlying watcher: queue"))


def test_however_many_directories_come_one_by_one_posts_are_few(
    tree: Tree, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a descriptor and a thread of the kernel's listener; and every directory is in exactly one."""
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SMALLEST_SHARE", 8)
    monkeypatch.setattr(module, "_MOST_POSTS", 6)
    notices.open()
    for number in range(40):
        (tree.root / f"n{number}").mkdir()
        until(notices, f"n{number}")
    assert len(notices._posts) <= 6
    for number in range(0, 40, 3):
        (tree.root / f"n{number}").rmdir()
    notices._walk()
    assert len(notices._posts) <= 6
    assert sorted(place for post in notices._posts for place in post.places) == sorted(walk(tree).open)


def test_directories_that_vanish_while_they_are_watched_are_left_out(
    tree: Tree, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is watched."""
    found = walk(tree)
    (tree.root / "d/sub").rmdir()
    looks = iter([found])
    monkeypatch.setattr(module, "walk", lambda *given: next(looks, None) or walk(*given))
    notices.open()
    plant(tree, "e/f")
    until(notices, "e/f")


def test_the_blind_are_named_for_people() -> None:
    """Some of them, and how many more."""
    blind = BlindSpots()
    blind.replace(["c", "b", "a\udcff", "", "d"])
    assert str(blind) == "the cache root itself, a\ufffd, b and 2 more"
