"""A man in the middle who breaks things: between S3 clients and a real S3 server, one fault at a time, as it is armed.

It speaks just enough HTTP to know which operation of S3 a request is, and where its head and its body end. Every
header is passed on as it came, so that signatures, which cover `Host`, stay right.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

PIECE: Final = 64 * 1024


class Kind(StrEnum):
    """What goes wrong."""

    RESET = "reset"
    """The connection is reset there."""
    HANG = "hang"
    """Nothing comes any more from there on."""
    TRICKLE = "trickle"
    """From there on, one byte at a time comes, for ever as far as anybody would wait."""
    CUT = "cut"
    """The connection is closed there, in good order."""
    SLOW_DOWN = "slow-down"
    INTERNAL = "internal"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    """The key is said not to exist."""
    LATE_INTERNAL = "late-internal"
    """It was done, and 500 is answered."""
    LATE_MISSING = "late-missing"
    """It was done, and 404 is answered."""
    LOST = "lost"
    """It was done, and nobody hears of it."""
    FALSE_OK = "false-ok"
    """It is not done, and the answer is 200 with an error for a body."""
    LATE_FALSE_OK = "late-false-ok"
    """It was done, and the answer is 200 with an error for a body."""
    SHORTENED = "shortened"
    """The answer's body ends there, and its length says so."""
    SPOILT_ANSWER = "spoilt-answer"
    """A byte of the answer is another one there; without a body, one of the ETag."""
    SPOILT_REQUEST = "spoilt-request"
    """A byte of the request's body is another one there when it reaches the server."""
    FORGOTTEN = "forgotten"
    """The answer says that it was done, and it never is."""
    SWAPPED = "swapped"
    """Another body is kept, and the answer has the ETag of the one that was sent."""
    TWICE = "twice"
    """The answer comes twice at once."""
    TWICE_LATER = "twice-later"
    """The answer comes a second time a moment later."""


class Where(StrEnum):
    """How far a message has come when it goes wrong."""

    BEFORE = "before-headers"
    AFTER = "after-headers"
    BEGUN = "1-percent"
    HALF = "50-percent"
    LAST = "last-byte"


PARTS: Final = {Where.BEGUN: 0.01, Where.HALF: 0.5}
ERRORS: Final = {
    Kind.SLOW_DOWN: (503, "SlowDown"),
    Kind.INTERNAL: (500, "InternalError"),
    Kind.LATE_INTERNAL: (500, "InternalError"),
    Kind.FORBIDDEN: (403, "AccessDenied"),
    Kind.MISSING: (404, "NoSuchKey"),
    Kind.LATE_MISSING: (404, "NoSuchKey"),
    Kind.FALSE_OK: (200, "InternalError"),
    Kind.LATE_FALSE_OK: (200, "InternalError"),
}
NOT_DONE: Final = (Kind.SLOW_DOWN, Kind.INTERNAL, Kind.FORBIDDEN, Kind.MISSING, Kind.FALSE_OK, Kind.FORGOTTEN)
"""The kinds of answer that are given in the server's stead."""
SPECIAL: Final = (
    ("PUT", "uploadId", "part"),
    ("POST", "uploadId", "complete"),
    ("POST", "uploads", "create"),
    ("DELETE", "uploadId", "abort"),
    ("GET", "list-type", "list"),
    ("GET", "uploads", "list_uploads"),
    ("GET", "uploadId", "list_parts"),
)
"""The operations that are not named as their method: that, what the query has, and the name."""
LIES: Final = (Kind.FORGOTTEN, Kind.SWAPPED)
"""What only a server that lies does."""
STREAMED: Final = (Kind.RESET, Kind.HANG, Kind.TRICKLE, Kind.CUT)
"""What can go wrong with a connection at any byte."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes the next `times` requests of an operation; `times` None is for ever."""

    operation: str
    kind: Kind
    where: Where = Where.BEFORE
    times: int | None = 1

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} {self.where}"


class BrokenOffError(Exception):
    """The conversation is over."""


@dataclass(slots=True)
class Message:
    """A request or an answer: its head ends with an empty line, its body is as long as its length says."""

    head: bytes
    body: bytes = b""

    @property
    def whole(self) -> bytes:
        """All of it, as it is sent."""
        return self.head + self.body

    @property
    def first_line(self) -> str:
        """The line that says what is wanted, or what came of it."""
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*([^\r\n]*)", self.head)
        return found[1].decode("latin-1") if found else None

    def without(self, name: str) -> Message:
        """Return it without a header."""
        return replace(self, head=re.sub(rb"(?im)^" + name.encode() + rb":[^\n]*\n", b"", self.head))


def operation_of(request: Message) -> str:
    """Return which operation of S3 a request is."""
    method, target, _ = request.first_line.split(" ", 2)
    names = {pair.partition("=")[0] for pair in urlsplit(target).query.split("&")}
    if request.header("x-amz-copy-source") is not None:
        return "copy"
    return next((name for verb, query, name in SPECIAL if verb == method and query in names), method.lower())


