"""Clients that ask for the same thing again and again over one connection each, as fast as they are answered."""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Address = str | tuple[str, int]
"""The path of a unix socket, or a host and a port."""

PIECE: Final = 1 << 20
HEAD_MOST: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Pace:
    """The answers to all clients together, how many there were a second, and how long one took, in seconds."""

    count: int
    per_second: float
    p50: float
    p99: float


def pace(address: Address, targets: Sequence[str], *, seconds: float) -> Pace:
    """Have one client a target ask for it, for so many seconds. Raise RuntimeError where an answer is not a 200."""
    with ProcessPoolExecutor(len(targets), mp_context=multiprocessing.get_context("fork")) as pool:
        clients = [*pool.map(partial(_ask, address, seconds), targets)]
    all_took = [each for took in clients for each in took]
    centiles = statistics.quantiles(all_took, n=100)
    # By what each of them waited, not by what was asked for: the last answer of a large file ends late.
    return Pace(len(all_took), sum(len(took) / sum(took) for took in clients), centiles[49], centiles[98])


def first_and_last(address: Address, target: str) -> tuple[float, float]:
    """Ask once; return the seconds to the first byte of the body, and to the last."""
    with _connected(address) as connection:
        began = time.perf_counter()
        connection.sendall(_request(target))
        body, size = _head(connection)
        if size and not body:
            body = connection.recv(PIECE)
        first = time.perf_counter() - began
        _rest(connection, size - len(body), bytearray(PIECE))
        return first, time.perf_counter() - began


def _ask(address: Address, seconds: float, target: str) -> list[float]:
    request = _request(target)
    took, into = [], bytearray(PIECE)
    with _connected(address) as connection:
        over = time.perf_counter() + seconds
        began = time.perf_counter()
        while began < over:
            connection.sendall(request)
            body, size = _head(connection)
            _rest(connection, size - len(body), into)
            ended = time.perf_counter()
            took.append(ended - began)
            began = ended
    return took


def _connected(address: Address) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    connection.settimeout(60)
    connection.connect(address)
    return connection


def _request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _head(connection: socket.socket) -> tuple[bytes, int]:
    """Read the head of an answer; return what came with it of the body, and how long that is in all."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(HEAD_MOST)
        if not piece:
            raise RuntimeError("the server closed the connection")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode(errors="replace"))
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    return body, next(int(value) for name, _, value in lines if name.lower() == b"content-length")


def _rest(connection: socket.socket, left: int, into: bytearray) -> None:
    """Read so many bytes more, and drop them: what they are put into is the same for all."""
    while left > 0:
        size = connection.recv_into(into, min(left, PIECE))
        if not size:
            raise RuntimeError("the server broke off")
        left -= size
