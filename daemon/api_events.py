"""The changes of state, one a line, for as long as the client listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon import bodies, models
from daemon.problem import ApiError
from daemon.responses import Lines
from daemon.route import JSON_LINES, Route
from daemon.views import is_move, record_view

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service
    from index.catalog import Catalog

BATCH: Final = 500
BEAT_SECONDS: Final = 15.0


async def follow_events(service: Service, call: Call) -> StreamResponse:
    """Send what happened after the cursor, then what happens, with an empty line where nothing does."""
    asked = call.query(bodies.EventsQuery)
    catalog = service.catalog
    after = asked.after
    await _check_cursor(catalog, after)
    lines = await Lines.begin(call.request)
    while not service.followers.closed:
        records = await catalog.events(after, limit=BATCH)
        if records:
            views = [record_view(record, service.addresses) for record in records]
            wanted = [view for view in views if is_move(view) or not asked.moves]
            await (lines.write(wanted) if wanted else lines.beat())
            after = records[-1].cursor
        elif not asked.follow:
            break
        else:
            await _await_more(service, lines, after)
    return lines.response


async def _await_more(service: Service, lines: Lines, after: int) -> None:
    happened = await service.followers.wait(service.catalog.wait_change(after), seconds=BEAT_SECONDS)
    if not happened:
        await lines.beat()


async def _check_cursor(catalog: Catalog, after: int) -> None:
    """Refuse to skip events silently: those that are no longer kept, and those of an index that was rebuilt."""
    if after and not await catalog.oldest_event() - 1 <= after <= await catalog.newest_event():
        message = f"the events after {after} are not kept any more"
        raise ApiError(410, "cursor-expired", message, hint="read /v1/assets, then follow without a cursor")


ROUTES: Final = (
    Route(
        method="GET",
        template="/v1/events",
        handler=follow_events,
        summary="Follow every change of state; one JSON document a line, an empty line every 15 s of silence",
        query=bodies.EventsQuery,
        answers={200: models.Change, 410: models.Error},
        media=JSON_LINES,
    ),
)
