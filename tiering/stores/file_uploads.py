"""Multipart uploads of a file store: each a directory whose parts survive a crash.

A part is a file whose name is its number and its MD5, and it has that name only once its bytes are on the disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from tiering.store import Attributes, NotFoundError, Part, PendingUpload
from tiering.stores.file_staging import Staged, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.stores.file_shelf import Shelf

_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_ABOUT: Final = "about.json"
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class _About:
    key: str
    content_type: str
    metadata: dict[str, str]
    started: float


class Uploads:
    """The unfinished uploads of one store. Everything blocks."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def begin(self, key: str, attributes: Attributes) -> str:
        """Return the id of a new upload, which is durable."""
        self._shelf.check()
        upload_id = uuid.uuid4().hex
        directory = self._shelf.uploads / upload_id
        about = _About(key, attributes.content_type, dict(attributes.metadata), time.time())
        with Staged(self._shelf.staging) as staged:
            staged.write(json.dumps(asdict(about)).encode())
            staged.sync()
            directory.mkdir(mode=0o750)
            staged.publish(directory / _ABOUT)
        sync_directory(directory)
        sync_directory(self._shelf.uploads)
        return upload_id

    def add(self, key: str, upload_id: str, part: Part, body: bytes) -> None:
        """Keep a part, durably, in the place of one of the same number."""
        self.attributes(key, upload_id)
        directory = self._shelf.uploads / upload_id
        place = _place(directory, part)
        with Staged(self._shelf.staging) as staged:
            staged.write(body)
            staged.sync()
            staged.publish_over(place)
        sync_directory(directory)
        for other in directory.glob(f"{part.number:05}-*"):
            if other != place:
                other.unlink(missing_ok=True)

    def parts(self, key: str, upload_id: str) -> list[Part]:
        """Return the parts that are kept, by number."""
        self.attributes(key, upload_id)
        # After a crash two can have one number: the later counts.
        found = [(path.stat(), path.name) for path in (self._shelf.uploads / upload_id).glob("?????-*")]
        found.sort(key=lambda each: each[0].st_mtime_ns)
        latest = {int(name[:5]): Part(int(name[:5]), name[6:], status.st_size) for status, name in found}
        return [latest[number] for number in sorted(latest)]

    def attributes(self, key: str, upload_id: str) -> Attributes:
        """Return what travels with the object. Raise NotFoundError where there is no such upload."""
        about = self._about(upload_id)
        if about is None or about.key != key:
            self._shelf.check()
            raise NotFoundError(f"{key}: there is no upload {upload_id}", key=key)
        return Attributes(about.content_type, about.metadata)

    def append(self, staged: Staged, upload_id: str, part: Part) -> None:
        """Append a part to the object that the parts become."""
        fd = os.open(_place(self._shelf.uploads / upload_id, part), os.O_RDONLY | os.O_CLOEXEC)
        try:
            staged.append(fd)
        finally:
            os.close(fd)

    def drop(self, upload_id: str) -> None:
        """Forget an upload and its parts; one that is not there is no error."""
        if _UPLOAD_ID.fullmatch(upload_id) is None:
            return
        directory = self._shelf.uploads / upload_id
        # First what makes it an upload: a crash halfway must not leave one that lacks parts.
        (directory / _ABOUT).unlink(missing_ok=True)
        if directory.exists():
            sync_directory(directory)
            shutil.rmtree(directory)

    def pending(self) -> list[PendingUpload]:
        """Return the uploads that were neither completed nor dropped, by key."""
        self._shelf.check()
        found = []
        for directory in self._shelf.uploads.iterdir():
            about = self._about(directory.name)
            if about is not None:
                found.append(PendingUpload(about.key, directory.name, about.started))
        return sorted(found, key=lambda upload: (upload.key, upload.started))

    def sweep(self) -> None:
        """Remove what crashes left: directories that are no uploads, and staged files without a reader."""
        eldest = time.time() - _DAY_SECONDS
        for directory in self._shelf.uploads.iterdir():
            if self._about(directory.name) is None and directory.stat().st_mtime < eldest:
                shutil.rmtree(directory)
        for staged in self._shelf.staging.iterdir():
            if staged.stat().st_mtime < eldest:
                staged.unlink(missing_ok=True)

    def _about(self, upload_id: str) -> _About | None:
        if _UPLOAD_ID.fullmatch(upload_id) is None:
            return None
        try:
            return _About(**json.loads((self._shelf.uploads / upload_id / _ABOUT).read_bytes()))
        except FileNotFoundError:
            return None


def _place(directory: Path, part: Part) -> Path:
    return directory / f"{part.number:05}-{part.etag}"
