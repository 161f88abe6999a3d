"""A promotion under way, as those see it who wait for it or read along.

Whoever reads along gets bytes as they reach the disk, but never the last ones before the digest of the whole agreed:
a reader who was shown everything was shown the right bytes, and one who was not can tell. Once it has its name, its
owner may write it: the last bytes are shown only if the file is then still the one that was proven.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, Self

from tiering.store import UnavailableError
from tiering.tree import ChangedError, sighting_of

if TYPE_CHECKING:
    from index.asset import Asset, Fingerprint
    from tiering.landing import Landing

READ_BYTES: Final = 256 * 1024
HELD_BACK: Final = 64 * 1024
"""How much of the end is kept back until the whole is proven; of a small asset, everything."""


class Stream:
    """One download: how far it is, and whether it turned out right. `follow` may be called until `end`."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self.size = landing.size
        self._proven: Fingerprint | None = None
        self._broken: Exception | None = None
        self._ended = False
        self._news = asyncio.Event()

    def advance(self) -> None:
        """More bytes are on the disk."""
        self._news.set()
        self._news = asyncio.Event()

    def prove(self, landed: Fingerprint) -> None:
        """The digest of the whole agreed, and the file looked like this when it got its name."""
        self._proven = landed
        self.advance()

    def break_off(self, error: Exception) -> None:
        """What was shown so far is worth nothing."""
        self._broken = error
        self.advance()

    def end(self) -> None:
        """Nobody new can read along."""
        self._ended = True
        self._landing.close()

    @property
    def arrived(self) -> int:
        """How many bytes are on the disk."""
        return self._landing.written

    def follow(self) -> Reader | None:
        """Begin to read along; None where it has ended."""
        return None if self._ended else Reader(self, self._landing.open_reader())

    async def wait_proven(self) -> None:
        """Wait until the digest of the whole agreed. Raise what broke it off."""
        while self._proven is None:
            if self._broken is not None:
                raise self._broken
            await self._news.wait()

    async def wait_beyond(self, offset: int) -> int:
        """Wait for bytes after `offset` that may be shown; return where they end. Raise what broke it off."""
        while True:
            if self._broken is not None:
                raise self._broken
            end = min(self._landing.written, self.size - HELD_BACK) if self._proven is None else self.size
            if end > offset:
                return end
            await self._news.wait()

    def read(self, fd: int, wanted: int, offset: int) -> bytes:
        """Return that many bytes of the file. Raise ChangedError where they, or any before them, may be its owner's."""
        chunk = os.pread(fd, wanted, offset)
        is_right = len(chunk) == wanted
        if offset + wanted == self.size:
            is_right = is_right and sighting_of(self._landing.path, os.fstat(fd)).fingerprint == self._proven
        if not is_right:
            raise ChangedError(self._landing.path, "was written while it was read")
        return chunk


class Reader:
    """One who reads along, from the beginning: iterate, and close it in any case."""

    def __init__(self, stream: Stream, fd: int) -> None:
        self._stream = stream
        self._fd = fd
        self._offset = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Raise what broke the download off."""
        if self._offset >= self._stream.size:
            # Of an empty asset nothing could be kept back: to say that it is empty is to show all of it.
            await self._stream.wait_proven()
            raise StopAsyncIteration
        end = await self._stream.wait_beyond(self._offset)
        wanted = min(READ_BYTES, end - self._offset)
        chunk = await asyncio.to_thread(self._stream.read, self._fd, wanted, self._offset)
        self._offset += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Stop reading. Safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Arrival:
    """One promotion, shared by all who asked for the asset while it runs."""

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.stream: Stream | None = None
        self.since = 0.0
        self._begun = asyncio.Event()
        self._done: asyncio.Future[Asset] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Arrival {self.asset.id} {'done' if self._done.done() else 'under way'}>"

    def begin(self, stream: Stream, *, now: float) -> None:
        """Bytes are about to arrive."""
        self.stream = stream
        self.since = now
        self._begun.set()

    def finish(self, asset: Asset) -> None:
        """It is on disk; `asset` is what the index says of it now."""
        self._done.set_result(asset)
        self._begun.set()

    def break_off(self, error: Exception) -> None:
        """Show nobody any more of the download as it is."""
        if self.stream is not None:
            self.stream.break_off(error)

    def fail(self, error: BaseException) -> None:
        """It is not to be had."""
        if isinstance(error, Exception):
            self.break_off(error)
            self._done.set_exception(error)
            self._done.exception()  # Those who asked may all have gone: then it is nobody's error.
        else:
            self.break_off(UnavailableError("tierd was stopped while it was promoted", hint="ask again"))
            self._done.cancel()
        self._begun.set()

    async def wait(self) -> Asset:
        """Return the asset once it is back. Raise what kept it away; being cancelled disturbs nobody else."""
        return await asyncio.shield(self._done)

    async def wait_stream(self) -> Stream | None:
        """Return the stream to read along; None where the promotion ended before there was one."""
        await self._begun.wait()
        return None if self._done.done() else self.stream
