"""The seal: an index that is not the one that the last orderly stop has left is known by it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from trees import make_tree

from daemon.seal import is_sealed, seal
from tiering.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return the place of an index that was closed."""
    path = tmp_path / "index.db"
    path.write_bytes(b"index")
    return path


def test_a_seal_is_good_once(tmp_path: Path, index: Path) -> None:
    """A stop that was not orderly leaves none."""
    tree = make_tree(tmp_path / "media")
    assert not is_sealed(tree, index)
    seal(tree, index)
    assert is_sealed(tree, index)
    assert not is_sealed(tree, index)


@pytest.mark.parametrize("kept", [True, False])
def test_an_old_copy_is_not_sealed(tmp_path: Path, index: Path, *, kept: bool) -> None:
    """Whether or not it kept its own time; nor is one that is gone."""
    tree = make_tree(tmp_path / "media")
    backup = tmp_path / "backup"
    shutil.copy2(index, backup)
    os.utime(index, ns=(1, index.stat().st_mtime_ns + 1))
    seal(tree, index)
    (shutil.copy2 if kept else shutil.copy)(backup, index)
    assert not is_sealed(tree, index)
    seal(tree, index)
    index.unlink()
    assert not is_sealed(tree, index)


def test_a_root_that_is_away(tmp_path: Path, index: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be sealed, which is said and costs a look through the list of the store, no more."""
    caplog.set_level("INFO")
    tree = Tree(tmp_path / "away", ignored=())
    seal(tree, index)
    assert not is_sealed(tree, index)
    assert "list of the store" in caplog.text
