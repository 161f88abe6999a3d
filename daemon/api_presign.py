"""URLs by which others reach the store without us. They are secrets: nothing here is ever logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon import bodies, models
from daemon.problem import ApiError
from daemon.responses import json_response
from daemon.route import Route
from tiering.presigner import Limits

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from daemon.route import Call, Service


async def presign(service: Service, call: Call) -> StreamResponse:
    """Answer a URL for one asset."""
    if not service.access.may_presign(call.peer):
        hint = "[api] presign in the configuration says who may"
        raise ApiError(403, "not-allowed", "this needs the right to ask for presigned URLs", hint=hint)
    asked = await call.body(bodies.Presigning)
    limits = Limits(asked.max_size, asked.content_type)
    link = await service.presigner.presign(asked.path, asked.method, asked.expires, limits)
    return json_response(
        {
            "url": link.url,
            "method": link.method,
            "expires": link.seconds,
            "expires_at": link.until,
            "fields": dict(link.fields),
            "headers": dict(link.headers),
        }
    )


ROUTES: Final = (
    Route(
        method="POST",
        template="/v1/presign",
        handler=presign,
        summary="Get a URL by which others read or upload one asset for a while",
        body=bodies.Presigning,
        answers={200: models.Link, 404: models.Error, 409: models.Error},
    ),
)
