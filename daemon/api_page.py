"""The page, and what stands on it, as they are answered on [ui] listen: to whoever can connect there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon import page
from daemon.api_state import GLANCE, get_glance
from daemon.peers import Right
from daemon.problem import ApiError
from daemon.responses import bytes_response
from daemon.route import Route

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service


async def get_page(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer the page."""
    _refuse_foreign_names(call)
    return bytes_response(page.document(), media=page.HTML, headers=page.headers())


async def get_open_glance(service: Service, call: Call) -> StreamResponse:
    """Answer what stands on it."""
    _refuse_foreign_names(call)
    response = await get_glance(service, call)
    response.headers.update(page.headers())
    return response


def _refuse_foreign_names(call: Call) -> None:
    """Let no foreign page look over a browser's shoulder by a name of its own that it has bound to this host."""
    if not page.is_loopback(call.request.headers.get("Host")):
        raise ApiError(403, "not-allowed", "the page is shown on this host only", hint="ask for it as 127.0.0.1")


PAGE: Final = (
    Route(
        method="GET",
        template="/",
        handler=get_page,
        summary="A page with how things stand",
        right=Right.NONE,
        answers={200: page.HTML},
    ),
    Route(
        method="GET",
        template=GLANCE.template,
        handler=get_open_glance,
        summary=GLANCE.summary,
        right=Right.NONE,
        answers=GLANCE.answers,
    ),
)
"""What is answered on [ui] listen, and nowhere else."""
