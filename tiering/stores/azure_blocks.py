"""The blocks of an upload to Azure Blob Storage: they wait at their blob's own name until they are committed.

A block's name is given by who sends it. Ours say of which upload it is, which part, and the MD5 that was checked.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from tiering.store import CorruptError, NotFoundError, Part, RefusedError
from tiering.stores.azure_dialect import document
from tiering.stores.notes import marked
from tiering.stores.rest import Request, md5_of
from tiering.stores.rules import check_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from tiering.store import Condition
    from tiering.stores.azure import AzureStore
    from tiering.stores.notes import Note

_NAME_BYTES: Final = 16 + 4 + 16


class Blocks:
    """The blocks of all uploads of one store."""

    def __init__(self, store: AzureStore) -> None:
        self._store = store

    async def put(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """See Pieces."""
        part = Part(number, md5.hex(), len(body))
        target = self._store.place(key, comp="block", blockid=_name(upload_id, part))
        request = Request("PUT", target, {"Content-MD5": base64.b64encode(md5).decode()}, (body,))
        try:
            await self._store.ask(request, key)
        except RefusedError as error:
            # Not every server names the reason.
            if await md5_of(body) == md5:
                raise
            raise CorruptError(f"{key}: the MD5 of part {number} is not {md5.hex()}", key=key) from error
        return part

    async def list(self, key: str, upload_id: str) -> list[Part]:
        """See Pieces. What nobody committed within a week the service drops."""
        target = self._store.place(key, comp="blocklist", blocklisttype="uncommitted")
        try:
            answer = document((await self._store.ask(Request("GET", target), key)).body, "BlockList")
        except NotFoundError:
            return []
        found = (_part(each, upload_id) for each in answer.iterfind("UncommittedBlocks/Block"))
        return sorted((part for part in found if part is not None), key=lambda part: part.number)

    async def join(self, note: Note, upload_id: str, parts: Sequence[Part], condition: Condition) -> None:
        """See Pieces."""
        conditions = await self._store.conditions(note.key, condition)
        check_parts(note.key, parts, await self.list(note.key, upload_id))
        names = "".join(f"<Uncommitted>{_name(upload_id, part)}</Uncommitted>" for part in parts)
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{names}</BlockList>'
        headers = {**self._store.described(note.key, marked(note.attributes, upload_id)), **conditions}
        target = self._store.place(note.key, comp="blocklist")
        await self._store.ask(Request("PUT", target, headers, (document.encode(),)), note.key)

    async def remove(self, upload_id: str) -> None:
        """See Pieces. The service drops blocks that nobody commits within a week."""


def _name(upload_id: str, part: Part) -> str:
    """Return a block's name: they must all be equally long."""
    raw = bytes.fromhex(upload_id) + part.number.to_bytes(4, "big") + bytes.fromhex(part.etag)
    return base64.b64encode(raw).decode()


def _part(found: Element, upload_id: str) -> Part | None:
    """Return the part that a block is; None where it is not of this upload."""
    try:
        raw = base64.b64decode(found.findtext("Name") or "", validate=True)
    except binascii.Error:
        return None
    if len(raw) != _NAME_BYTES or raw[:16].hex() != upload_id:
        return None
    return Part(int.from_bytes(raw[16:20], "big"), raw[20:].hex(), int(found.findtext("Size") or 0))
