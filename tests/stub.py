"""A stub of the daemon: HTTP over a unix socket in a thread, answers given beforehand, requests written down."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer
from typing import TYPE_CHECKING, Any

from served import Served

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What the client sent; `body` is parsed JSON or None."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What the daemon says: `body` bytes as they are, anything else as JSON. `cut` breaks off that many bytes early."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


def lines(*documents: object) -> Answer:
    """Answer JSON lines."""
    return Answer(b"".join(json.dumps(document).encode() + b"\n" for document in documents))


def error(status: int, code: str, message: str = "it says why", hint: str = "do this") -> Answer:
    """Answer an error as the contract words it."""
    return Answer({"error": {"code": code, "message": message, "hint": hint}}, status)


def asset(path: str, state: str = "replicated", **others: Any) -> dict[str, Any]:
    """Return an asset as the daemon shows it."""
    plain: dict[str, Any] = {
        "id": "1",
        "path": path,
        "href": path,
        "key": f"prefix/{path}",
        "url": f"s3://bucket/prefix/{path}",
        "state": state,
        "size": 5,
        "pinned": False,
        "last_access": 0.0,
        "failure": None,
    }
    return plain | others


class Stub(Served, UnixStreamServer):
    """The server. `answers` maps "METHOD /target" (with or without the query) to an answer or a function."""

    def __init__(self, socket_path: Path) -> None:
        super().__init__(str(socket_path), _Handler)
        self.socket_path = socket_path
        self.answers: dict[str, Any] = {"GET /v1/health": Answer({"status": "ok", "root": "/media"})}
        self.requests: list[Request] = []

    def asked(self) -> list[str]:
        """Return the requests so far, each as "METHOD target"."""
        return [f"{request.method} {request.target}" for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: Stub

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.requests.append(request)
        line = f"{self.command} {self.path}"
        script = self.server.answers.get(line) or self.server.answers.get(line.partition("?")[0])
        answer = script(request) if callable(script) else script or error(404, "unknown-asset")
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        with suppress(BrokenPipeError):  # the client had enough
            self._send(answer, content)

    def _send(self, answer: Answer, content: bytes) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - answer.cut])

    def __getattr__(self, name: str) -> Any:
        """Answer every method alike."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)
