"""A proxy before a store that hangs when it is told to: what it takes from then on, nobody ever answers."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 65536


class Line:
    """One connection; `left` is how much of an answer still comes through."""

    def __init__(self, client: socket.socket, store: socket.socket) -> None:
        self.client = client
        self.store = store
        self.left: int | None = None

    def cut(self) -> None:
        """End it, for whoever reads or writes."""
        for end in (self.client, self.store):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self.client.close()
        self.store.close()


class Curtain:
    """Hands on what it is given until it meets a request that is to hang; its connection then stays, and is silent."""

    def __init__(self, endpoint: str) -> None:
        place = urlsplit(endpoint)
        self._store = (place.hostname or "", place.port or 0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._request: re.Pattern[bytes] | None = None
        self._after: int | None = None
        self._over = threading.Event()
        self._lines: list[Line] = []
        self._threads: list[threading.Thread] = []
        self.hanging = threading.Event()
        """Set once something hangs."""
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def hang(self, request: bytes, *, after: int | None = None) -> None:
        """Have requests hang whose head matches; with `after`, their answers do, after so many bytes."""
        self.hanging.clear()
        self._after = after
        self._request = re.compile(request)

    def lift(self) -> None:
        """Hand everything on again, on new connections."""
        self._request = None

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        for line in self._lines:
            line.cut()
        for thread in self._threads:
            thread.join()
        for line in self._lines:
            line.close()
        self._server.close()

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            line = Line(client, socket.create_connection(self._store))
            self._lines.append(line)
            self._begin(lambda line=line: self._carry(line, self._ask))
            self._begin(lambda line=line: self._carry(line, self._answer))

    def _carry(self, line: Line, how: Callable[[Line], None]) -> None:
        with suppress(OSError):
            how(line)
        line.cut()

    def _ask(self, line: Line) -> None:
        # A client sends the head of a request at once, and the next one only when it was answered.
        while chunk := line.client.recv(CHUNK):
            if self._request is not None and self._request.match(chunk):
                line.left = self._after
                if line.left is None:
                    self._hang()
            line.store.sendall(chunk)

    def _answer(self, line: Line) -> None:
        while chunk := line.store.recv(CHUNK):
            if line.left is not None:
                line.left -= len(chunk)
                if line.left < 0:
                    self._hang()
            line.client.sendall(chunk)

    def _hang(self) -> None:
        self.hanging.set()
        self._over.wait()
