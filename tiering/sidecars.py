"""Sidecars written or edited after their asset was uploaded: found by looking, as no hint tells of an ignored name."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from index.asset import RelPath
from index.errors import IndexFullError, UnknownAssetError
from index.lifecycle import State
from tiering.describer import SIDECAR
from tiering.label import Label
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.describer import Describer
    from tiering.tree import Tree

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 60.0
SHARE: Final = 50
"""So many times as long as it took to look at all directories, nobody looks again."""
PAGE: Final = 500
REMEMBERED: Final = 10_000


class Sidecar(NamedTuple):
    """The asset that it is about, and when it was last changed."""

    path: RelPath
    ctime_ns: int


class Sidecars:
    """Has assets of which no application has said anything be what their sidecars say; their remote copies follow."""

    def __init__(self, catalog: Catalog, tree: Tree, describer: Describer) -> None:
        self._catalog = catalog
        self._describer = describer
        self._tree = tree
        self._read: dict[RelPath, int] = {}
        """Those that said nothing, or nothing new, and when they were changed: nobody is told twice."""

    async def run(self) -> None:
        """Look through the whole tree now and then, for ever."""
        while True:
            began = time.monotonic()
            try:
                await self.look()
            except IndexFullError as error:
                log.warning("sidecars wait: %s", error)
            await asyncio.sleep(max(PAUSE_SECONDS, SHARE * (time.monotonic() - began)))

    async def look(self) -> int:
        """Take in what late sidecars say; return of how many assets. Raise IndexFullError."""
        found, taken = find_sidecars(self._tree), 0
        while page := await asyncio.to_thread(lambda: list(islice(found, PAGE))):
            for sidecar in page:
                taken += await self._take(sidecar)
        return taken

    async def _take(self, sidecar: Sidecar) -> bool:
        if self._read.get(sidecar.path) == sidecar.ctime_ns:
            return False
        try:
            asset = await self._catalog.find(sidecar.path)
        except UnknownAssetError:
            return False
        if asset.state is State.GONE or asset.is_listed:
            return False
        now = Label(asset.type, asset.fields, asset.tags)
        said = await self._catalog.sidecar_said(asset.id)
        before = None if said is None else Label(*said)
        # What a rule said of the path is less than what a sidecar says of the file, and so is what it said itself.
        is_ours = not now or now in (self._describer.by_path(sidecar.path), before)
        if before is not None and not is_ours:
            return False
        label = await asyncio.to_thread(self._describer.sidecar, sidecar.path)
        if label and label != now:
            return is_ours and await self._describe(asset, label)
        if label and before is None:
            # It was described before there was this index.
            await self._catalog.believe_sidecar(asset)
        self._remember(sidecar)
        return False

    async def _describe(self, asset: Asset, label: Label) -> bool:
        return await self._catalog.describe_late(asset, type=label.type, fields=label.fields, tags=label.tags)

    def _remember(self, sidecar: Sidecar) -> None:
        if len(self._read) >= REMEMBERED:
            self._read.clear()
        self._read[sidecar.path] = sidecar.ctime_ns


def find_sidecars(tree: Tree) -> Iterator[Sidecar]:
    """Yield all that there are, of assets that may be. What cannot be looked at is left out."""
    unseen = [""]
    while unseen:
        directory = unseen.pop()
        try:
            fd = tree.open_directory(directory)
        except FileError:
            continue
        try:
            with os.scandir(fd) as entries:
                here = [found for entry in entries if (found := _seen(tree, entry, directory)) is not None]
        except OSError:
            continue
        finally:
            os.close(fd)
        unseen += [found for found in here if isinstance(found, str)]
        yield from (found for found in here if isinstance(found, Sidecar))


def _seen(tree: Tree, entry: os.DirEntry[str], directory: str) -> Sidecar | str | None:
    """Return the sidecar, or the directory, that an entry is; None for anything else."""
    path = f"{directory}/{entry.name}" if directory else entry.name
    whose = entry.name.removesuffix(SIDECAR)
    try:
        if whose and whose != entry.name and not tree.ignores_name(whose) and entry.is_file(follow_symlinks=False):
            return Sidecar(RelPath(path.removesuffix(SIDECAR)), entry.stat(follow_symlinks=False).st_ctime_ns)
        is_below = entry.is_dir(follow_symlinks=False) and not tree.ignores_name(entry.name)
    except OSError:
        return None
    return path if is_below else None
