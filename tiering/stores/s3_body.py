"""A body that is sent piece by piece: as bytes, or as a BytesIO, it would be copied whole on its way to the socket."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE: Final = 256 * 1024


class Pieces:
    """Bytes that botocore measures like a file, and that aiohttp sends as they are asked for."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._at = 0

    def __len__(self) -> int:
        return len(self._body)

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, from the beginning, from here, or from the end."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._body)}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all of them without a size."""
        end = len(self._body) if size < 0 else self._at + size
        piece = self._body[self._at : end].tobytes()
        self._at += len(piece)
        return piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := self.read(PIECE):
            yield piece
