"""How the daemon is: health, status, metrics."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from daemon import bodies, models_state
from daemon.meanings import lacking
from daemon.peers import Right
from daemon.responses import Lines, bytes_response, json_response
from daemon.route import JSON_LINES, Route
from daemon.views import going_view, incident_view, setback_view, stats_view, status_view, transfer_view, wanted_view
from index.asset import printable
from index.lifecycle import State
from index.listing import Key, Order, Query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service
    from daemon.views import Json
    from tiering.answers import Status

HISTORY_PAGE: Final = 1000
WAITING_SHOWN: Final = 20
PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


async def get_health(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer whether hot bytes can be served, and what else needs attention."""
    status = service.inspector.status()
    return json_response(_health(service, status), status=503 if status.faults else 200)


def _health(service: Service, status: Status) -> Json:
    reasons = [*status.faults, *_concerns(status)]
    word = "failing" if status.faults else "degraded" if reasons else "ok"
    return {"status": word, "reasons": reasons, "root": printable(str(service.root)), "version": service.version}


def _concerns(status: Status) -> Iterator[str]:
    if not status.store.reachable:
        yield f"the store {status.store.url} cannot be used: {status.store.reason or 'no reason known'}"
    if status.store.capabilities.get("read_back_equal") is False:
        yield f"the store {status.store.url} cannot be trusted: {lacking(status.store.capabilities)[0]}"
    if status.brake.engaged:
        yield f"destructive work is frozen: {status.brake.reason}; tierd resume --confirm releases it"
    if status.scrub.doubt:
        yield f"the store is doubted: {status.scrub.doubt}; tierd verify lists them"
    if status.disk.full:
        yield "the disk is full: demote, unpin or remove assets, or give it more room"
    if status.unwatched:
        yield f"new files are found by the periodic scan only in {status.unwatched}: names there are not UTF-8"
    if status.index_full:
        yield "the disk of the index is full: what must be written waits, and new work is refused"
    if stuck := status.assets.get(State.STUCK, 0):
        yield f"stuck, and without a remote copy: {stuck}; tierd list --state stuck names them"
    if damaged := status.assets.get(State.DAMAGED, 0):
        yield f"damaged: {damaged}; tierd list --state damaged names them"


async def get_status(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer everything at a glance."""
    return json_response(status_view(service.inspector.status(), service.rates(), await service.catalog.newest_event()))


async def get_glance(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer what a person on call wants to see, in that order."""
    status = service.inspector.status()
    waiting, _ = await service.catalog.list(
        Query(states=(State.STUCK, State.DAMAGED)), limit=WAITING_SHOWN, cursor=None, order=Order(Key.PATH)
    )
    return json_response(
        {
            "health": _health(service, status),
            "status": status_view(status, service.rates(), await service.catalog.newest_event()),
            "transfers": [transfer_view(each) for each in service.inspector.transfers()],
            "read": [wanted_view(each) for each in service.demand.most_read()],
            "missed": [wanted_view(each) for each in service.demand.most_missed()],
            "trouble": [*map(setback_view, waiting), *map(incident_view, service.trouble.latest())],
        }
    )


async def get_stats(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer what there is of what, what happened, and what it costs."""
    figures = await service.catalog.figures()
    return json_response(
        stats_view(figures, service.counts(), service.rates(), service.prices, service.storage_class, service.bill())
    )


async def get_metrics(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer what Prometheus scrapes."""
    return bytes_response(service.render_metrics(), media=PROMETHEUS_TEXT)


async def get_curve(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer what more disk would bring."""
    return json_response(asdict(service.curve()))


async def get_history(service: Service, call: Call) -> StreamResponse:
    """Answer the latest reads, oldest first."""
    lines, cursor = await Lines.begin(call.request), 0
    while not service.followers.closed:
        page, cursor = await service.catalog.accesses(cursor, limit=HISTORY_PAGE)
        if not page:
            break
        await lines.write({"time": each.at, "id": each.asset, "size": each.size, "times": each.times} for each in page)
    return lines.response


GLANCE: Final = Route(
    method="GET",
    template="/v1/glance",
    handler=get_glance,
    summary="Whether data are safe, what moves, what is wanted and what went wrong",
    answers={200: models_state.Glance},
)


async def get_retention(service: Service, call: Call) -> StreamResponse:
    """Answer what is to go from the store."""
    asked = call.query(bodies.RetentionQuery)
    lines = await Lines.begin(call.request)
    async with aclosing(service.expiry.plan(within=asked.within)) as plan:
        async for page in plan:
            if service.followers.closed:
                break
            await lines.write(going_view(each, service.addresses) for each in page)
    return lines.response


PUBLIC: Final = (
    Route(
        method="GET",
        template="/v1/health",
        handler=get_health,
        summary="Say whether hot bytes can be served",
        right=Right.NONE,
        answers={200: models_state.Health, 503: models_state.Health},
    ),
    Route(
        method="GET",
        template="/metrics",
        handler=get_metrics,
        summary="Metrics, in Prometheus' text format 0.0.4",
        right=Right.NONE,
        answers={200: PROMETHEUS_TEXT},
    ),
)
"""What may be asked by anybody who can connect, also over TCP."""

ROUTES: Final = (
    *PUBLIC,
    Route(
        method="GET",
        template="/v1/status",
        handler=get_status,
        summary="Everything at a glance",
        answers={200: models_state.Status},
    ),
    GLANCE,
    Route(
        method="GET",
        template="/v1/curve",
        handler=get_curve,
        summary="What more disk would bring, or less",
        answers={200: models_state.Curve},
    ),
    Route(
        method="GET",
        template="/v1/stats",
        handler=get_stats,
        summary="Assets and bytes by state, type, campaign and media type; what happened, and what it costs",
        answers={200: models_state.Stats},
    ),
    Route(
        method="GET",
        template="/v1/retention",
        handler=get_retention,
        summary="What retention rules are to remove from the store, and when; one JSON document a line",
        query=bodies.RetentionQuery,
        answers={200: models_state.Going},
        media=JSON_LINES,
    ),
    Route(
        method="GET",
        template="/v1/history",
        handler=get_history,
        summary="The latest reads of assets, oldest first; one JSON document a line",
        answers={200: models_state.Read},
        media=JSON_LINES,
    ),
)
