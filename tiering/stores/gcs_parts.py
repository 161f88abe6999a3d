"""The parts of an upload to Google Cloud Storage: objects of our own, composed within the store into the one meant.

The service's own multipart uploads know no conditions, and so could overwrite what is somebody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tiering.keys import RESERVED
from tiering.store import Attributes, CorruptError, Part
from tiering.stores.gcs_dialect import generation
from tiering.stores.notes import marked
from tiering.stores.rules import check_parts
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiering.store import Condition
    from tiering.stores.gcs import GcsStore
    from tiering.stores.notes import Note

PLACE: Final = f"{RESERVED}parts/"
COMPONENTS: Final = 32
"""The service composes no more objects at once."""
_AT_ONCE: Final = 8
_PART: Final = Attributes(storage_class="STANDARD")
"""A class that has a least age would be paid for that long."""


class Parts:
    """The parts of all uploads of one store: `.tierd/parts/UPLOAD/0/NUMBER`, what is made of 32 of them one higher."""

    def __init__(self, store: GcsStore) -> None:
        self._store = store

    async def put(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Pieces."""
        name = _name(upload_id, 0, number)
        try:
            info = await self._store.write(name, body, _PART, None, md5)
        except CorruptError as error:
            await self._store.delete(name)
            raise CorruptError(f"{key}: part {number}: {error}", key=key) from error
        return Part(number, info.etag, info.size)

    async def list(self, key: str, upload_id: str) -> list[Part]:  # noqa: ARG002 - as Pieces has it
        """See Pieces."""
        place = f"{PLACE}{upload_id}/0/"
        found = [info async for page in self._store.list(place) for info in page]
        return sorted(
            (Part(int(info.key.removeprefix(place)), info.etag, info.size) for info in found),
            key=lambda part: part.number,
        )

    async def join(self, note: Note, upload_id: str, parts: Sequence[Part], condition: Condition) -> None:
        """See Pieces."""
        expected = await self._store.expected(note.key, condition)
        check_parts(note.key, parts, await self.list(note.key, upload_id))
        names, level = [_name(upload_id, 0, part.number) for part in parts], 0
        while len(names) > COMPONENTS:
            level += 1
            groups = [names[at : at + COMPONENTS] for at in range(0, len(names), COMPONENTS)]
            names = [_name(upload_id, level, number) for number in range(len(groups))]
            for group, name in zip(groups, names, strict=True):
                await self._compose(group, name, _PART, None)
        await self._compose(names, note.key, marked(note.attributes, upload_id), expected)

    async def remove(self, upload_id: str) -> None:
        """See Pieces. What was made of the parts on the way goes as well."""
        async for page in self._store.list(f"{PLACE}{upload_id}/"):
            await for_each([info.key for info in page], self._store.delete, at_once=_AT_ONCE, name="parts")

    async def _compose(self, names: Sequence[str], key: str, attributes: Attributes, expected: str | None) -> None:
        said: dict[str, Any] = {
            "sourceObjects": [{"name": self._store.full(name)} for name in names],
            "destination": self._store.described(key, attributes),
        }
        target = self._store.place(key, "/compose", **generation(expected))
        await self._store.ask(self._store.documented("POST", target, said), key)


def _name(upload_id: str, level: int, number: int) -> str:
    return f"{PLACE}{upload_id}/{level}/{number:05}"
