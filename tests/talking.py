"""HTTP by hand, so that what is on the wire is what the test says; and a server around a FakeTiers to say it to."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_tiers import NOW, FakeObserver, FakeTiers

from daemon.addresses import Addresses
from daemon.demand import Demand
from daemon.followers import Followers
from daemon.limits import Limits
from daemon.metrics import Metrics
from daemon.peers import Access
from daemon.route import Service
from daemon.server import Server
from daemon.trouble import Trouble
from tiering.bill import Bill
from tiering.curve import Point, Reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

PARTS = {"storage": 1.0, "disk": 2.0, "requests": 0.25, "egress": 0.5}
BILL = Bill("2026-11", 1793491200.0, PARTS, {name: 2 * money for name, money in PARTS.items()}, 30.0, 4.5)
READING = Reading(
    0.5,
    7,
    100,
    [
        Point(
            1000,
            is_today=True,
            hit_ratio=0.5,
            error=0.1,
            byte_hit_ratio=None,
            byte_error=None,
            store_dollars=None,
            disk_dollars=0.01,
        )
    ],
)
"""What the curve says here."""


async def until(condition: Callable[[], object]) -> None:
    """Let everybody go on until it holds, for some seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is the server's, and tells nobody
            await asyncio.sleep(0.001)


@dataclass
class Answer:
    """One answer, read to its end. `whole` says whether its framing was kept."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def json(self) -> Any:
        """The body as one document."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "hint"}
        return str(error["code"])

    @property
    def lines(self) -> list[Any]:
        """The body as one document a line."""
        return [json.loads(line) for line in self.body.splitlines() if line]


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, raw: bytes) -> None:
        """Send these bytes."""
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read status and headers."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = raw.decode().rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest)
        return int(first.split()[1]), headers

    async def answer(self, method: str = "GET") -> Answer:
        """Read one whole answer to a request of this method."""
        status, headers = await self.head()
        if method == "HEAD" or status in {204, 304}:
            return Answer(status, headers, b"")
        try:
            if "Content-Length" in headers:
                return Answer(status, headers, await self.reader.readexactly(int(headers["Content-Length"])))
            return Answer(status, headers, await self._chunks())
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            partial = error.partial if isinstance(error, asyncio.IncompleteReadError) else b""
            return Answer(status, headers, partial, whole=False)

    async def _chunks(self) -> bytes:
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body

    async def chunk(self) -> bytes:
        """Read one chunk of a chunked body."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        chunk = await self.reader.readexactly(size + 2)
        return chunk[:-2]

    async def is_closed(self) -> bool:
        """Wait for the server to close, and say whether nothing more came."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    def stop_reading(self) -> None:
        """Leave what comes to the kernel, until `read_again`."""
        self.transport.pause_reading()

    def read_again(self) -> None:
        """Take what comes."""
        self.transport.resume_reading()

    @property
    def transport(self) -> asyncio.ReadTransport:
        """The client's end."""
        transport: Any = self.writer.transport
        return transport

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


def request(
    method: str, target: str | bytes, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """One request as it stands on the wire."""
    raw = target if isinstance(target, bytes) else target.encode()
    fields = {"Host": "tierd", **(headers or {})}
    if body is not None:
        fields.setdefault("Content-Length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), raw, head.encode(), body or b"")


@dataclass
class Served:
    """A server that runs, and what it stands on."""

    tiers: FakeTiers
    path: Path
    server: Server
    observer: FakeObserver
    service: Service
    lines: list[Line] = field(default_factory=list)

    async def connect(self) -> Line:
        """Open a connection."""
        line = Line(*await asyncio.open_unix_connection(self.path, limit=1 << 20))
        self.lines.append(line)
        return line

    async def ask(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        *,
        raw_body: bytes | None = None,
    ) -> Answer:
        """Ask once, on a connection of its own."""
        line = await self.connect()
        if body is not None:
            raw_body = json.dumps(body).encode()
        with suppress(ConnectionError):
            await line.send(request(method, target, headers, raw_body))
        answer = await line.answer(method)
        line.close()
        return answer

    async def get(self, target: str | bytes, **headers: str) -> Answer:
        """GET, with headers as `If_Range="..."`."""
        return await self.ask("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})


@asynccontextmanager
async def serve(
    tmp_path: Path,
    *,
    limits: Limits | None = None,
    access: Access | None = None,
    tcp: bool = False,
    grace_seconds: float = 2.0,
) -> AsyncIterator[Served]:
    """Serve a FakeTiers on a socket below `tmp_path`."""
    root = tmp_path / "media"
    root.mkdir(exist_ok=True)
    tiers, observer = FakeTiers(root), FakeObserver()
    metrics = Metrics(version="1.2.3")
    metrics.watch(tiers.status)
    parts: Any = tiers
    service = Service(
        catalog=parts.catalog,
        leases=parts.leases,
        tiers=parts,
        orders=parts,
        presigner=parts,
        registry=parts,
        expiry=parts,
        inspector=parts,
        verifier=parts,
        stocktaking=parts,
        migration=parts.migration,
        drain=parts,
        examine=parts.examine,
        reconciler=parts,
        observer=observer,
        access=access or Access(own_uid=os.geteuid()),
        followers=Followers(),
        render_metrics=metrics.render,
        curve=lambda: READING,
        rates=metrics.rates,
        demand=Demand(clock=lambda: NOW),
        trouble=Trouble(),
        counts=metrics.counts,
        bill=lambda: BILL,
        clock=lambda: NOW,
        root=root,
        addresses=Addresses("s3://bucket/pre"),
        version="1.2.3",
        limits=limits or Limits(),
    )
    server = Server(service, grace_seconds=grace_seconds)
    path = tmp_path / "s"
    try:
        await server.open_unix(path, mode=0o600, group=None)
        if tcp:
            await server.open_tcp("127.0.0.1", 0)
        served = Served(tiers, path, server, observer, service)
        yield served
        for line in served.lines:
            line.close()
    finally:
        await server.stop()
