"""Requests to a store that speaks HTTP and has no library of ours: with a deadline, and errors that are ours.

What differs from one such store to another is its `Dialect`: who we are, and what its refusals mean.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import aiohttp
from yarl import URL

from tiering.store import CorruptError, UnavailableError
from tiering.stores.verdict import about_silence
from tiering.toll import Fare, Toll, fare_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

    from tiering.store import StoreError

T = TypeVar("T")

SLOWEST: Final = 64 * 1024
"""Bytes per second: what moves more slowly than this is given up."""
_PIECE: Final = 256 * 1024
_CONNECT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `target` is what follows the endpoint, percent-encoded; `body` is sent piece after piece.

    `lists`: what it costs is not what its method says.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = ()
    lists: bool = False

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return sum(map(len, self.body))


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; `headers` are looked up whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Dialect(Protocol):
    """What is particular to one kind of store."""

    @property
    def endpoint(self) -> str:
        """Scheme, host and whatever comes before every target, without a slash at the end."""

    async def sign(self, request: Request) -> Mapping[str, str]:
        """Return all headers of a request, those that say who we are included. Raise CredentialsError."""

    def fault(self, reply: Reply, key: str) -> StoreError:
        """Return which of our errors a refusal is."""


class Rest:
    """A pool of connections to one store."""

    def __init__(self, dialect: Dialect, *, concurrency: int, stall_seconds: float) -> None:
        self._dialect = dialect
        self.stall_seconds = stall_seconds
        self.toll = Toll()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency + 4),
            # Each request has its own deadline, by size and by silence.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            trust_env=True,
        )

    async def ask(self, request: Request, key: str, *, seconds: float | None = None) -> Reply:
        """Return a whole answer. Raise StoreError where it is a refusal, or none comes in time."""
        limit = (seconds or self.stall_seconds) + request.size / SLOWEST
        async with self._guarded(key, limit), await self._send(request, key) as response:
            return Reply(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def open(self, request: Request, key: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for an object's body, to be read by `pieces`. Raise StoreError where it is refused."""
        async with self._guarded(key, self.stall_seconds):
            response = await self._send(request, key)
        try:
            yield response
        finally:
            # Closed, not released: what nobody reads to its end must not hold up the next request.
            response.close()

    async def pieces(self, response: aiohttp.ClientResponse, key: str, length: int) -> AsyncIterator[bytes]:
        """Yield a body of `length` bytes. Raise CorruptError where it ends short, UnavailableError where it stalls."""
        left = length
        while left > 0:
            # Silence, not slowness, is what ends a download.
            async with self._guarded(key, self.stall_seconds):
                piece = await response.content.read(_PIECE)
            if not piece:
                raise CorruptError(f"{key}: {length - left} bytes came where {length} were to come", key=key)
            left -= len(piece)
            yield piece
        if left:
            raise CorruptError(f"{key}: more than {length} bytes came", key=key)

    async def close(self) -> None:
        """Release the connections."""
        await self._session.close()

    async def _send(self, request: Request, key: str) -> aiohttp.ClientResponse:
        """Return the head of an answer, its body unread. Raise StoreError where it is a refusal."""
        headers = dict(await self._dialect.sign(request))
        if request.method in {"PUT", "POST"}:
            headers["Content-Length"] = str(request.size)
        response = await self._session.request(
            request.method,
            URL(self._dialect.endpoint + request.target, encoded=True),
            headers=headers,
            data=_stream(request.body) if request.size else None,
            allow_redirects=False,
        )
        self.toll.answered(Fare.WRITE if request.lists else fare_of(request.method), response.status)
        if response.status < 300:  # noqa: PLR2004 - a status class
            return response
        async with response:
            raise self._dialect.fault(Reply(response.status, response.headers, await response.read()), key)

    @asynccontextmanager
    async def _guarded(self, key: str, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise UnavailableError(f"{key or 'the store'}: no answer within {seconds:.0f} s", key=key) from error
        except (aiohttp.ClientError, OSError) as error:
            message = str(error) or type(error).__name__
            raise UnavailableError(f"{key or 'the store'}: {message}", key=key, hint=about_silence(message)) from error


async def _stream(bodies: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield bytes piece by piece: sent as a whole they would be copied whole on their way to the socket."""
    for body in bodies:
        view = memoryview(body)
        for at in range(0, len(view), _PIECE):
            yield view[at : at + _PIECE].tobytes()


async def md5_of(body: bytes) -> bytes:
    """Return the MD5, made in a thread where it would hold up the loop."""
    hashed = hashlib.md5(usedforsecurity=False)
    if len(body) <= _PIECE:
        hashed.update(body)
    else:
        await asyncio.to_thread(hashed.update, body)
    return hashed.digest()


def date_of(reply: Reply) -> float:
    """Return what time it was there, in seconds since the epoch. Raise UnavailableError where it does not say."""
    date = reply.headers.get("Date")
    if date is None:
        raise UnavailableError("the store does not say what time it is")
    return parsedate_to_datetime(date).timestamp()


def by_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Have a loop do the work while this thread, which is not the loop's, waits for it. Raise what it raises."""
    try:
        return asyncio.run_coroutine_threadsafe(work, loop).result()
    except (CancelledError, RuntimeError) as error:
        work.close()
        raise UnavailableError("the daemon is ending", hint="it is done after the next start") from error
