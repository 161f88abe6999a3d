"""A scan sees every file once, in the order of the index, and says what it could not see."""

from __future__ import annotations

import os
import socket
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import HOSTILE_NAMES, make_tree, open_descriptors, plant

from index.asset import path_to_bytes
from tiering.reconcile import Hidden
from tiering.scan import scan
from tiering.tree import Tree, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.scan import Batch


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a prepared tree."""
    return make_tree(tmp_path / "media")


def paths(batches: list[Batch]) -> list[str]:
    """Return the paths of the files, in the order in which they were found."""
    return [sighting.path for batch in batches for sighting in batch.sightings]


def test_every_file_is_seen_as_a_single_look_sees_it(tree: Tree) -> None:
    """Whatever its name, its sighting is what Tree.sight returns."""
    for name in HOSTILE_NAMES:
        plant(tree, name)
        plant(tree, f"d-{name[:200]}/{name}")
    found = {sighting.path: sighting for batch in scan(tree) for sighting in batch.sightings}
    assert len(found) == 2 * len(HOSTILE_NAMES)
    for path, sighting in found.items():
        assert sighting == tree.sight(path)


def test_a_time_stamp_that_the_index_cannot_store_is_cut_alike_everywhere(tree: Tree) -> None:
    """Else the file would look changed at every scan."""
    plant(tree, "f")
    os.utime(tree.root / "f", (0, 2**33 + 2**32))
    ((sighting,),) = (batch.sightings for batch in scan(tree))
    assert sighting == tree.sight("f")
    assert sighting.fingerprint.mtime_ns < 2**63


NAMES = st.sampled_from(["a", "a.b", "a-", "a0", "b", "é", "\uffff", "🎬", "\udcff", "\udc80x", "A", "a b", "~"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=30), st.integers(1, 5))
def test_paths_come_in_byte_order_and_batches_cover_it_all(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str], batch_size: int
) -> None:
    """Each batch holds exactly what lies between the one before and its own end."""
    tree = make_tree(tmp_path_factory.mktemp("media"))
    planted = set()
    for path in wanted:
        if (tree.root / path).is_dir() or any((tree.root / above).is_file() for above in ancestors(path)):
            continue
        plant(tree, path)
        planted.add(path)
    batches = list(scan(tree, batch_size=batch_size))

    assert paths(batches) == sorted(planted, key=path_to_bytes)
    assert [batch.upto for batch in batches[:-1]] == [batch.sightings[-1].path for batch in batches[:-1]]
    assert batches[-1].upto is None
    assert all(len(batch.sightings) <= batch_size for batch in batches)


def ancestors(path: str) -> list[str]:
    """Return the directories above a path."""
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def test_beneath_a_directory_only_that_is_seen(tree: Tree) -> None:
    """A neighbour whose name merely begins alike is not."""
    for path in ("d/f", "d/e/f", "d.x", "d0/f", "other"):
        plant(tree, path)
    assert paths(list(scan(tree, "d"))) == ["d/e/f", "d/f"]


def test_ignored_names_hide_all_beneath(tree: Tree) -> None:
    """Neither files nor directories of such names are looked at."""
    for path in (".a", "b.part", "c.tmp/x/y", "lost+found/x", "d.tierd.json", ".tierd/trash/x", "kept"):
        plant(tree, path)
    assert paths(list(scan(tree))) == ["kept"]


def test_what_is_not_a_file_is_told_and_not_followed(tree: Tree, tmp_path: Path) -> None:
    """Links, even to directories, FIFOs and sockets are oddities."""
    plant(tree, "d/f")
    (tree.root / "link").symlink_to(tmp_path)
    (tree.root / "dangling").symlink_to("nowhere")
    os.mkfifo(tree.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree.root / "sock"))
    (batch,) = scan(tree)
    assert paths([batch]) == ["d/f"]
    assert {oddity.path: oddity.reason for oddity in batch.oddities} == {
        "link": "a symbolic link",
        "dangling": "a symbolic link",
        "pipe": "not a regular file",
        "sock": "not a regular file",
    }


def test_an_unreadable_directory_is_unknown(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an oddity that covers all beneath it, in the batch that covers its range; the others are seen."""
    for path in ("a/f", "b/f", "c/f"):
        plant(tree, path)
    really_open = tree.open_directory

    def refusing(path: str) -> int:
        if path == "b":
            raise UnreadableError(path, "Permission denied")
        return really_open(path)

    monkeypatch.setattr(tree, "open_directory", refusing)
    before = open_descriptors()
    for batch_size in (1, 2, 3):
        batches = list(scan(tree, batch_size=batch_size))
        assert paths(batches) == ["a/f", "c/f"]
        after = b""
        for batch in batches:
            if batch.upto is None or after < b"b/f" <= path_to_bytes(batch.upto):
                assert Hidden(batch.oddities).covers("b/f")
                break
            after = path_to_bytes(batch.upto)
    assert open_descriptors() == before


def test_a_directory_that_vanishes_meanwhile_is_no_error(tree: Tree) -> None:
    """What was in it is simply not there any more."""
    for number in range(4):
        plant(tree, f"{number}/f")
    batches = scan(tree, batch_size=1)
    first = next(batches)
    (tree.root / "2/f").unlink()
    (tree.root / "2").rmdir()
    rest = list(batches)
    assert paths([first, *rest]) == ["0/f", "1/f", "3/f"]
    assert all(not batch.oddities for batch in rest)


def test_a_root_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    """Not even a root that is not there means that everything is gone."""
    (batch,) = scan(Tree(tmp_path / "none", ignored=()))
    assert [oddity.path for oddity in batch.oddities] == [""]
    assert Hidden(batch.oddities).covers("any/file")


def test_memory_does_not_grow_with_the_tree(tree: Tree) -> None:
    """A batch and the directories on the way to it, nothing more, are held at once."""
    for directory in range(50):
        for number in range(100):
            plant(tree, f"{directory:02}/{number}", b"")
    tracemalloc.start()
    highest = 0
    for _ in scan(tree, batch_size=100):
        held, _ = tracemalloc.get_traced_memory()
        highest = max(highest, held)
    tracemalloc.stop()
    assert highest < 500_000
