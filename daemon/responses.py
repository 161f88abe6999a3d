"""Answers in JSON, whole or line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from daemon import request_id
from daemon.route import JSON, JSON_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp.web import BaseRequest, StreamResponse

    from daemon.problem import ApiError

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def _ours() -> Mapping[str, str]:
    """Return the headers of every answer."""
    return {"Server": "tierd", request_id.HEADER: request_id.CURRENT.get()}


def json_response(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a document as an answer."""
    return bytes_response(_encode(document).encode(), media=JSON, status=status, headers=headers)


def bytes_response(
    body: bytes, *, media: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return these bytes as an answer."""
    return web.Response(body=body, status=status, headers={"Content-Type": media, **_ours(), **(headers or {})})


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=status, headers={**_ours(), **(headers or {})})


def stream_response(status: int, headers: Mapping[str, str]) -> StreamResponse:
    """Return an answer whose body follows piece by piece."""
    return web.StreamResponse(status=status, headers={**_ours(), **headers})


def error_response(error: ApiError) -> web.Response:
    """Return an error as an answer."""
    return json_response(error.body, status=error.status, headers=error.headers)


class Lines:
    """An answer of one JSON document a line."""

    def __init__(self, response: StreamResponse) -> None:
        self.response = response

    @classmethod
    async def begin(cls, request: BaseRequest) -> Self:
        """Send the head."""
        response = stream_response(200, {"Content-Type": JSON_LINES})
        await response.prepare(request)
        return cls(response)

    async def write(self, documents: Iterable[dict[str, Any]]) -> None:
        """Send a line for each, all at once."""
        await self.response.write("".join(f"{_encode(document)}\n" for document in documents).encode())

    async def beat(self) -> None:
        """Send an empty line: nothing happened, and the connection lives."""
        await self.response.write(b"\n")
