"""How much disk there is for assets: what is used, what is spoken for, and what may be used."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tiering.watermarks import Usage, is_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.catalog import Catalog
    from tiering.tree import DiskSpace, Tree


class Space:
    """With a size limit, what hot assets occupy of it; without, what the root's file system says.

    Promotions speak for their bytes before the first one arrives, so that two can never take the same room.
    """

    def __init__(self, catalog: Catalog, tree: Tree, *, size_limit: int | None) -> None:
        self._catalog = catalog
        self._tree = tree
        self.size_limit = size_limit
        self._reserved = 0

    def __repr__(self) -> str:
        return f"<Space {self.usage()!r}, {self._reserved} reserved>"

    def usage(self) -> Usage:
        """Return what is used and spoken for, and what may be used."""
        if self.size_limit is not None:
            return Usage(self._catalog.totals.disk_bytes + self._reserved, self.size_limit)
        disk = self._tree.space()
        # What the file system keeps for root is nobody's here: capacity is what assets could ever have.
        used = disk.total - disk.free
        return Usage(used + self._reserved, used + disk.available)

    def file_system(self) -> DiskSpace:
        """Return the root's file system as it is now."""
        return self._tree.space()

    def is_free(self, size: int) -> bool:
        """Whether `size` more bytes fit: within the limit, and on the disk."""
        usage = self.usage()
        return usage.used + size <= usage.capacity and size + self._reserved <= self._tree.space().available

    def is_full(self, *, wanted: int) -> bool:
        """Whether nothing more fits, or not the `wanted` bytes that were asked for in vain; 0: nobody did."""
        return is_full(self.usage(), self._tree.space().available, wanted=wanted)

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Speak for `size` bytes until the block ends, by when they are on the disk or not wanted any more."""
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size
