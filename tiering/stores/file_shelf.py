"""Objects as plain files below one directory, readable under their own names by anyone.

Two keys can want what a file system cannot give: `f` beside `f/g`, or a component above 255 bytes. The second of them
lies aside, under the digest of its key; its sidecar tells the key.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.store import Attributes, NotFoundError, ObjectInfo, UnavailableError
from tiering.stores.file_sidecars import Label, Sidecars, digest_of, read_label
from tiering.stores.file_staging import sync_directory
from tiering.stores.rules import check_condition, check_etag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiering.store import Condition
    from tiering.stores.file_staging import Staged

META: Final = ".tierd-meta"
_NO_SUCH_FILE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
_NO_ROOM: Final = {errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class Placed:
    """An object where it was found."""

    place: Path
    info: ObjectInfo
    sidecar: Path
    is_labelled: bool
    upload_id: str


class Shelf:
    """The files of one store. Everything blocks, and may be called from many threads and processes."""

    def __init__(self, root: Path, *, clock_ns: Callable[[], int]) -> None:
        self.root = root
        self.meta = root / META
        self.staging = self.meta / "staging"
        self.aside = self.meta / "aside"
        self.uploads = self.meta / "uploads"
        self._sidecars = Sidecars(self.meta / "sidecars", clock_ns=clock_ns)
        self._settled: set[Path] = set()
        self._lock = self.meta / "lock"

    def prepare(self) -> None:
        """Make the directories of a store, where they are missing."""
        for directory in (self.staging, self.aside, self.uploads):
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._sidecars.prepare()
        # The mark of a store comes last: without it nothing is believed.
        self._lock.touch(mode=0o640)
        for directory in (self.meta, self.root, self.root.parent):
            sync_directory(directory)

    def check(self) -> None:
        """Raise UnavailableError where this is no store now: a disk that is not mounted looks like an empty one."""
        if not self._lock.exists():
            raise UnavailableError(
                f"{self.root} is not a tierd store now",
                hint=f"is its disk mounted? A store has a directory {META}",
            )

    def find(self, key: str) -> Placed:
        """Return the object. Raise NotFoundError where there is none."""
        while True:
            place, found = self._locate(key)
            if place is None or found is None:
                self.check()
                raise NotFoundError(f"{key}: there is no such object", key=key)
            placed = self.describe(key, place, found)
            # A sidecar that was gone when we looked may have been that of a version replaced meanwhile.
            if placed.is_labelled or _same(place, found):
                return placed

    def vouch(self, key: str) -> Placed:
        """Return the object once its name is durable: a crash, or a sync that failed, may have left it without."""
        while True:
            placed = self.find(key)
            try:
                self._settle(placed.place.parent)
            except FileNotFoundError:
                # The last object of its directory was removed meanwhile; perhaps there is another now.
                continue
            return placed

    def open(self, key: str) -> tuple[int, ObjectInfo]:
        """Return an open descriptor and the object that it reads, whatever replaces it later."""
        while True:
            place = self.find(key).place
            try:
                fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            found = os.fstat(fd)
            placed = self.describe(key, place, found)
            if placed.is_labelled or _same(place, found):
                return fd, placed.info
            os.close(fd)

    def describe(self, key: str, place: Path, found: os.stat_result) -> Placed:
        """Return the object that this file is. One without a sidecar, made by others, has an ETag that is no MD5."""
        sidecar = self._sidecars.place(digest_of(key), found)
        said = read_label(sidecar)
        label = said or Label(key, f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}", Attributes())
        info = ObjectInfo(
            key,
            found.st_size,
            label.etag,
            found.st_mtime_ns / 1e9,
            label.attributes.metadata,
            label.attributes.content_type,
        )
        return Placed(place, info, sidecar, is_labelled=said is not None, upload_id=label.upload_id)

    def key_aside(self, place: Path, found: os.stat_result) -> str | None:
        """Return the key of an object that lies aside."""
        label = read_label(self._sidecars.place(place.name, found))
        return None if label is None else label.key

    def made_by(self, key: str, upload_id: str) -> ObjectInfo | None:
        """Return the object if this upload made it."""
        try:
            placed = self.vouch(key)
        except NotFoundError:
            return None
        return placed.info if placed.upload_id == upload_id else None

    def check_condition(self, key: str, condition: Condition) -> None:
        """Raise PreconditionError where it is plain already that the condition does not hold."""
        if condition is not None:
            try:
                etag = self.find(key).info.etag
            except NotFoundError:
                etag = None
            check_condition(key, condition, etag)

    def publish(self, staged: Staged, label: Label, condition: Condition) -> ObjectInfo:
        """Make a staged file the object, durably. Raise PreconditionError where the condition does not hold."""
        sidecar = self._sidecars.write(staged, label)
        try:
            place, replaced = self._put_in_place(staged, label.key, condition)
        except BaseException:
            sidecar.unlink()
            raise
        self._settle(place.parent)
        if replaced is not None and replaced != sidecar:
            replaced.unlink(missing_ok=True)
        return self.describe(label.key, place, os.fstat(staged.fd)).info

    def remove(self, key: str, etag: str | None) -> None:
        """Remove an object; one that is not there is no error. Raise PreconditionError where it is not of `etag`."""
        with self._alone():
            try:
                placed = self.find(key)
            except NotFoundError:
                return
            check_etag(key, etag, placed.info.etag)
            placed.place.unlink()
            kept = self._prune(placed.place.parent)
        sync_directory(kept)
        placed.sidecar.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other writer out, in this process and in others, for the moment that a decision takes effect."""
        try:
            fd = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self.check()
            raise
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _put_in_place(self, staged: Staged, key: str, condition: Condition) -> tuple[Path, Path | None]:
        """Return where the object is now, and the sidecar it made obsolete."""
        with self._alone():
            try:
                present = self.find(key)
            except NotFoundError:
                check_condition(key, condition, None)
                return self._place_new(staged, key), None
            check_condition(key, condition, present.info.etag)
            staged.publish_over(present.place)
            return present.place, present.sidecar

    def _place_new(self, staged: Staged, key: str) -> Path:
        place = self.root / key
        try:
            if self._is_ours(key):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
            self._make(place.parent)
            staged.publish(place)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._prune(place.parent)
        else:
            return place
        place = self.aside / digest_of(key)
        staged.publish(place)
        return place

    def _make(self, directory: Path) -> None:
        """Make a directory and its parents."""
        missing = []
        while not directory.is_dir():
            missing.append(directory)
            directory = directory.parent
        for each in reversed(missing):
            self._settled.discard(each)
            each.mkdir(mode=0o750)

    def _settle(self, directory: Path) -> None:
        """Make the names in a directory durable, and the directory's own where we have not yet seen to that.

        That it is there says nothing: whoever made it may have died, or failed, before its name was synced.
        """
        sync_directory(directory)
        unsettled = []
        while directory not in self._settled and directory != self.root:
            unsettled.append(directory)
            directory = directory.parent
            sync_directory(directory)
        self._settled.update(unsettled)

    def _is_ours(self, key: str) -> bool:
        return key.partition("/")[0] == META

    def _locate(self, key: str) -> tuple[Path | None, os.stat_result | None]:
        places = [self.aside / digest_of(key)]
        if not self._is_ours(key):
            places.insert(0, self.root / key)
        for place in places:
            try:
                found = place.lstat()
            except OSError as error:
                if error.errno not in _NO_SUCH_FILE:
                    raise
                continue
            if stat.S_ISREG(found.st_mode):
                return place, found
        return None, None

    def _prune(self, directory: Path) -> Path:
        """Remove the directories that an object left empty, and return the one that stays."""
        while directory not in (self.root, self.aside):
            try:
                directory.rmdir()
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    break
                if error.errno not in _NO_SUCH_FILE:
                    raise
            directory = directory.parent
        return directory


def _same(place: Path, found: os.stat_result) -> bool:
    """Whether the file at this place is still the one that was found."""
    try:
        now = place.lstat()
    except OSError:
        return False
    return (now.st_ino, now.st_mtime_ns, now.st_size) == (found.st_ino, found.st_mtime_ns, found.st_size)
