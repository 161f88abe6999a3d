"""The API: one table of routes, and the way of every request through it.

A request is matched by the exact bytes of its target, its peer's right is checked before its body is read, and whatever
goes wrong is answered in one shape.
"""

from __future__ import annotations

import functools
import json
import logging
from typing import TYPE_CHECKING, Final

from daemon import (
    api_assets,
    api_chores,
    api_content,
    api_events,
    api_open,
    api_presign,
    api_state,
    api_tiers,
    request_id,
)
from daemon.openapi import document
from daemon.peers import Peer, Right
from daemon.problem import ApiError
from daemon.responses import bytes_response, error_response
from daemon.route import JSON, Call, Route, Service, table
from daemon.target import split_target
from daemon.unexpected import answer_for

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

log: Final = logging.getLogger(__name__)

ROUTES: Final = (
    *api_state.ROUTES,
    *api_assets.ROUTES,
    *api_open.ROUTES,
    *api_content.ROUTES,
    *api_tiers.ROUTES,
    *api_events.ROUTES,
    *api_chores.ROUTES,
    *api_presign.ROUTES,
)

PUBLIC: Final = api_state.PUBLIC


class Api:
    """Answers requests. `Api(service)` is what the unix socket serves, `Api(service, PUBLIC)` what TCP may."""

    def __init__(self, service: Service, routes: tuple[Route, ...] | None = None) -> None:
        if routes is None:
            routes = (*ROUTES, DESCRIPTION)
        self._service = service
        self._routes = table(routes)

    def __repr__(self) -> str:
        return f"<Api {len(self._routes)} templates>"

    async def answer(self, request: BaseRequest, peer: Peer | None) -> StreamResponse:
        """Answer one request of this peer. Raises ConnectionError only: the connection is then broken."""
        request_id.begin(request.headers.get(request_id.HEADER))
        try:
            response = await self._dispatch(request, peer)
        except ConnectionError as error:
            log.debug("%s %s broke off: %s", request.method, request.raw_path, error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, a client is told; what is a bug is logged there
            response = _refusal(answer_for(error))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s -> %d (%s)", request.method, request.raw_path, response.status, peer)
        return response

    async def _dispatch(self, request: BaseRequest, peer: Peer | None) -> StreamResponse:
        target, query = split_target(request.raw_path)
        methods, tail = self._find(target)
        route = methods.get(request.method)
        if route is None:
            return _not_allowed(request.method, methods)
        if self._service.access.right_of(peer) < route.right:
            raise _forbidden(route.right)
        return await route.handler(self._service, Call(request, tail, query, self._service.limits, peer))

    def _find(self, target: str) -> tuple[dict[str, Route], str]:
        """Return the routes of this target by method, and what is left of it for the parameter."""
        methods = self._routes.get(target)
        if methods is not None:
            return methods, ""
        # A template's parameter follows its second part: /v1/assets/{path}.
        cut = target.find("/", target.find("/", 1) + 1) + 1
        methods = self._routes.get(target[:cut]) if cut > 1 else None
        if methods is None:
            raise ApiError(404, "no-such-request", "there is no such request", hint="/v1/openapi.json has them all")
        return methods, target[cut:]


async def describe(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer the description of all this."""
    return bytes_response(_description(service.version), media=JSON)


@functools.cache
def _description(version: str) -> bytes:
    return json.dumps(document((*ROUTES, DESCRIPTION), version=version)).encode()


DESCRIPTION: Final = Route(
    method="GET",
    template="/v1/openapi.json",
    handler=describe,
    summary="This description",
    answers={200: JSON},
)


def _refusal(error: ApiError) -> StreamResponse:
    response = error_response(error)
    if error.status in {408, 413}:
        response.force_close()  # The rest of its body is not waited for.
    return response


def _not_allowed(method: str, methods: dict[str, Route]) -> StreamResponse:
    allowed = ", ".join(sorted(methods))
    response = error_response(ApiError(405, "bad-method", f"not {method} but {allowed}"))
    response.headers["Allow"] = allowed
    return response


def _forbidden(right: Right) -> ApiError:
    hint = f"[api] {right.name.lower()} in the configuration says who may"
    return ApiError(403, "not-allowed", f"this needs the right to {_DEEDS[right]}", hint=hint)


_DEEDS: Final = {Right.READ: "read", Right.WRITE: "write", Right.ADMIN: "administer"}
