"""A store that repeats in its errors all that it was told, as real ones do; behind it a real server."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from served import Served

if TYPE_CHECKING:
    from collections.abc import Sequence

HOP = {"connection", "transfer-encoding", "content-length", "expect", "date", "server"}
"""Headers that are between two neighbours only."""


@dataclass(frozen=True)
class Fault:
    """An error as S3 words it."""

    status: int
    code: str


class Echo(Served, HTTPServer):
    """Passes everything on to `endpoint`; while `fault` is set, answers that, with all headers and `secrets` in it."""

    def __init__(self, endpoint: str, secrets: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(endpoint).netloc
        self.secrets = secrets
        self.fault: Fault | None = None
        self.faults = 0
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Say nothing where a client has gone."""

    def shout(self, fault: Fault, headers: Any) -> bytes:
        """Return an error document that says everything."""
        self.faults += 1
        said = escape(f"{headers} {' '.join(self.secrets)}")
        return (
            "<?xml version='1.0' encoding='UTF-8'?>\n"
            f"<Error><Code>{fault.code}</Code><Message>refused: {said}</Message>"
            f"<AWSAccessKeyId>{said}</AWSAccessKeyId><StringToSign>{said}</StringToSign><Token-0>{said}</Token-0>"
            f"<RequestId>1</RequestId></Error>"
        ).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Echo

    def _answer(self) -> None:
        body = self._body()
        fault = self.server.fault
        if fault is not None:
            self._send(fault.status, {"Content-Type": "application/xml"}, self.server.shout(fault, self.headers))
            return
        behind = http.client.HTTPConnection(self.server.behind, timeout=30)
        try:
            passed = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            behind.request(self.command, self.path, body, passed)
            answer = behind.getresponse()
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._send(answer.status, dict(answer.getheaders()), answer.read(), length=length)
        finally:
            behind.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - the names are http.server's

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
