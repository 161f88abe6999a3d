"""A service manager that only listens."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Listening:
    """What was told at `address`, a datagram at a time, each a list of lines."""

    def __init__(self, address: str, ear: socket.socket) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self._ear = ear

    def hear(self, *, seconds: float = 0) -> list[list[str]]:
        """Return what was told since the last time; where that is nothing, wait for the next word."""
        self._ear.settimeout(seconds)
        told = []
        try:
            while True:
                told.append(self._ear.recv(4096).decode().split("\n"))
                self._ear.settimeout(0)
        except (BlockingIOError, TimeoutError):
            return told


@contextmanager
def listening(address: str) -> Iterator[Listening]:
    """Listen at a path, or at a name that begins with `@`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield Listening(address, ear)
