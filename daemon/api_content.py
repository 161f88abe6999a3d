"""The bytes of assets: RFC 9110 over both tiers, and never wrong ones."""

from __future__ import annotations

import base64
import os
from contextlib import aclosing
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from aiohttp import web

from daemon import models
from daemon.counting import counted
from daemon.problem import ApiError
from daemon.ranges import Conditions, Entity, Reply, decide
from daemon.responses import empty_response, error_response, stream_response
from daemon.route import Route
from daemon.sending import INLINE_BYTES, AlteredFileError, Sending, read_inline
from daemon.unexpected import answer_for
from tiering.answers import ColdContent, HotContent, Peek
from tiering.entity import content_sha256, entity_tag

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from daemon.counting import Tally
    from daemon.route import Call, Service
    from index.asset import Asset, RelPath

BYTES: Final = "application/octet-stream"


async def head_content(service: Service, call: Call) -> StreamResponse:
    """Answer what a GET would, without the bytes and without promoting."""
    peek = await service.tiers.peek(call.path)
    entity = _entity(peek)
    reply = decide(Conditions.of(call.request.headers), entity, service.clock())
    if reply.status == 304:  # noqa: PLR2004 - a status is its own name. A Range is a GET's only.
        return empty_response(304, _headers(peek.asset, entity, service.clock()))
    head = stream_response(200, _whole_headers(peek.asset, entity, service.clock()))
    head.content_length = entity.size
    return head


async def get_content(service: Service, call: Call) -> StreamResponse:
    """Answer the bytes, or those that were asked for."""
    with counted(service.observer, service.demand) as tally:
        path, conditions = call.path, Conditions.of(call.request.headers)
        if conditions is not None:
            early = await _early_answer(service, path, conditions, tally)
            if early is not None:
                return early
        content = await service.tiers.content(path, whole=conditions is None or conditions.range is None)
        if isinstance(content, HotContent):
            return await _send_hot(service, call, content, conditions, tally)
        return await _send_cold(service, call, content, tally)


async def _early_answer(service: Service, path: RelPath, conditions: Conditions, tally: Tally) -> StreamResponse | None:
    """Answer what needs no bytes, so that nothing is promoted for it."""
    peek = await service.tiers.peek(path)
    entity = _entity(peek)
    reply = decide(conditions, entity, service.clock())
    return _without_bytes(reply, peek.asset, entity, service.clock(), tally)


def _without_bytes(reply: Reply, asset: Asset, entity: Entity, now: float, tally: Tally) -> StreamResponse | None:
    if reply.status == 304:  # noqa: PLR2004 - a status is its own name
        tally.found(asset, hit=True)
        return empty_response(304, _headers(asset, entity, now))
    if reply.status == 416:  # noqa: PLR2004 - a status is its own name
        tally.result = "error"
        answer = error_response(ApiError(416, "bad-range", f"it has {entity.size} bytes and none of these"))
        answer.headers["Content-Range"] = f"bytes */{entity.size}"
        return answer
    return None


async def _send_hot(
    service: Service, call: Call, content: HotContent, conditions: Conditions | None, tally: Tally
) -> StreamResponse:
    try:
        now, entity = service.clock(), _entity(content)
        reply = decide(conditions, entity, now)
        tally.found(content.asset, hit=content.hit)
        early = _without_bytes(reply, content.asset, entity, now, tally)
        if early is not None:
            return early
        head = stream_response(reply.status, _whole_headers(content.asset, entity, now))
        head.content_length = reply.stop - reply.start
        if reply.status == 206:  # noqa: PLR2004 - a status is its own name
            head.headers["Content-Range"] = f"bytes {reply.start}-{reply.stop - 1}/{entity.size}"
        return await _send_span(call, content, reply, head, tally)
    finally:
        os.close(content.fd)


async def _send_span(
    call: Call, content: HotContent, reply: Reply, head: StreamResponse, tally: Tally
) -> StreamResponse:
    length = reply.stop - reply.start
    if length > INLINE_BYTES:
        await head.prepare(call.request)
        await _sending(call, head, tally).send_file(content, reply.start, reply.stop)
        return head
    try:
        body = read_inline(content, reply.start, reply.stop)
    except AlteredFileError as error:
        tally.result = "error"
        raise ApiError(503, "changing", str(error), hint="ask again when its writer is done", retry_after=1) from error
    tally.size = length
    return web.Response(body=body, status=head.status, headers=head.headers)


async def _send_cold(service: Service, call: Call, content: ColdContent, tally: Tally) -> StreamResponse:
    """Send it as it comes. The first chunk is awaited before the head, so that a store that is down is a plain 503."""
    async with aclosing(content.chunks) as chunks:
        first = await anext(chunks, b"")
        head = stream_response(200, _whole_headers(content.asset, _entity(content), service.clock()))
        head.content_length = content.size
        tally.found(content.asset, hit=False)
        await head.prepare(call.request)
        sending = _sending(call, head, tally)
        try:
            await sending.send_chunks(first, chunks)
        except ConnectionError:
            raise
        except Exception as error:
            tally.result = "error"
            raise sending.broken(str(answer_for(error))) from error
    return head


def _sending(call: Call, head: StreamResponse, tally: Tally) -> Sending:
    return Sending(request=call.request, response=head, tally=tally, stall_seconds=call.limits.stall_seconds)


def _entity(content: Peek | HotContent | ColdContent) -> Entity:
    match content:
        case Peek():
            return Entity(content.etag, content.size, content.mtime_ns)
        case ColdContent():
            return Entity(entity_tag(content.sha256, None), content.size, content.mtime_ns)
        case HotContent():
            seen = content.sighting.fingerprint
            # What is known of the asset holds for the open file only where that is the file we know.
            known = content.asset.sha256 if content.asset.fingerprint == seen else None
            return Entity(entity_tag(known, seen), seen.size, seen.mtime_ns)


def _headers(asset: Asset, entity: Entity, now: float) -> dict[str, str]:
    """Return what tells this content from others."""
    headers = {"ETag": f'"{entity.tag}"', "X-Tierd-State": str(asset.state)}
    if entity.modified <= now:  # HTTP knows no content from the future.
        headers["Last-Modified"] = formatdate(entity.modified, usegmt=True)
    return headers


def _whole_headers(asset: Asset, entity: Entity, now: float) -> dict[str, str]:
    """Return what goes with the bytes, whole or in part."""
    headers = _headers(asset, entity, now)
    headers["Accept-Ranges"] = "bytes"
    headers["Content-Type"] = asset.content_type or BYTES
    sha256 = content_sha256(asset)
    if sha256 == entity.tag:
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
    return headers


_PATH: Final = "/v1/content/{path}"

ROUTES: Final = (
    Route(
        method="GET",
        template=_PATH,
        handler=get_content,
        summary="Read an asset, wherever it is",
        answers={
            200: BYTES,
            206: BYTES,
            304: None,
            404: models.Error,
            409: models.Error,
            416: models.Error,
            507: models.Error,
        },
    ),
    Route(
        method="HEAD",
        template=_PATH,
        handler=head_content,
        summary="Say what reading an asset would answer, moving nothing",
        answers={200: None, 304: None, 404: models.Error, 409: models.Error},
    ),
)
