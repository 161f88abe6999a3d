"""One request to the daemon and its answer: HTTP over the unix socket, standard library only."""

from __future__ import annotations

import http
import http.client
import json
import socket
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_to_bytes, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PIECE: Final = 1024 * 1024
"""How much of a body is read at once."""
_NONE: Final = MappingProxyType[str, str]({})


class TierdError(Exception):
    """The daemon answered that it could not. `code` is one word, `hint` what to do, `status` the HTTP status."""

    def __init__(self, code: str, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status


class UnreachableError(TierdError):
    """No daemon answers on the socket, or it stopped answering."""

    def __init__(self, message: str, hint: str = "is it running? start it with: tierd serve") -> None:
        super().__init__("unreachable", message, hint)


class Wire:
    """The way to one socket. Every request has its own connection, so threads may share it."""

    def __init__(self, socket_path: Path, timeout: float) -> None:
        self._socket_path = socket_path
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Wire({str(self._socket_path)!r})"

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        timeout: float | None = None,
        errors_from: int = http.HTTPStatus.BAD_REQUEST,
    ) -> dict[str, Any]:
        """Return the JSON object that the daemon answers; an empty one where it answers nothing."""
        with self.answer(method, target, body, timeout=timeout, errors_from=errors_from) as response:
            text = _read(response)
        found = _parse(text) if text else {}
        if not isinstance(found, dict) or found.get("error"):
            raise _error(response.status, found)
        return found

    def lines(self, method: str, target: str, body: object = None) -> Iterator[dict[str, Any]]:
        """Yield the JSON lines of a long answer. Raise TierdError where one of them is an error."""
        with self.answer(method, target, body) as response:
            while line := _read_line(response):
                if not line.strip():
                    continue  # a heart beat
                if not line.endswith(b"\n"):
                    raise UnreachableError("the daemon broke off in the middle of an answer")
                found = json.loads(line)
                if found.get("error"):
                    raise _error(response.status, found)
                yield found

    @contextmanager
    def answer(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Mapping[str, str] = _NONE,
        timeout: float | None = None,
        errors_from: int = http.HTTPStatus.BAD_REQUEST,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give its answer, body unread. Raise TierdError for any status from `errors_from` on."""
        connection = _UnixConnection(self._socket_path, timeout or self._timeout)
        try:
            response = _send(connection, method, target, body, headers)
            if response.status >= errors_from:
                raise _error(response.status, _parse(_read(response)))
            yield response
        finally:
            connection.close()


def chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield a body. Raise UnreachableError where it breaks off before its end."""
    while piece := _read(response, PIECE):
        yield piece
    if response.length:
        raise UnreachableError(f"the daemon broke off {response.length} bytes before the end", "try again")


def encode(path: str) -> str:
    """Return the exact bytes of the path as a URL says them."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/~")


def decode(href: str) -> str:
    """Return the path that `encode` made a URL's part of."""
    return unquote_to_bytes(href).decode("utf-8", "surrogateescape")


def target(*parts: str, **query: object) -> str:
    """Return a request target below /v1; the query leaves out what is None and repeats what is a list."""
    given = {name: value for name, value in query.items() if value is not None}
    asked = urlencode(given, doseq=True, errors="surrogateescape")
    return "/v1/" + "/".join(parts) + (f"?{asked}" if asked else "")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: Path, timeout: float) -> None:
        super().__init__("tierd", timeout=timeout)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._socket_path))
        except PermissionError:
            hint = "ask for the right to open the socket ([api] group and mode)"
            raise TierdError("not-permitted", f"may not open {self._socket_path}", hint, 403) from None
        except OSError as error:
            raise UnreachableError(f"no daemon answers on {self._socket_path}: {error.strerror or error}") from None


def _send(
    connection: _UnixConnection, method: str, target: str, body: object, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    content = None if body is None else json.dumps(body).encode("ascii")
    kind = {} if content is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, target, content, {**headers, **kind})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _read(response: http.client.HTTPResponse, size: int | None = None) -> bytes:
    try:
        return response.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _read_line(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.readline()
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> UnreachableError:
    if isinstance(error, TimeoutError):
        return UnreachableError("the daemon did not answer in time", "see its journal, or wait longer")
    return UnreachableError(f"the daemon broke off: {error!r}", "see its journal, and try again")


def _parse(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _error(status: int, body: object) -> TierdError:
    found = body.get("error") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return TierdError(
            "unexpected", f"the daemon answered with status {status} and no reason", "is it a tierd socket?", status
        )
    return TierdError(str(found.get("code", "")), str(found.get("message", "")), str(found.get("hint") or ""), status)
