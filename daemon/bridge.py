"""The page on a loopback port, brought there from the daemon's socket by `tierd ui`, for who has the address alone."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final

from daemon import page
from daemon.client import TierdError

if TYPE_CHECKING:
    from daemon.client import Client

LOOPBACK: Final = "127.0.0.1"
AT_ONCE: Final = 16
"""Connections that are served at a time; a browser keeps some open that it does not use."""
PATIENCE_SECONDS: Final = 10.0


class Door:
    """Whom the page is shown: a token that is good once, and brings the key that every look needs."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self._key = secrets.token_urlsafe(32)
        self._used = False
        self._lock = threading.Lock()

    def enter(self, given: str) -> str | None:
        """Return the key for the token; None for any other word, and for a token that was used."""
        with self._lock:
            if self._used or not _same(given, self.token):
                return None
            self._used = True
        return self._key

    def knows(self, given: str) -> bool:
        """Whether this is the key."""
        return _same(given, self._key)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


class Bridge(ThreadingMixIn, HTTPServer):
    """Listens on the loopback address, and asks the daemon for whoever has the key."""

    daemon_threads = True

    def __init__(self, client: Client, port: int) -> None:
        self.client = client
        self.door = Door()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__((LOOPBACK, port), Answering)

    @property
    def url(self) -> str:
        """The address that works once: what follows the # is not sent by browsers, and stands in nobody's log."""
        return f"http://{LOOPBACK}:{self.server_port}/#token={self.door.token}"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
        """Serve it in a thread, unless all are at work."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
        """Serve it, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
        """Say nothing of a browser that has gone; what is a fault of ours is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Answering(BaseHTTPRequestHandler):
    """Answers the page to anybody, and what stands on it only for the key."""

    server: Bridge
    timeout = PATIENCE_SECONDS
    server_version = "tierd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer the page, or how things stand."""
        if not page.is_loopback(self.headers.get("Host")):
            self._refuse(HTTPStatus.FORBIDDEN, f"ask for it as {LOOPBACK}")
        elif self.path == "/":
            self._send(HTTPStatus.OK, page.document(), page.HTML)
        elif self.path != "/v1/glance":
            self._refuse(HTTPStatus.NOT_FOUND, "there is only the page")
        elif not self.server.door.knows(self._bearer()):
            self._refuse(HTTPStatus.FORBIDDEN, "run tierd ui again")
        else:
            self._glance()

    def do_POST(self) -> None:
        """Answer the key for the token."""
        is_asked = page.is_loopback(self.headers.get("Host")) and self.path == "/v1/session"
        key = self.server.door.enter(self._bearer()) if is_asked else None
        if key is None:
            self._refuse(HTTPStatus.FORBIDDEN, "run tierd ui again")
        else:
            self._send_json(HTTPStatus.OK, {"key": key})

    def _glance(self) -> None:
        try:
            glance = self.server.client.glance()
        except TierdError as error:
            self._refuse(HTTPStatus.BAD_GATEWAY, error.message)
        else:
            self._send_json(HTTPStatus.OK, glance)

    def _bearer(self) -> str:
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        return word if scheme == "Bearer" else ""

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._send_json(
            status, {"error": {"code": status.phrase.lower().replace(" ", "-"), "message": message, "hint": ""}}
        )

    def _send_json(self, status: HTTPStatus, said: object) -> None:
        self._send(status, json.dumps(said).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, media: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media, "Content-Length": str(len(body)), **page.headers()}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: what goes wrong stands on the page."""
