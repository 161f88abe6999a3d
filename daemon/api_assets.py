"""Assets by their paths: what is known about them, and changing it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from daemon import bodies, models
from daemon.peers import Right
from daemon.problem import ApiError
from daemon.responses import json_response
from daemon.route import Route
from daemon.views import asset_view, explanation_view
from index.asset import printable
from index.listing import Key, Order, Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service
    from index.asset import Asset


def as_query(chosen: bodies.Filter) -> Query:
    """Return a filter as the index takes it."""
    return Query(
        states=tuple(chosen.state),
        type=chosen.type,
        campaign=chosen.campaign,
        text=chosen.q,
        fields=chosen.fields,
        tags=chosen.tags,
        pinned=chosen.pinned,
        min_size=chosen.min_size,
        max_size=chosen.max_size,
        modified_after=chosen.modified_after,
        modified_before=chosen.modified_before,
        accessed_after=chosen.accessed_after,
        accessed_before=chosen.accessed_before,
    )


def as_order(sort: str) -> Order:
    """Return the order that is named so: a minus in front means the other way round."""
    return Order(Key(sort.removeprefix("-")), descending=sort.startswith("-"))


async def _answer(service: Service, call: Call, asset: Asset) -> StreamResponse:
    return json_response((await _views(service, call, [asset]))[0])


async def _views(service: Service, call: Call, assets: Sequence[Asset]) -> list[dict[str, Any]]:
    """Return assets, with URLs that can be read by for those who may hand on such."""
    addresses = service.addresses
    if addresses.signer is None or not service.access.may_presign(call.peer):
        return [asset_view(asset, addresses) for asset in assets]
    # A thousand signatures take a third of a second.
    return await asyncio.to_thread(lambda: [asset_view(asset, addresses, signs=True) for asset in assets])


async def list_assets(service: Service, call: Call) -> StreamResponse:
    """Answer one page."""
    asked = call.query(bodies.AssetsQuery)
    try:
        assets, cursor = await service.catalog.list(
            as_query(asked), limit=asked.limit, cursor=asked.cursor, order=as_order(asked.sort)
        )
    except ValueError as error:
        raise ApiError(400, "bad-cursor", str(error), hint="begin again without a cursor") from None
    return json_response({"assets": await _views(service, call, assets), "cursor": cursor})


async def find_holders(service: Service, call: Call) -> StreamResponse:
    """Answer who holds a content."""
    asked = call.query(bodies.ContentQuery)
    if (asked.sha256 is None) == (asked.md5 is None):
        raise ApiError(400, "bad-input", "exactly one of sha256 and md5 is needed", hint="in hexadecimal, lower case")
    found = await service.catalog.holding(sha256=asked.sha256 or "", md5=asked.md5 or "")
    return json_response({"assets": await _views(service, call, found)})


async def list_paths(service: Service, call: Call) -> StreamResponse:
    """Answer what a path may become that begins so."""
    asked = call.query(bodies.PathsQuery)
    found = await service.catalog.children(asked.prefix, limit=asked.limit)
    return json_response({"paths": [path for path in found if path == printable(path)]})


async def get_asset(service: Service, call: Call) -> StreamResponse:
    """Answer one asset."""
    return await _answer(service, call, await service.tiers.find(call.path))


async def put_asset(service: Service, call: Call) -> StreamResponse:
    """Take a file in, with what an application knows about it."""
    path, told = call.path, await call.body(bodies.Registration)
    asset = await service.registry.register(path, type=told.type, fields=told.fields, tags=told.tags)
    return await _answer(service, call, asset)


async def patch_asset(service: Service, call: Call) -> StreamResponse:
    """Change what is known about an asset."""
    path, told = call.path, await call.body(bodies.Amendment)
    asset = await service.tiers.find(path)
    asset = await service.registry.describe(
        path,
        type=told.type if "type" in told.model_fields_set else asset.type,
        fields=_merged(asset.fields, told, "fields"),
        tags=_merged(asset.tags, told, "tags"),
    )
    return await _answer(service, call, asset)


def _merged(present: Mapping[str, str], told: bodies.Amendment, name: str) -> dict[str, str]:
    if name not in told.model_fields_set:
        return dict(present)
    patch: dict[str, str | None] | None = getattr(told, name)
    if patch is None:
        return {}
    return {key: value for key, value in {**present, **patch}.items() if value is not None}


async def delete_asset(service: Service, call: Call) -> StreamResponse:
    """Remove an asset from both tiers."""
    return await _answer(service, call, await service.registry.remove(call.path))


async def explain_asset(service: Service, call: Call) -> StreamResponse:
    """Answer what happens next, and why."""
    return json_response(explanation_view(await service.inspector.explain(call.path)))


_ASSET: Final = "/v1/assets/{path}"

ROUTES: Final = (
    Route(
        method="GET",
        template="/v1/assets",
        handler=list_assets,
        summary="List assets, or search for them",
        query=bodies.AssetsQuery,
        answers={200: models.AssetPage},
    ),
    Route(
        method="GET",
        template="/v1/paths",
        handler=list_paths,
        summary="What a path may become that begins so: names, as far as the next slash",
        query=bodies.PathsQuery,
        answers={200: models.Paths},
    ),
    Route(
        method="GET",
        template="/v1/holders",
        handler=find_holders,
        summary="The assets that have some content, by its digest",
        query=bodies.ContentQuery,
        answers={200: models.Holders},
    ),
    Route(
        method="GET",
        template=_ASSET,
        handler=get_asset,
        summary="Show one asset; a file that is on disk and not known yet is taken in",
        answers={200: models.Asset, 404: models.Error, 409: models.Error},
    ),
    Route(
        method="PUT",
        template=_ASSET,
        handler=put_asset,
        summary="Register a file, with metadata",
        right=Right.WRITE,
        body=bodies.Registration,
        answers={200: models.Asset, 404: models.Error, 409: models.Error},
    ),
    Route(
        method="PATCH",
        template=_ASSET,
        handler=patch_asset,
        summary="Change an asset's metadata",
        right=Right.WRITE,
        body=bodies.Amendment,
        answers={200: models.Asset, 404: models.Error, 409: models.Error},
    ),
    Route(
        method="DELETE",
        template=_ASSET,
        handler=delete_asset,
        summary="Remove an asset from both tiers",
        right=Right.WRITE,
        answers={200: models.Asset, 404: models.Error, 409: models.Error},
    ),
    Route(
        method="GET",
        template="/v1/explain/{path}",
        handler=explain_asset,
        summary="Explain what would happen to an asset next, and why",
        answers={200: models.Explanation, 404: models.Error, 409: models.Error},
    ),
)
