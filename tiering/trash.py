"""How a local copy leaves the disk: out of everybody's reach first, and unlinked only when nobody can miss it.

The file is renamed into the trash, looked at again where nobody can open it by name any more, and only then given up.
A file that was opened late goes back to its name. Nothing here overwrites or unlinks what is not the proven content.

After a crash the trash holds, under an asset's id, either the content that was to be demoted or, for one lost race
with its owner, a file that he had just put there: `recheck` tells them apart, and `put_back` is right for both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from index.asset import AssetId
from tiering.file_lease import Quiet, is_awaited, only_opener
from tiering.tree import TRASH, BusyError, ChangedError, ExistsError, NotMovableError, sync_directory, translated

if TYPE_CHECKING:
    from index.asset import Asset
    from tiering.tree import Tree


class Safety(Enum):
    """How sure it is that nobody has the file open."""

    SAFE = "safe"
    """The kernel showed it."""
    GRACE = "grace"
    """No file lease can be had here: wait, then compare the content's hash before it is given up."""


def move_to_trash(tree: Tree, asset: Asset) -> Safety:
    """Take the local copy from its name into the trash, durably.

    Raise BusyError where somebody has it open, ChangedError where it is not the file that was hashed, NotMovableError
    where it has other names or lies on another file system, ExistsError where the trash still holds an older copy.
    The file is then where it was.
    """
    fd = tree.open(asset.path)
    try:
        with only_opener(fd) as quiet:
            _require_not_busy(asset, quiet)
            seen = tree.sight_fd(asset.path, fd)
            if (seen.fingerprint, seen.ctime_ns) != (asset.fingerprint, asset.ctime_ns):
                raise ChangedError(asset.path, "not the file that was hashed")
            if seen.links != 1:
                raise NotMovableError(asset.path, f"has {seen.links} hard links, so removing it would free nothing")
            if quiet is Quiet.DONE and is_awaited(fd):
                raise BusyError(asset.path, "somebody is opening it")
            _rename_into_trash(tree, asset, seen.fingerprint.inode)
        return _safety(quiet)
    finally:
        os.close(fd)


def require_none(tree: Tree, asset: Asset) -> None:
    """Raise ExistsError where the trash still holds an older copy of the asset.

    To be asked before a departure is written down: whatever breaks it off, what is in the trash then is what left.
    """
    with tree.beneath(_place(asset.id)) as (trash, kept):
        _require_free(asset, kept, trash)


def recheck(tree: Tree, asset: Asset) -> Safety:
    """Look at the copy in the trash again: nobody can open it by name now, but somebody may have before.

    Raise BusyError or ChangedError, after which it must be put back, MissingError where the trash does not have it.
    """
    place = _place(asset.id)
    fd = tree.open(place)
    try:
        with only_opener(fd) as quiet:
            _require_not_busy(asset, quiet)
            seen = tree.sight_fd(place, fd)
            if seen.fingerprint != asset.fingerprint or seen.links != 1:
                raise ChangedError(asset.path, "was changed while it was taken away")
        return _safety(quiet)
    finally:
        os.close(fd)


def trashed_sha256(tree: Tree, asset: Asset) -> str:
    """Return the hash of the copy in the trash."""
    return tree.sha256(_place(asset.id))


def put_back(tree: Tree, asset: Asset) -> bool:
    """Give the copy its name again, durably, and return whether it has it.

    False: its owner has written a new file of that name meanwhile, which stays; the copy stays in the trash, for the
    caller to discard if it is still the proven content. One that has a name of its owner's, be it another one, needs
    no second. Safe to repeat.
    """
    place = _place(asset.id)
    with (
        tree.beneath(place) as (trash, kept),
        tree.beneath(asset.path, make=True) as (home, name),
        translated(asset.path),
    ):
        try:
            os.link(kept, name, src_dir_fd=trash, dst_dir_fd=home, follow_symlinks=False)
        except FileExistsError:
            # A crash between link and unlink leaves the file at both places, from where its owner may have renamed it.
            if os.stat(kept, dir_fd=trash, follow_symlinks=False).st_nlink == 1:
                return False
        sync_directory(home)
        os.unlink(kept, dir_fd=trash)
        sync_directory(trash)
    return True


def discard(tree: Tree, asset_id: AssetId) -> None:
    """Unlink the copy in the trash, durably; one that is not there is no error.

    A copy that came back with a power cut, when its asset has moved on, would be taken for what its owner wants.
    """
    with tree.beneath(_place(asset_id)) as (trash, kept), translated(_place(asset_id)), suppress(FileNotFoundError):
        os.unlink(kept, dir_fd=trash)
        sync_directory(trash)


def listing(tree: Tree) -> list[AssetId]:
    """Return the ids of the assets that the trash holds a copy of."""
    return [AssetId(name) for name in tree.names(TRASH)]


def _place(asset_id: AssetId) -> str:
    return f"{TRASH}/{asset_id}"


def _require_not_busy(asset: Asset, quiet: Quiet) -> None:
    if quiet is Quiet.BUSY:
        raise BusyError(asset.path, "somebody has it open")


def _safety(quiet: Quiet) -> Safety:
    return Safety.SAFE if quiet is Quiet.DONE else Safety.GRACE


def _rename_into_trash(tree: Tree, asset: Asset, inode: int) -> None:
    with (
        tree.beneath(asset.path) as (home, name),
        tree.beneath(_place(asset.id)) as (trash, kept),
        translated(asset.path),
    ):
        # Nobody else makes names in the trash, so looking first is enough: rename would silently replace.
        _require_free(asset, kept, trash)
        os.rename(name, kept, src_dir_fd=home, dst_dir_fd=trash)
        try:
            _require_same(asset, _inode(kept, trash), inode)
            sync_directory(trash)
            sync_directory(home)
        except (OSError, ChangedError):
            put_back(tree, asset)
            raise


def _require_free(asset: Asset, kept: bytes, trash: int) -> None:
    if _inode(kept, trash) is not None:
        raise ExistsError(asset.path, "an older copy of it is still in the trash")


def _require_same(asset: Asset, taken: int | None, meant: int) -> None:
    if taken != meant:
        # The lease keeps openers away, not names: its owner renamed another file to this one at the last moment.
        raise ChangedError(asset.path, "was replaced while it was taken away")


def _inode(name: bytes, directory: int) -> int | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None
