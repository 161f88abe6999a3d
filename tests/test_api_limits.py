"""What a bad client can do to others: nothing. After each trick a good one is served."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from talking import request, serve, until

from daemon.connection import Crowd
from daemon.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from talking import Line, Served

FEW = Limits(connections=8, linger_seconds=0.2)
HASTY = replace(FEW, head_seconds=0.4, body_seconds=0.4, stall_seconds=0.4)
HUGE = b"x" * (16 * 1024 * 1024)


@asynccontextmanager
async def guarded(tmp_path: Path, limits: Limits) -> AsyncIterator[Served]:
    """A server that serves a good client to the last."""
    async with serve(tmp_path, limits=limits) as found:
        found.tiers.add_hot("small", b"small")
        found.tiers.add_hot("huge", HUGE)
        found.tiers.add_cold("cold", HUGE)
        yield found
        assert (await found.get("/v1/content/small")).body == b"small"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of few connections."""
    async with guarded(tmp_path, FEW) as found:
        yield found


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of little patience."""
    async with guarded(tmp_path, HASTY) as found:
        yield found


async def is_cut(line: Line) -> bool:
    """Whether the server hangs up within some seconds."""
    async with asyncio.timeout(5):
        return await line.is_closed()


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_must_arrive_in_time(hasty: Served, begun: bytes) -> None:
    """A connection on which no whole head arrives is closed, however much of it came."""
    line = await hasty.connect()
    await line.send(begun)
    assert await is_cut(line)


async def test_a_dripping_head_gains_no_time(hasty: Served) -> None:
    """A byte now and then does not prolong the deadline, on a new connection and on a used one."""
    for used in (False, True):
        line = await hasty.connect()
        if used:
            await line.send(request("GET", "/v1/health"))
            await line.answer()
        await line.send(b"GET /")
        began = time.monotonic()
        closing = asyncio.ensure_future(line.is_closed())
        with suppress(ConnectionError):
            for _ in range(1000):
                await line.send(b"a")
                if (await asyncio.wait([closing], timeout=0.01))[0]:
                    break
        assert await closing
        assert time.monotonic() - began < 2


async def test_a_body_must_arrive_in_time(hasty: Served) -> None:
    """408 for a body that is late, and the connection ends: what may still come is nobody's."""
    line = await hasty.connect()
    await line.send(request("POST", "/v1/promote", {"Content-Length": "100"}) + b"{")
    answer = await line.answer()
    assert (answer.status, answer.code) == (408, "too-slow")
    assert await is_cut(line)
    assert hasty.tiers.calls == []