@dataclass
class Client:
    """One connection of a client, and how it is treated."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_head(self) -> Message | None:
        """Return the next request's head; None where none comes any more."""
        try:
            return Message(await self.reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def read_body(self, request: Message, part: float | None = None) -> None:
        """Read the body that the head announces, or only a part of it."""
        if (request.header("expect") or "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(request.header("content-length") or 0)
        try:
            request.body = await self.reader.readexactly(length if part is None else int(length * part))
        except (asyncio.IncompleteReadError, OSError):
            raise BrokenOffError from None

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            raise BrokenOffError from None

    async def trickle(self, data: bytes, pace: float) -> None:
        """Send one byte after the other, for as long as somebody listens."""
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await asyncio.sleep(pace)
            if self.writer.is_closing() or self.reader.at_eof():
                raise BrokenOffError

    async def hang(self) -> None:
        """Do nothing until the other side has gone."""
        try:
            while await self.reader.read(PIECE):
                pass
        except OSError:
            pass
        raise BrokenOffError

    def reset(self) -> None:
        """Break the connection, so that the other side gets an error and not an end."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class FaultProxy:
    """Listens on a port of its own, in a thread of its own, and passes on to `upstream` what no fault strikes.

    `pace` is the seconds that a trickle takes for a byte. `hits` counts what struck, `seen` all requests.
    """

    upstream: str
    tls: ssl.SSLContext | None = None
    pace: float = 1.0
    hits: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    endpoint: str = ""
    _armed: list[Fault] = field(default_factory=list)
    _counts: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._talks: set[asyncio.Task[Any]] = set()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def arm(self, *faults: Fault) -> None:
        """Let these strike, each the next requests of its operation, and nothing else."""
        with self._lock:
            self._armed = list(faults)
            self.hits.clear()

    def hold(self, *instead: Fault) -> list[Fault]:
        """Let only these strike, and not count, until what is returned is resumed."""
        with self._lock:
            held, self._armed, self._counts = self._armed, list(instead), False
        return held

    def resume(self, held: list[Fault]) -> None:
        """Let strike what was held."""
        with self._lock:
            self._armed, self._counts = held, True

    @property
    def struck(self) -> int:
        """How often a fault has struck since the last were armed."""
        with self._lock:
            return self.hits.total()

    def _take(self, operation: str) -> Fault | None:
        with self._lock:
            self.seen[operation] += 1
            for place, fault in enumerate(self._armed):
                if fault.operation == operation:
                    self.hits[str(fault)] += self._counts
                    left = None if fault.times is None else fault.times - 1
                    self._armed[place : place + 1] = [] if left == 0 else [replace(fault, times=left)]
                    return fault
        return None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, limit=1 << 20)
        scheme = "https" if self.tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._talk(Client(reader, writer))
        except (BrokenOffError, asyncio.CancelledError):
            # asyncio would log a connection's task that was cancelled, as it is when we close.
            pass
        finally:
            writer.close()
            await _closed(writer)
            self._talks.discard(task)

    async def _talk(self, client: Client) -> None:
        while request := await client.read_head():
            fault = self._take(operation_of(request))
            if fault is None:
                await client.read_body(request)
                await client.send((await self._ask(request)).whole)
            else:
                await self._strike(fault, client, request)

    async def _strike(self, fault: Fault, client: Client, request: Message) -> None:
        if fault.kind in STREAMED:
            await self._break_stream(fault, client, request)
        elif fault.kind in NOT_DONE:
            await self._answer_instead(fault, client, request)
        else:
            await client.read_body(request)
            sent = request.body
            if fault.kind in {Kind.SPOILT_REQUEST, Kind.SWAPPED}:
                request.body = spoilt(request.body, fault.where)
            answer = await self._ask(request)
            if fault.kind is Kind.SWAPPED:
                answer = with_etag(answer, sent)
            await self._answer_otherwise(fault, client, request, answer)

    async def _break_stream(self, fault: Fault, client: Client, request: Message) -> None:
        """Go wrong in the longer of the two bodies; where there is none, so far into the answer's head."""
        length = int(request.header("content-length") or 0)
        if fault.where in {Where.BEGUN, Where.HALF, Where.LAST} and length > PIECE // 8:
            await client.read_body(request, PARTS.get(fault.where, 1 - 1 / length))
            await self._break(fault.kind, client, b"HTTP/1.1 ")
        await client.read_body(request)
        answer = await self._ask(request)
        at = position(answer, fault.where)
        await client.send(answer.whole[:at])
        await self._break(fault.kind, client, answer.whole[at:])

    async def _break(self, kind: Kind, client: Client, rest: bytes) -> None:
        if kind is Kind.RESET:
            client.reset()
        elif kind is Kind.HANG:
            await client.hang()
        elif kind is Kind.TRICKLE:
            await client.trickle(rest, self.pace)
            return
        raise BrokenOffError

    async def _answer_instead(self, fault: Fault, client: Client, request: Message) -> None:
        """Answer before the server was asked: once so much of the request's body has come."""
        part = {Where.BEFORE: 0.0, Where.AFTER: None, Where.LAST: None, **PARTS}[fault.where]
        await client.read_body(request, part)
        reply = acknowledgement(request) if fault.kind is Kind.FORGOTTEN else error(fault.kind, request)
        await client.send(reply.whole)
        if part is not None and int(request.header("content-length") or 0):
            await client.hang()

    async def _answer_otherwise(self, fault: Fault, client: Client, request: Message, answer: Message) -> None:
        """Answer what is not so, now that it was done."""
        match fault.kind:
            case Kind.LOST:
                client.reset()
                raise BrokenOffError
            case Kind.LATE_INTERNAL | Kind.LATE_MISSING | Kind.LATE_FALSE_OK:
                await client.send(error(fault.kind, request).whole)
            case Kind.SPOILT_ANSWER:
                await client.send(spoilt_answer(answer, fault.where).whole)
            case Kind.SHORTENED:
                await client.send(shortened(answer, fault.where).whole)
            case Kind.TWICE:
                await client.send(answer.whole * 2)
            case Kind.TWICE_LATER:
                await client.send(answer.whole)
                await asyncio.sleep(0.02)
                await client.send(answer.whole)
            case _:
                await client.send(answer.whole)

    async def _ask(self, request: Message) -> Message:
        """Pass a request on, over a connection of its own, and return the answer, framed by its length."""
        place = urlsplit(self.upstream)
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
        except OSError:
            raise BrokenOffError from None  # The server is down.
        try:
            writer.write(request.without("expect").whole)
            await writer.drain()
            answer = Message(await reader.readuntil(b"\r\n\r\n"))
            return await _with_body(answer, reader, is_head=request.first_line.startswith("HEAD "))
        except (OSError, asyncio.IncompleteReadError):
            raise BrokenOffError from None
        finally:
            writer.close()
            await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the connection is closed; the other side is not waited for."""
    try:
        async with asyncio.timeout(0.1):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
        await asyncio.sleep(0)


async def _with_body(answer: Message, reader: asyncio.StreamReader, *, is_head: bool) -> Message:
    if is_head or answer.first_line.split(" ")[1] in {"204", "304"}:
        return answer
    if (answer.header("transfer-encoding") or "").lower() != "chunked":
        answer.body = await reader.readexactly(int(answer.header("content-length") or 0))
        return answer
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    plain = answer.without("transfer-encoding")
    return replace(plain, head=plain.head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body), body=body)


def with_etag(answer: Message, body: bytes) -> Message:
    """Return an answer as if this body had been kept."""
    plain = answer.without("etag")
    return replace(plain, head=plain.head[:-2] + b'ETag: "%s"\r\n\r\n' % md5(body).hexdigest().encode())


def acknowledgement(request: Message) -> Message:
    """Return what a server answers that has done what was asked: a write, or the end of an upload."""
    body = b""
    if request.first_line.startswith("POST "):
        body = b"<CompleteMultipartUploadResult><ETag>&quot;0-1&quot;</ETag></CompleteMultipartUploadResult>"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    return with_etag(Message(head, body), request.body)


def position(answer: Message, where: Where) -> int:
    """Return how many bytes of an answer come before it goes wrong."""
    head, body = len(answer.head), len(answer.body)
    if where is Where.BEFORE:
        return 0
    if where is Where.AFTER:
        return head
    if where is Where.LAST:
        return head + body - 1
    return head + int(body * PARTS[where]) if body else int(head * PARTS[where])


def spoilt(body: bytes, where: Where) -> bytes:
    """Return the same bytes but for one."""
    at = min(int(len(body) * PARTS.get(where, 1.0)), len(body) - 1)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def spoilt_answer(answer: Message, where: Where) -> Message:
    """Return an answer of the same length with another byte: in its body, or in its ETag."""
    if answer.body:
        return replace(answer, body=spoilt(answer.body, where))
    etag = answer.header("etag")
    if etag is None:
        return answer
    other = etag.replace(etag[4], "0" if etag[4] != "0" else "1")
    return replace(answer, head=answer.head.replace(etag.encode(), other.encode()))


def shortened(answer: Message, where: Where) -> Message:
    """Return an answer whose body is shorter, and well framed."""
    length = {Where.LAST: len(answer.body) - 1}.get(where, int(len(answer.body) * PARTS.get(where, 0.0)))
    plain = answer.without("content-length")
    return Message(plain.head[:-2] + b"Content-Length: %d\r\n\r\n" % length, answer.body[:length])


def error(kind: Kind, request: Message) -> Message:
    """Return an error as an S3 server would word it. The answer to a HEAD has no body."""
    status, code = ERRORS[kind]
    if code == "NoSuchKey" and "uploadId" in request.first_line:
        code = "NoSuchUpload"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>so it is</Message></Error>'
    head = f"HTTP/1.1 {status} Error\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return Message(head.encode(), b"" if request.first_line.startswith("HEAD ") else body.encode())
