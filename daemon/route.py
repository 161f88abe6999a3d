"""What a route is, and what its handler is given. Routing and OpenAPI read the same table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp.web import StreamResponse
from pydantic import BaseModel, ValidationError

from daemon.bodies import NoQuery
from daemon.limits import Limits
from daemon.peers import Right
from daemon.problem import ApiError
from daemon.query import query_fields
from daemon.target import path_of_href
from tiering.prices import Prices

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.web import BaseRequest

    from daemon.addresses import Addresses
    from daemon.demand import Demand
    from daemon.doctor import Row
    from daemon.followers import Followers
    from daemon.gauges import Rates
    from daemon.metrics import Counts
    from daemon.peers import Access, Peer
    from daemon.trouble import Trouble
    from index.asset import RelPath
    from index.catalog import Catalog
    from tiering.bill import Bill
    from tiering.curve import Reading
    from tiering.drain import Drain
    from tiering.expiry import Expiry
    from tiering.inspector import Inspector
    from tiering.leases import Leases
    from tiering.migration import Migration
    from tiering.observer import Observer
    from tiering.orders import Orders
    from tiering.presigner import Presigner
    from tiering.reconciler import Reconciler
    from tiering.registry import Registry
    from tiering.stocktaking import Stocktaking
    from tiering.tiers import Tiers
    from tiering.verifier import Verifier

M = TypeVar("M", bound=BaseModel)

JSON: Final = "application/json"
JSON_LINES: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What handlers may use. Metrics are in text format 0.0.4.

    What the core's parts raise, daemon/problem.py turns into answers. Cancelling a call to one of them is safe at any
    moment: what was begun is finished or undone, and nothing more is begun.
    """

    catalog: Catalog
    leases: Leases
    tiers: Tiers
    orders: Orders
    presigner: Presigner
    registry: Registry
    expiry: Expiry
    inspector: Inspector
    verifier: Verifier
    stocktaking: Stocktaking
    migration: Migration
    drain: Drain
    examine: Callable[[], Awaitable[list[Row]]]
    reconciler: Reconciler
    observer: Observer
    access: Access
    followers: Followers
    render_metrics: Callable[[], bytes]
    rates: Callable[[], Rates]
    demand: Demand
    trouble: Trouble
    curve: Callable[[], Reading]
    counts: Callable[[], Counts]
    bill: Callable[[], Bill]
    clock: Callable[[], float]
    root: Path
    addresses: Addresses
    version: str
    storage_class: str = "STANDARD"
    prices: Prices = field(default_factory=Prices)
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class Call:
    """One request on its way to a handler. `tail` is what stands for the template's parameter, still encoded."""

    request: BaseRequest
    tail: str
    query_string: str
    limits: Limits
    peer: Peer | None = None

    @property
    def path(self) -> RelPath:
        """The path that the request names. Raise ApiError (400) where it is none."""
        return path_of_href(self.tail)

    def query(self, model: type[M]) -> M:
        """Return the query, checked. Raise ApiError (400) naming the parameter that is wrong."""
        return checked(model, query_fields(self.query_string) if self.query_string else {})

    async def body(self, model: type[M]) -> M:
        """Read and check the body; none at all counts as `{}`. Raise ApiError (400, 408 or 413)."""
        raw = await self._read()
        if not raw:
            return checked(model, {})
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "bad-input", f"the body is not JSON: {error}") from None
        return checked(model, document)

    async def _read(self) -> bytes:
        if "Content-Encoding" in self.request.headers:
            raise ApiError(415, "bad-encoding", "bodies are taken as they are, not compressed")
        if (self.request.content_length or 0) > self.limits.body:
            raise self._too_large()
        await self._continue()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                return await self._receive()
        except TimeoutError:
            message = f"the body did not arrive within {self.limits.body_seconds:g} s"
            raise ApiError(408, "too-slow", message) from None

    async def _receive(self) -> bytes:
        raw = bytearray()
        while chunk := await self.request.content.readany():
            raw += chunk
            if len(raw) > self.limits.body:
                raise self._too_large()
        return bytes(raw)

    async def _continue(self) -> None:
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.request.writer.output_size = 0  # What counts as sent is the answer, and that is still to come.

    def _too_large(self) -> ApiError:
        return ApiError(413, "too-large", f"the body is larger than {self.limits.body} bytes", hint="send it in parts")


def checked(model: type[M], document: object) -> M:
    """Return the document as `model`. Raise ApiError (400) that names every field that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(_sentence(detail["loc"], detail["msg"]) for detail in error.errors(include_url=False)[:5])
        raise ApiError(400, "bad-input", wrong, hint="/v1/openapi.json says what is expected") from None


def _sentence(where: tuple[int | str, ...], what: str) -> str:
    return f"{'.'.join(map(str, where)) or 'the body'}: {what}"


Handler = Callable[[Service, Call], Awaitable[StreamResponse]]

Content = type[BaseModel] | str
"""What an answer carries: JSON by this model, or another media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One request that is answered. `template` may end in one parameter, which takes all that is left of the target.

    `answers` has the statuses of its own; those that every route can give are added by daemon/openapi.py.
    """

    method: str
    template: str
    handler: Handler
    summary: str
    right: Right = Right.READ
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    answers: Mapping[int, Content | None]
    media: str = JSON

    @property
    def parameter(self) -> str | None:
        """The name of the template's parameter."""
        return self.template.partition("{")[2].rstrip("}") or None


def table(routes: tuple[Route, ...]) -> dict[str, dict[str, Route]]:
    """Return routes by what a target begins with (all of it, where there is no parameter), then by method."""
    found: dict[str, dict[str, Route]] = {}
    for route in routes:
        found.setdefault(route.template.partition("{")[0], {})[route.method] = route
    return found
