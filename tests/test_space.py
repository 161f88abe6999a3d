"""Room on the disk: never promised twice, and never counted from what is somebody else's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from tiering.space import Space
from tiering.tree import DiskSpace
from tiering.watermarks import Usage

if TYPE_CHECKING:
    from index.catalog import Catalog
    from tiering.tree import Tree


@dataclass
class Disk:
    """A file system of a thousand bytes, fifty of them root's, and an index that counts what assets occupy."""

    disk_bytes: int = 300
    now: DiskSpace = field(default_factory=lambda: DiskSpace(total=1000, free=450, available=400))

    @property
    def totals(self) -> Disk:
        """Stand for the totals of the index."""
        return self

    def space(self) -> DiskSpace:
        """Stand for the tree."""
        return self.now


def space_on(disk: Disk, *, size_limit: int | None) -> Space:
    """Return the space on such a disk."""
    return Space(cast("Catalog", disk), cast("Tree", disk), size_limit=size_limit)


@pytest.mark.parametrize(
    ("available", "wanted", "full"),
    [(400, 0, False), (400, 400, False), (400, 401, True), (0, 0, True), (0, 1, True), (1, 0, False)],
)
def test_full(available: int, wanted: int, full: bool) -> None:  # noqa: FBT001 - a table
    """Not a byte is left, or what was asked for in vain is still not there; and it is over when there is room."""
    disk = Disk(now=DiskSpace(total=1000, free=available + 50, available=available))
    assert space_on(disk, size_limit=None).is_full(wanted=wanted) is full


def test_full_within_a_limit() -> None:
    """What was asked for in vain counts against the limit; that the limit is reached is the keeper's business."""
    space = space_on(Disk(disk_bytes=500), size_limit=500)
    assert space.is_full(wanted=1)
    assert not space.is_full(wanted=0)


def test_with_a_limit_only_assets_count() -> None:
    """What others keep on the same disk is not ours to make room for."""
    assert space_on(Disk(), size_limit=500).usage() == Usage(300, 500)


def test_without_a_limit_the_file_system_tells() -> None:
    """What it keeps for root is neither used nor to be had."""
    assert space_on(Disk(), size_limit=None).usage() == Usage(550, 950)


@pytest.mark.parametrize(("size_limit", "room"), [(500, 200), (10_000, 400), (None, 400), (100, 0)])
def test_what_is_free_is_free_on_the_disk_and_within_the_limit(size_limit: int | None, room: int) -> None:
    """To the byte; a limit above the disk gives no more than the disk has."""
    space = space_on(Disk(), size_limit=size_limit)
    assert room == 0 or space.is_free(room)
    assert not space.is_free(room + 1)


@pytest.mark.parametrize("size_limit", [500, 10_000, None])
def test_what_is_spoken_for_is_not_free(size_limit: int | None) -> None:
    """Two promotions never take the same room; and it is given back, whatever ends them."""
    space = space_on(Disk(), size_limit=size_limit)
    before = space.usage()
    with suppress(ZeroDivisionError), space.reserve(150), space.reserve(40):
        assert space.usage() == Usage(before.used + 190, before.capacity)
        assert space.is_free(10)
        assert space.is_free(211) is False
        raise ZeroDivisionError
    assert space.usage() == before
