"""Assets by their names on disk: open, and the leases that keep what was opened there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from daemon import bodies, models
from daemon.counting import counted
from daemon.problem import ApiError
from daemon.responses import empty_response, json_response
from daemon.route import Route
from daemon.views import lease_view, opened_view

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service

_LONGEST_WAIT: Final = 900
"""Seconds after which one may ask again about what comes out of an archive: it can be early."""


async def open_asset(service: Service, call: Call) -> StreamResponse:
    """Answer where the file is, once it is there; 202 where that takes longer than the client waits."""
    with counted(service.observer, service.demand) as tally:
        opened = await service.tiers.open(call.path, wait=call.query(bodies.OpenQuery).wait)
        tally.found(opened.asset, hit=opened.hit, size=opened.asset.size if opened.ready else 0)
    if opened.ready:
        return json_response(opened_view(opened, now=service.clock()))
    now = service.clock()
    wait = 1 if opened.expected is None else min(max(math.ceil(opened.expected - now), 1), _LONGEST_WAIT)
    return json_response(opened_view(opened, now=now), status=202, headers={"Retry-After": str(wait)})


async def renew_lease(service: Service, call: Call) -> StreamResponse:
    """Make a lease last anew."""
    try:
        return json_response(lease_view(service.leases.renew(call.tail), now=service.clock()))
    except KeyError:
        raise _ended() from None


async def release_lease(service: Service, call: Call) -> StreamResponse:
    """End a lease."""
    try:
        service.leases.release(call.tail)
    except KeyError:
        raise _ended() from None
    return empty_response(204)


def _ended() -> ApiError:
    return ApiError(404, "unknown-lease", "this lease has ended, or never was", hint="open the asset again")


ROUTES: Final = (
    Route(
        method="GET",
        template="/v1/open/{path}",
        handler=open_asset,
        summary="Have a file on disk, brought back if need be, and leased",
        query=bodies.OpenQuery,
        answers={
            200: models.Opened,
            202: models.Pending,
            404: models.Error,
            409: models.Error,
            507: models.Error,
        },
    ),
    Route(
        method="POST",
        template="/v1/leases/{id}",
        handler=renew_lease,
        summary="Renew a lease",
        answers={200: models.Lease, 404: models.Error},
    ),
    Route(
        method="DELETE",
        template="/v1/leases/{id}",
        handler=release_lease,
        summary="Release a lease",
        answers={204: None, 404: models.Error},
    ),
)
