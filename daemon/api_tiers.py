"""Commands about many assets at once: promote, demote, pin, unpin, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from daemon import bodies, models
from daemon.api_assets import as_query
from daemon.peers import Right
from daemon.responses import json_response
from daemon.route import Route
from daemon.views import result_view
from tiering.answers import Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.web import StreamResponse

    from daemon.route import Call, Handler, Service
    from tiering.answers import Result
    from tiering.orders import Orders


class Order(Protocol):
    """One of the orders for many assets."""

    def __call__(self, selection: Selection, *, dry_run: bool, wait: bool) -> Awaitable[Sequence[Result]]:
        """Carry it out."""


def selection_of(command: bodies.Command) -> Selection:
    """Return what a command is about."""
    if command.filter is not None:
        return Selection(query=as_query(command.filter))
    return Selection(paths=tuple(command.paths or ()))


def _handler(order_of: Callable[[Orders], Order]) -> Handler:
    async def command(service: Service, call: Call) -> StreamResponse:
        asked = await call.body(bodies.Command)
        results = await order_of(service.orders)(selection_of(asked), dry_run=asked.dry_run, wait=asked.wait)
        return _answer(results, dry_run=asked.dry_run)

    return command


async def retry(service: Service, call: Call) -> StreamResponse:
    """Try again what waits for a person."""
    asked = await call.body(bodies.Retry)
    results = await service.orders.retry(
        selection_of(asked), dry_run=asked.dry_run, wait=asked.wait, overwrite=asked.overwrite
    )
    return _answer(results, dry_run=asked.dry_run)


def _answer(results: Sequence[Result], *, dry_run: bool) -> StreamResponse:
    return json_response({"results": [result_view(result) for result in results], "dry_run": dry_run})


def _route(name: str, handler: Handler, summary: str, body: type[bodies.Command] = bodies.Command) -> Route:
    return Route(
        method="POST",
        template=f"/v1/{name}",
        handler=handler,
        summary=summary,
        right=Right.WRITE,
        body=body,
        answers={200: models.Results, 409: models.Error, 507: models.Error},
    )


ROUTES: Final = (
    _route("promote", _handler(lambda orders: orders.promote), "Bring assets back to the disk"),
    _route("demote", _handler(lambda orders: orders.demote), "Remove local copies of replicated assets"),
    _route("pin", _handler(lambda orders: orders.pin), "Keep assets hot"),
    _route("unpin", _handler(lambda orders: orders.unpin), "Keep assets hot no longer"),
    _route("retry", retry, "Try again what is stuck or damaged", bodies.Retry),
)
