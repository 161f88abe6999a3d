"""The bytes of assets on their way to a client. A body that goes wrong midway breaks the connection, visibly.

Small files are read in place: a thread would cost more than the read. Larger ones go by the kernel (sendfile), in
slices, each of which must be taken by the client in time. Their last bytes are read, and sent only if the file is then
still the one that was sighted: a client that has all bytes has those of one content.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.tree import sighting_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.web import BaseRequest, StreamResponse

    from daemon.counting import Tally
    from tiering.answers import HotContent

INLINE_BYTES: Final = 64 * 1024
SLICE_BYTES: Final = 1024 * 1024


class BrokenAnswerError(ConnectionError):
    """The rest of a body cannot be sent, and its head has gone: the connection was aborted."""


class AlteredFileError(Exception):
    """The open file is no longer what was sighted."""

    def __init__(self) -> None:
        super().__init__("the file changed while it was read")


def read_inline(content: HotContent, start: int, stop: int) -> bytes:
    """Return these few bytes. Raise AlteredFileError where they, or any read before them, may be of another content."""
    data = os.pread(content.fd, stop - start, start)
    now = sighting_of(content.sighting.path, os.fstat(content.fd))
    if len(data) != stop - start or now.fingerprint != content.sighting.fingerprint:
        raise AlteredFileError
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A body on its way, after a head that promised its size. `tally` counts what went."""

    request: BaseRequest
    response: StreamResponse
    tally: Tally
    stall_seconds: float

    async def send_file(self, content: HotContent, start: int, stop: int) -> None:
        """Send these bytes of a file. Raise BrokenAnswerError where it changes or the client takes nothing."""
        tail = max(start, stop - INLINE_BYTES)
        try:
            while start < tail:
                start += await self._send_slice(content.fd, start, min(SLICE_BYTES, tail - start))
            await self._write(read_inline(content, start, stop))
        except TimeoutError as error:
            raise self.broken(f"the client took nothing for {self.stall_seconds:g} s") from error
        except AlteredFileError as error:
            self.tally.result = "error"
            raise self.broken(str(error)) from error

    async def _send_slice(self, fd: int, start: int, length: int) -> int:
        transport = self.request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        file = _Descriptor(fd)
        try:
            async with asyncio.timeout(self.stall_seconds):
                # Documented to take a binary file object; what it uses of one is fileno().
                sent = await asyncio.get_running_loop().sendfile(transport, file, start, length)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise ConnectionResetError("the client has gone") from error  # asyncio's word for a transport that closes.
        if sent == 0:
            raise AlteredFileError
        self.tally.size += sent
        return sent

    async def send_chunks(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        """Send what comes from the store."""
        await self._write(first)
        async for chunk in rest:
            await self._write(chunk)

    async def _write(self, chunk: bytes) -> None:
        self.tally.size += len(chunk)
        await self.response.write(chunk)

    def broken(self, why: str) -> BrokenAnswerError:
        """Abort the connection, dropping what is buffered, so that nobody takes what was sent for the whole."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return BrokenAnswerError(why)


class _Descriptor:
    """A file descriptor as loop.sendfile() wants it: something with a fileno()."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the number."""
        return self._fd
