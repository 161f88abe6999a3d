"""One client's connection: its right to exist, its patience, and the shape of what the parser refuses.

aiohttp closes a connection on which no whole head arrives in time (its keep-alive timer). What it leaves to others is
here: how many there may be, and readers who do not read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from daemon import request_id
from daemon.peers import Peer, peer_of
from daemon.problem import ApiError
from daemon.responses import error_response

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

    from daemon.api import Api
    from daemon.limits import Limits

log: Final = logging.getLogger(__name__)

_BUSY: Final = json.dumps(ApiError(503, "busy", "all connections are taken", hint="close idle ones").body).encode()
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BUSY), _BUSY)
)


_FIRST_WORDS_SECONDS: Final = 1.0
"""For how long at the end who has just connected is waited for."""
_STEPS_TO_CONNECT: Final = 4
"""Turns of the loop from a socket that was accepted to its connection: asyncio makes a task of it, then a transport."""


class Crowd:
    """The connections of one listener: at most `limit`, and of one user at most `share`.

    One more makes the one that has idled longest give way: of the same user, where his share is used up; else of the
    user who has most that are idle.
    """

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self._share = share
        self._members: dict[int | None, set[Connection]] = {}
        self._idle: dict[Connection, None] = {}
        self._silent: set[Connection] = set()
        self._all_spoke = asyncio.Event()
        self.closed = False

    def __repr__(self) -> str:
        return f"<Crowd {self._size()} of {self._limit}, {len(self._idle)} idle>"

    def admit(self, connection: Connection) -> bool:
        """Take a connection in; False where those that would have to give way are all at work."""
        if len(self._members.get(connection.uid, ())) >= self._share and not self._make_room(connection.uid):
            return False
        if self._size() >= self._limit and not self._make_room(self._idlest()):
            return False
        self._members.setdefault(connection.uid, set()).add(connection)
        self._idle[connection] = None
        self._silent.add(connection)
        return True

    async def hear_out(self) -> None:
        """Wait until everyone has asked for something once, or has gone."""
        while self._silent:
            self._all_spoke.clear()
            await self._all_spoke.wait()

    def _heard(self, connection: Connection) -> None:
        self._silent.discard(connection)
        if not self._silent:
            self._all_spoke.set()

    def _size(self) -> int:
        return sum(map(len, self._members.values()))

    def _idlest(self) -> int | None:
        idle = Counter(connection.uid for connection in self._idle)
        return max(idle, key=idle.__getitem__, default=None)

    def _make_room(self, uid: int | None) -> bool:
        longest = next((connection for connection in self._idle if connection.uid == uid), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.force_close()
        return True

    def close(self) -> None:
        """Take nobody in any more: what was on its way when the socket closed has come too late."""
        self.closed = True

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._heard(connection)
        self._idle.pop(connection, None)
        members = self._members.get(connection.uid, set())
        members.discard(connection)
        if not members:
            self._members.pop(connection.uid, None)

    def began(self, connection: Connection) -> None:
        """Note that it is at work."""
        self._heard(connection)
        self._idle.pop(connection, None)

    def ended(self, connection: Connection) -> None:
        """Note that it is idle again."""
        if connection in self._members.get(connection.uid, ()):
            self._idle[connection] = None


class Connection(web.RequestHandler):
    """What aiohttp's protocol leaves open."""

    __slots__ = ("_clock", "_crowd", "_stall_seconds", "_unsent", "_wire", "peer")

    def __init__(self, listener: Listener, crowd: Crowd, limits: Limits) -> None:
        super().__init__(
            listener,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.head_seconds,
            lingering_time=limits.linger_seconds,
            max_line_size=limits.line,
            max_field_size=limits.field,
            max_headers=limits.fields,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type] # documented: None turns the access log off
        )
        self._crowd = crowd
        self._stall_seconds = limits.stall_seconds
        self._clock: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._wire: asyncio.Transport
        self.peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse where there are too many."""
        self._wire = transport  # type: ignore[assignment] # a stream's transport can be written to
        self.peer = peer_of(transport.get_extra_info("socket"))
        # Whatever the kernel does not take at once starts the stall clock.
        self._wire.set_write_buffer_limits(high=0)
        if self._crowd.closed:
            self._wire.abort()
        elif not self._crowd.admit(self):
            self._wire.write(_FULL)
            self._wire.close()
        else:
            super().connection_made(transport)

    @property
    def uid(self) -> int | None:
        """The user on the other end; all who come by TCP are one."""
        return None if self.peer is None else self.peer.uid

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._crowd.leave(self)
        self._stop_clock()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock: the client does not take what is sent."""
        super().pause_writing()
        self._start_clock()

    def resume_writing(self) -> None:
        """Stop the clock: everything is taken."""
        self._stop_clock()
        super().resume_writing()

    def _start_clock(self) -> None:
        self._unsent = self._wire.get_write_buffer_size()
        self._clock = asyncio.get_running_loop().call_later(self._stall_seconds, self._check)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _check(self) -> None:
        if self._wire.get_write_buffer_size() < self._unsent:
            self._start_clock()
        else:
            log.debug("%s took nothing for %g s", self.peer, self._stall_seconds)
            self._wire.abort()

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send what is left of an answer; then the connection is idle."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._crowd.ended(self)

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """Answer what the parser refused, in the shape of every other error; break what is already half sent."""
        if isinstance(exc, ConnectionError):
            raise exc
        if request.writer.output_size > 0 or status != 400:  # noqa: PLR2004 - a status is its own name
            log.error("a connection failed unexpectedly", exc_info=exc)
            raise ConnectionAbortedError("the answer cannot be finished")
        if isinstance(exc, LineTooLong):
            error = ApiError(431, "header-too-large", "the request line or a header is too long")
        else:
            error = ApiError(400, "bad-request", (message or "not HTTP").splitlines()[0])
        request_id.begin(None)
        response = error_response(error)
        response.force_close()
        return response


class Listener(web.Server):
    """Makes a connection of everyone who connects, and hands their requests to the API."""

    def __init__(self, api: Api, limits: Limits) -> None:
        super().__init__(self._answer, handler_cancellation=True)
        self._api = api
        self._limits = limits
        self._crowd = Crowd(limits.connections, limits.share)

    async def welcome(self) -> None:
        """Wait until those whom the kernel has handed over are connected."""
        for _ in range(_STEPS_TO_CONNECT):
            await asyncio.sleep(0)

    async def hear_out(self) -> None:
        """Let who has connected, and said nothing yet, say it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._crowd.hear_out(), _FIRST_WORDS_SECONDS)

    def close(self) -> None:
        """Take no new connection; those that are there go on."""
        self._crowd.close()

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._crowd, self._limits)

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        connection = cast("Connection", request.protocol)  # Ours: __call__ made it.
        self._crowd.began(connection)
        return await self._api.answer(request, connection.peer)