async def test_a_body_has_a_size(served: Served) -> None:
    """Announced or not: more than 1 MiB is 413, and what is just that is read."""
    most = FEW.body
    answer = await served.ask("POST", "/v1/promote", {"Content-Length": str(most + 1)})
    assert (answer.status, answer.code) == (413, "too-large")
    line = await served.connect()
    await line.send(request("POST", "/v1/promote", {"Transfer-Encoding": "chunked"}))
    with suppress(ConnectionError):
        for _ in range(20):
            await line.send(b"%x\r\n%b\r\n" % (most // 16, b" " * (most // 16)))
    assert (await line.answer()).status == 413
    body = b'{"filter": {}}'.ljust(most)
    assert (await served.ask("POST", "/v1/promote", raw_body=body)).status == 200


async def test_a_client_may_ask_before_it_sends(served: Served) -> None:
    """Expect: 100-continue is answered with a go-ahead, or at once with what would be the answer anyway."""
    line = await served.connect()
    expect = {"Expect": "100-continue", "Content-Length": "14"}
    await line.send(request("POST", "/v1/promote", expect))
    assert (await line.head())[0] == 100
    await line.send(b'{"filter": {}}')
    assert (await line.answer()).status == 200
    answer = await served.ask("POST", "/v1/promote", {**expect, "Content-Length": "9999999"})
    assert answer.status == 413


async def test_a_compressed_body_is_refused(served: Served) -> None:
    """No bomb is ever unpacked."""
    answer = await served.ask("POST", "/v1/promote", {"Content-Encoding": "gzip"}, raw_body=b"\x1f\x8b")
    assert (answer.status, answer.code) == (415, "bad-encoding")


async def test_a_head_has_a_size(served: Served) -> None:
    """A target or a header beyond all reason is 431 in the shape of every error; the longest path is none."""
    long = "%41" * 4096
    assert (await served.get(f"/v1/assets/{long}")).status == 404
    for raw in (
        request("GET", "/v1/assets/" + "a" * 17_000),
        request("GET", "/v1/health", {"X": "a" * 9_000}),
    ):
        line = await served.connect()
        await line.send(raw)
        answer = await line.answer()
        assert (answer.status, answer.code) == (431, "header-too-large")
        assert await is_cut(line)


async def test_headers_have_a_number(served: Served) -> None:
    """Hundreds of headers are refused."""
    line = await served.connect()
    await line.send(request("GET", "/v1/health", {f"X-{n}": "a" for n in range(200)}))
    assert (await line.answer()).status in {400, 431}
    assert await is_cut(line)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"hello\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/promote HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_told_so(served: Served, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """400 in the shape of every error, the connection ends, and the log stays silent: anybody can send this."""
    line = await served.connect()
    await line.send(raw)
    answer = await line.answer()
    assert (answer.status, answer.code) == (400, "bad-request")
    assert await is_cut(line)
    assert not caplog.records


@pytest.mark.parametrize("name", ["huge", "cold"])
async def test_a_reader_that_does_not_read_is_cut(hasty: Served, name: str) -> None:
    """Whether the kernel sends or we do: who takes nothing for the stall time loses the connection."""
    line = await hasty.connect()
    line.stop_reading()
    await line.send(request("GET", f"/v1/content/{name}"))
    await until(lambda: hasty.observer.seen)
    ((result, size),) = hasty.observer.seen
    assert result == ("hit" if name == "huge" else "miss")
    assert size < len(HUGE)
    line.read_again()
    assert (await line.answer()).whole is False


async def test_a_stalled_reader_of_small_answers_is_cut(hasty: Served) -> None:
    """Many small answers that nobody reads pile up no further than the socket, and then the connection ends."""
    line = await hasty.connect()
    line.stop_reading()
    with pytest.raises(ConnectionError):  # noqa: PT012 - which of the requests it is does not matter
        for _ in range(100_000):
            await line.send(request("GET", "/v1/openapi.json") * 10)
    line.read_again()
    assert await is_cut_or_over(line)


async def test_an_answer_that_is_not_fetched_is_dropped(hasty: Served) -> None:
    """Few bytes left unread, and no more requests: closing does not wait for them for ever."""
    hasty.tiers.add_hot("some", b"x" * 50_000)
    _, listener, *_ = hasty.server._listeners[0]
    line = await hasty.connect()
    await until(lambda: listener.connections)
    (connection,) = listener.connections
    line.stop_reading()
    sent = 0
    while not connection._wire.get_write_buffer_size():
        await line.send(request("GET", "/v1/content/some"))
        sent += 1
        await until(lambda: len(hasty.observer.seen) == sent)  # noqa: B023 - it is called here and now
        await asyncio.sleep(0.01)  # Until the answer is with the kernel, or not.
    assert connection._wire.get_write_buffer_size() < 60_000
    await until(lambda: not listener.connections)


async def is_cut_or_over(line: Line) -> bool:
    """Whether reading comes to an end."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while await line.reader.read(1 << 20):
            pass
    return True


async def test_a_slow_reader_that_reads_is_served(tmp_path: Path) -> None:
    """Slowness is no crime: as long as something is taken within the stall time, all of it arrives."""
    limits = replace(FEW, stall_seconds=1.0)
    async with serve(tmp_path, limits=limits) as served:
        served.tiers.add_cold("cold", HUGE[: 4 << 20])
        line = await served.connect()
        await line.send(request("GET", "/v1/content/cold"))
        await line.head()
        taken = 0
        began = time.monotonic()
        while taken < 4 << 20:
            taken += len(await line.reader.read(1 << 16))
            await asyncio.sleep(0.02)  # The slowness that the test is about.
        assert time.monotonic() - began > limits.stall_seconds


async def test_the_idle_give_way(served: Served) -> None:
    """At the cap the connection that has idled longest is closed, and the newcomer is served."""
    idle = [await served.connect() for _ in range(FEW.connections)]
    for line in idle:
        await line.send(request("GET", "/v1/health"))
        await line.answer()
    assert (await served.get("/v1/health")).status == 200
    assert await is_cut(idle[0])
    await idle[1].send(request("GET", "/v1/health"))
    assert (await idle[1].answer()).status == 200


async def test_the_busy_do_not(served: Served) -> None:
    """Where every connection is at work one more is told to come again, and no work is lost."""
    served.tiers.gate = asyncio.Event()
    served.tiers.add_hot("a", b"x")
    busy = [await served.connect() for _ in range(FEW.connections)]
    for line in busy:
        await line.send(request("GET", "/v1/assets/a"))
    await until(lambda: len(served.tiers.calls) == FEW.connections)
    line = await served.connect()
    answer = await line.answer()
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")
    assert await is_cut(line)
    served.tiers.gate.set()
    for line in busy:
        assert (await line.answer()).status == 200


async def test_a_flood_of_silent_connections_starves_nobody(served: Served) -> None:
    """Hundreds who connect and say nothing: a good client is served in the midst of them."""
    silent = [await served.connect() for _ in range(200)]
    for _ in range(20):
        assert (await served.get("/v1/content/small")).body == b"small"
    assert await is_cut(silent[0])


class Member:
    """Connections as a crowd sees them: whose they are, and whether they were closed."""

    def __init__(self, uid: int | None) -> None:
        self.uid = uid
        self.closed = False

    def force_close(self) -> None:
        """Give way."""
        self.closed = True


def test_one_user_cannot_shut_out_the_others() -> None:
    """Who has used up his share makes his own give way, and is refused where they are all at work; others come in."""
    crowd: Any = Crowd(limit=8, share=6)
    greedy = [Member(1) for _ in range(6)]
    assert all(crowd.admit(each) for each in greedy)
    greedy.append(Member(1))
    assert crowd.admit(greedy[-1])
    assert [each.closed for each in greedy] == [True, *[False] * 6]
    for each in greedy[1:]:
        crowd.began(each)
    assert not crowd.admit(Member(1))
    assert all(crowd.admit(Member(uid)) for uid in (2, 3))
    crowd.leave(greedy[1])
    assert crowd.admit(Member(1))


def test_a_flood_takes_its_own_place() -> None:
    """Where all connections are taken, it is one of the user with most idle ones that gives way, not the oldest."""
    crowd: Any = Crowd(limit=8, share=6)
    patient, *flood = (Member(1), *(Member(2) for _ in range(6)), Member(3))
    assert all(crowd.admit(each) for each in (patient, *flood))
    assert crowd.admit(Member(4))
    assert not patient.closed
    assert flood[0].closed


async def test_a_stop_takes_no_longer_than_its_grace(tmp_path: Path) -> None:
    """Answers that hang, readers that stall, followers: the server is down when its time is over, its socket gone."""
    async with serve(tmp_path, grace_seconds=0.4) as served:
        served.tiers.add_hot("huge", HUGE)
        served.tiers.add_hot("a", b"x")
        stalled, waiting, follower, idle = [await served.connect() for _ in range(4)]
        await stalled.send(request("GET", "/v1/content/huge"))
        await follower.send(request("GET", "/v1/events"))
        await follower.head()
        served.tiers.gate = asyncio.Event()
        await waiting.send(request("GET", "/v1/assets/a"))
        await until(lambda: "find" in served.tiers.calls)
        began = time.monotonic()
        await served.server.stop()
        assert time.monotonic() - began < 2
        assert not served.path.exists()
        for line in (waiting, idle):
            assert await is_cut_or_over(line)
        with pytest.raises(OSError, match=r"No such file|refused"):
            await served.connect()


async def test_an_answer_under_way_is_finished_by_a_stop(tmp_path: Path) -> None:
    """Within the grace time nobody loses an answer that was begun."""
    async with serve(tmp_path, grace_seconds=5) as served:
        served.tiers.add_hot("a", b"x")
        served.tiers.gate = asyncio.Event()
        line = await served.connect()
        await line.send(request("GET", "/v1/assets/a"))
        await until(lambda: served.tiers.calls)
        async with asyncio.TaskGroup() as group:
            group.create_task(served.server.stop())
            await until(lambda: not served.path.exists())
            served.tiers.gate.set()
            assert (await line.answer()).status == 200
