"""The demo's audit: it must find whatever is wrong, or the demo proves nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from demo.audit import DifferenceError, check_all_stored, check_nothing_lost, compare
from demo.media import Media

if TYPE_CHECKING:
    from pathlib import Path


def put(directory: Path, path: str, content: bytes) -> Media:
    """Write a file and return what it should be."""
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return Media(file, path, "drawings", len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The cache directory."""
    return tmp_path / "local"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """What was downloaded from the store."""
    return tmp_path / "stored"


@pytest.fixture
def media(tmp_path: Path, local: Path, stored: Path) -> list[Media]:
    """Two files, right in both places."""
    contents = {"a/one.png": b"one", "a/two.png": b"two"}
    for directory in (local, stored):
        for path, content in contents.items():
            put(directory, path, content)
    return [put(tmp_path / "originals", path, content) for path, content in contents.items()]


def check(local: Path, stored: Path, media: list[Media]) -> None:
    """Audit both places."""
    check_nothing_lost(compare(local, media), compare(stored, media), media)


def test_right_files_pass(local: Path, stored: Path, media: list[Media]) -> None:
    """What is right in both places is right."""
    check(local, stored, media)
    check_all_stored(compare(stored, media), media)


def test_one_right_copy_is_enough(local: Path, stored: Path, media: list[Media]) -> None:
    """A file that is in one place only is not lost."""
    (local / "a/one.png").unlink()
    (stored / "a/two.png").unlink()
    check(local, stored, media)


def test_lost_file_is_found(local: Path, stored: Path, media: list[Media]) -> None:
    """A file that is nowhere is lost."""
    (local / "a/one.png").unlink()
    (stored / "a/one.png").unlink()
    with pytest.raises(DifferenceError, match=r"lost: a/one\.png"):
        check(local, stored, media)


@pytest.mark.parametrize("place", ["local", "stored"])
def test_wrong_bytes_are_found(place: str, local: Path, stored: Path, media: list[Media]) -> None:
    """Wrong bytes are a difference even where the other copy is right."""
    ({"local": local, "stored": stored}[place] / "a/one.png").write_bytes(b"0ne")
    with pytest.raises(DifferenceError, match="other bytes"):
        check(local, stored, media)


def test_strange_file_is_found(local: Path, stored: Path, media: list[Media]) -> None:
    """A file that nobody put there is a difference."""
    put(local, "a/one.png.part", b"on")
    with pytest.raises(DifferenceError, match="nobody put there"):
        check(local, stored, media)


def test_object_that_is_missing_is_found(stored: Path, media: list[Media]) -> None:
    """What should be in the store and is not is a difference, whatever the disk has."""
    (stored / "a/one.png").unlink()
    with pytest.raises(DifferenceError, match=r"not in the store: a/one\.png"):
        check_all_stored(compare(stored, media), media)
