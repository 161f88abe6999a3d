"""Bytes that are not quite HTTP: streams of all kinds at the real daemon's socket, and a good client among them."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from door import a_door, read_reply, request
from effort import scaled, seeds
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from door import Door

PART = "S2 bytes that are not quite HTTP"

STREAMS = 500
WARM_UP = 300
GROWTH_BYTES = 20 * 1024**2
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)

INNER = request("GET", "/v1/content/inner")
"""What a smuggler would have answered: it may never be, where the bytes before it have no clear end."""

GET = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/promote HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 7\r\n\r\n{}",
    "two lengths in one": POST + b"Content-Length: 2, 7\r\n\r\n{}",
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with a blank": POST + b"Content-Length: 2 2\r\n\r\n{}",
    "a length in Arabic digits": POST + "Content-Length: \u0662\r\n\r\n{}".encode(),
    "a length without end": POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n{}",
    "an empty length": POST + b"Content-Length: \r\n\r\n{}",
    "a blank before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "chunks before identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a vertical tab in the encoding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a line that goes on": POST + b"X: a\r\n Content-Length: 2\r\n\r\n{}",
    "a bare line feed in a header": GET + b"X: a\nContent-Length: 20\r\n\r\n",
    "a bare return in a header": GET + b"X: a\rContent-Length: 20\r\n\r\n",
    "a NUL in a header": GET + b"X: a\0b\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a header without a colon": GET + b"Content-Length\r\n\r\n",
    "a blank in a name": GET + b"Content Length: 2\r\n\r\n",
    "a chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk size without end": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such version": b"GET /v1/health HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "a NUL in the target": b"GET /v1/\0health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank in the target": b"GET /v1/health x HTTP/1.1\r\nHost: x\r\n\r\n",
}
"""No reader can be sure where these end. All but their first answer is somebody's who guessed."""

VALID = (
    GET + b"\r\n",
    INNER,
    request("HEAD", "/v1/content/inner"),
    request("GET", "/v1/assets?limit=2"),
    request("GET", "/v1/content/inner", headers={"Range": "bytes=1-2", "If-Range": '"x"'}),
    request("POST", "/v1/pin", body={"paths": ["inner"]}),
    request("PATCH", "/v1/assets/inner", body={"tags": {"a": None}}),
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/v1/health HTTP/1.0\r\n\r\n",
    GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    GET + b"Connection: close\r\n\r\n",
)
OVERSIZE = (
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    GET + b"X: " + b"a" * 10_000 + b"\r\n\r\n",
    GET + b"X: a\r\n" * 100 + b"\r\n",
    b"A" * 9_000,
    POST + b"Content-Length: 1048577\r\n\r\n",
    POST + b"Content-Length: 900000\r\n\r\n" + b"[" * 100_000,
    request("POST", "/v1/promote", body=b"[" * 100_000),
    request("POST", "/v1/promote", body=b'{"paths": ["\\ud800"]}'),
    request("POST", "/v1/drain", body=b'{"timeout": ' + b"9" * 5000 + b"}"),
    request("PUT", "/v1/assets/inner", body=b'{"fields": {"\\udcff": "\\u0000"}}'),
)
WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"HTTP/1.1",
    b"chunked",
    b"Content-Length: ",
    b"0\r\n\r\n",
    b"%00",
    b"\xff",
)

requests = st.sampled_from((*VALID, *OVERSIZE, *SMUGGLED.values()))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a request with a few bytes changed, left out or put in."""
    raw = bytearray(draw(requests))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        raw[at : at + draw(st.integers(0, 4))] = draw(st.sampled_from(WORDS) | st.binary(max_size=6))
    return bytes(raw)


streams = st.lists(mutated() | st.binary(max_size=200), min_size=1, max_size=5).map(b"".join)
endings = st.sampled_from(("half-close", "half-close", "hang up", "hang up unread"))


@dataclass
class Guard:
    """A daemon, and how large it was when it was warm."""

    door: Door
    warm: list[int] = field(default_factory=list)

    def check(self) -> None:
        """A good client is served, on an old connection's successor too."""
        assert self.door.ask("GET", "/v1/content/inner").body == b"inner"


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    """A daemon with one asset; nothing that it meets is unexpected to it."""
    with a_door(LOG__LEVEL="info", TIERING__INTERVAL="1d") as door:
        door.drop(inner=b"inner")
        door.wait_replicated(1)
        yield Guard(door)
        assert "unexpectedly" not in door.said
        assert "Traceback" not in door.said


def talk(door: Door, stream: bytes, ending: str) -> bytes:
    """Send a stream, end as is said, and return what was answered."""
    answer = bytearray()
    with door.connect() as line, suppress(BrokenPipeError, ConnectionResetError):
        line.sendall(stream)
        if ending == "hang up unread":
            return b""
        line.shutdown(socket.SHUT_WR if ending == "half-close" else socket.SHUT_RDWR)
        while piece := line.recv(1 << 16):
            answer += piece
    return bytes(answer)


@pytest.mark.parametrize("number", seeds(PART, scaled(test=2, quick=40, long=4000)))
def test_nothing_that_is_sent_does_harm(guard: Guard, number: int, record_property: pytest.RecordProperty) -> None:
    """Streams of nearly HTTP, one after the other: answered as the contract has it or cut, and the good are served."""
    sent = 0

    @seed(number)
    @settings(
        max_examples=STREAMS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=streams, ending=endings)
    def throw(stream: bytes, ending: str) -> None:
        nonlocal sent
        sent += 1
        found = {int(status) for status in STATUS.findall(talk(guard.door, stream, ending))}
        assert 500 not in found
        if sent % 20 == 0:
            guard.check()
        if sent == WARM_UP and not guard.warm:
            guard.warm.append(guard.door.resident())

    throw()
    guard.check()
    assert guard.door.resident() - guard.warm[0] < GROWTH_BYTES
    record_property("streams", sent)


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled(guard: Guard, name: str) -> None:
    """A request whose end is in doubt is answered once at most, with an error, and nothing behind it is ever read."""
    answer = talk(guard.door, SMUGGLED[name] + INNER, "half-close")
    found = [int(status) for status in STATUS.findall(answer)]
    assert len(found) <= 1
    assert all(400 <= status < 500 for status in found), found
    assert b"inner" not in answer.partition(b"\r\n\r\n")[2]
    guard.check()


def test_requests_in_a_row_are_answered_in_their_order(guard: Guard) -> None:
    """Pipelining: a hundred at once, each answered, none mixed up."""
    with guard.door.connect() as line:
        line.sendall(INNER * 50 + request("GET", "/v1/content/none") + INNER * 49)
        for number in range(100):
            assert read_reply(line).status == (404 if number == 50 else 200)
