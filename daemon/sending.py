"""The bytes of assets on their way to a client. A body that goes wrong midway breaks the connection, visibly.

Small files are read in place: a thread would cost more than the read. Larger ones go by the kernel (sendfile), in
slices, each of which must be taken by the client in time.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from daemon.problem import ApiError
from index.asset import Fingerprint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.web import BaseRequest, StreamResponse

    from daemon.counting import Tally
    from tiering.answers import HotContent

INLINE_BYTES: Final = 64 * 1024
SLICE_BYTES: Final = 1024 * 1024


class BrokenAnswerError(ConnectionError):
    """The rest of a body cannot be sent, and its head has gone: the connection was aborted."""


class _Descriptor:
    """A file descriptor as loop.sendfile() wants it: something with a fileno()."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the number."""
        return self._fd


def read_inline(content: HotContent, start: int, stop: int) -> bytes:
    """Return these bytes of a small content. Raise ApiError (503) where its owner is changing it."""
    data = os.pread(content.fd, stop - start, start)
    if len(data) != stop - start or is_altered(content):
        message = "the file changes while it is read"
        raise ApiError(503, "changing", message, hint="ask again when its writer is done", retry_after=1)
    return data


def is_altered(content: HotContent) -> bool:
    """Whether the open file is no longer what was sighted."""
    now = os.fstat(content.fd)
    return Fingerprint(now.st_size, now.st_mtime_ns, now.st_ino) != content.sighting.fingerprint


async def send_file(
    request: BaseRequest, content: HotContent, span: tuple[int, int], *, stall_seconds: float, tally: Tally
) -> None:
    """Send the bytes from `span[0]` up to `span[1]`, after a head that promised them.

    Raise BrokenAnswerError, the connection aborted, where the client takes nothing for too long or the file changes:
    the last slice is sent only if what was sent before it is still what the file holds.
    """
    start, stop = span
    try:
        while start < stop:
            length = min(SLICE_BYTES, stop - start)
            _check_unaltered(content)
            async with asyncio.timeout(stall_seconds):
                sent = await _send_slice(request, content.fd, start, length)
            tally.size += sent
            start += sent
    except (TimeoutError, BrokenAnswerError) as error:
        abort(request)
        raise BrokenAnswerError(str(error) or f"the client took nothing for {stall_seconds:g} s") from error


def _check_unaltered(content: HotContent) -> None:
    if is_altered(content):
        raise BrokenAnswerError("the file changed while it was sent")


async def _send_slice(request: BaseRequest, fd: int, start: int, length: int) -> int:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    try:
        # Documented to take a binary file object; what it uses of one is fileno().
        sent = await asyncio.get_running_loop().sendfile(transport, _Descriptor(fd), start, length)  # type: ignore[arg-type]
    except RuntimeError as error:
        raise ConnectionResetError("the client has gone") from error  # What asyncio says of a transport that closes.
    if sent == 0:
        raise BrokenAnswerError("the file was cut short while it was sent")
    return sent


async def send_chunks(response: StreamResponse, first: bytes, rest: AsyncIterator[bytes], tally: Tally) -> None:
    """Send a body as it comes from the store, after a head that promised its size."""
    await response.write(first)
    tally.size += len(first)
    async for chunk in rest:
        await response.write(chunk)
        tally.size += len(chunk)


def abort(request: BaseRequest) -> None:
    """Break the connection at once, dropping what is buffered: nobody may take what was sent for the whole."""
    if request.transport is not None:
        request.transport.abort()
