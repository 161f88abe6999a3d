"""Multipart uploads where the store has no such thing: one is a note, an object of our own that says what it will be.

The note is written first and removed last, so whoever lists the notes finds all that was left unfinished.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tiering.keys import RESERVED
from tiering.store import Attributes, NotFoundError, PendingUpload, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tiering.store import Store

PLACE: Final = f"{RESERVED}uploads/"
MARK: Final = "tierd-upload"
"""The metadata entry that tells of which upload an object was made. No store tells it to anybody."""


@dataclass(frozen=True, slots=True)
class Note:
    """An upload that was begun: where its object is to be, and what travels with it."""

    key: str
    attributes: Attributes

    def to_json(self) -> bytes:
        """Return it as the body of an object."""
        said = self.attributes
        return json.dumps(
            {
                "key": self.key,
                "content_type": said.content_type,
                "metadata": dict(said.metadata),
                "tags": dict(said.tags),
                "storage_class": said.storage_class,
            }
        ).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Note:
        """Read it back. Raise ValueError where it is none."""
        try:
            said = json.loads(body)
            key = str(said.pop("key"))
            return cls(key, Attributes(**said))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a note of an upload: {error}") from error


async def write_note(store: Store, key: str, upload_id: str, attributes: Attributes) -> None:
    """Begin an upload."""
    await store.put(PLACE + upload_id, Note(key, attributes).to_json(), Attributes("application/json"))


async def read_note(store: Store, key: str, upload_id: str) -> Note:
    """Return what was begun. Raise NotFoundError where there is no such upload of this key."""
    try:
        async with store.get(PLACE + upload_id) as download:
            note = Note.from_json(b"".join([chunk async for chunk in download.chunks()]))
    except NotFoundError:
        raise NotFoundError(f"{key}: there is no upload {upload_id}", key=key) from None
    except ValueError as error:
        raise UnavailableError(f"{key}: the upload {upload_id}: {error}", key=key) from error
    if note.key != key:
        raise NotFoundError(f"{key}: there is no upload {upload_id}", key=key)
    return note


async def remove_note(store: Store, upload_id: str) -> None:
    """End an upload."""
    await store.delete(PLACE + upload_id)


async def list_notes(store: Store) -> AsyncIterator[Sequence[PendingUpload]]:
    """Yield pages of what was begun and not ended."""
    async for page in store.list(PLACE):
        found = []
        for info in page:
            upload_id = info.key.removeprefix(PLACE)
            try:
                async with store.get(info.key) as download:
                    note = Note.from_json(b"".join([chunk async for chunk in download.chunks()]))
            except (NotFoundError, ValueError):
                continue  # It ended meanwhile, or is not ours.
            found.append(PendingUpload(note.key, upload_id, info.modified))
        if found:
            yield found


def marked(attributes: Attributes, upload_id: str) -> Attributes:
    """Return the attributes of an object that is made of an upload."""
    return replace(attributes, metadata={**attributes.metadata, MARK: upload_id})


def unmarked(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata as whoever wrote the object gave them."""
    return {name: value for name, value in metadata.items() if name != MARK}
