"""What the doctor looks at: the same for a daemon that runs and for one that does not, but for who is asked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tiering.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from daemon.settings import Settings
    from tiering.probe import Capabilities
    from tiering.store import Store

WALK_SECONDS: Final = 10.0
"""How long the tree is looked through: what was seen of a larger one is told."""


class HeldError(Exception):
    """Somebody else has the index open: only he can look at it."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk through the tree saw. `foreign` are files of other owners; not `whole`: there was no time for all."""

    directories: int
    files: int
    foreign: int
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """One daemon's place on this host. What only the one who has the index open can tell is asked for by a call.

    `faults` reads every page of the index; `capabilities` raises StoreError where the store cannot show them;
    `uploads` are the ids of multipart uploads that are needed. `deaf` says why the queue of notifications tells
    nothing, which only a daemon that runs can know.
    """

    settings: Settings
    store: Store
    faults: Callable[[], Awaitable[Sequence[str]]]
    capabilities: Callable[[], Awaitable[Capabilities]]
    uploads: Callable[[], Awaitable[Collection[str]]]
    deaf: Callable[[], str] = str

    @property
    def root(self) -> Path:
        """The cache root."""
        return self.settings.cache.root

    @property
    def has_index(self) -> bool:
        """Whether a daemon was here before."""
        return self.settings.index.path.exists()

    @property
    def is_without_store(self) -> bool:
        """Whether the store is a directory that the first start has yet to make."""
        directory = self.settings.store.directory
        return directory is not None and not directory.exists() and not self.has_index

    @cached_property
    def walk(self) -> Walk:
        """The tree, looked through once for all checks."""
        tree = Tree(self.root, ignored=self.settings.cache.ignore)
        deadline = time.monotonic() + WALK_SECONDS
        directories = files = foreign = 0
        for here, below, names, held in os.fwalk(self.root):
            below[:] = [name for name in below if not tree.ignores_name(name)]
            directories += 1
            for name in names:
                files += 1
                foreign += _is_foreign(name, held)
            if time.monotonic() > deadline:
                return Walk(directories, files, foreign, whole=False)
            del here
        return Walk(directories, files, foreign, whole=True)


def _is_foreign(name: str, directory: int) -> bool:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_uid != os.geteuid()
    except FileNotFoundError:
        return False
