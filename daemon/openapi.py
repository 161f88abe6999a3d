"""OpenAPI 3.1 of the table of routes and the models: generated, so that it cannot say anything else."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from daemon import bodies, models
from daemon.route import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import BaseModel

    from daemon.route import Content, Route

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"

_ALWAYS: Final = (400, 403, 431, 500, 503)
_WITH_BODY: Final = (408, 413, 415)

_PARAMETERS: Final = {
    "path": "Relative path, percent-encoded to the exact byte; `/` may stand as it is.",
    "id": "The id that opening answered.",
}
_CONDITIONS: Final = ("If-None-Match", "If-Modified-Since", "Range", "If-Range")


def document(routes: Iterable[Route], *, version: str) -> Json:
    """Return the description of these routes."""
    routes = tuple(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tierd", "version": version, "description": "Media on local disk and in an object store."},
        "servers": [{"url": "/", "description": "the unix socket; /metrics and /v1/health also on [metrics] listen"}],
        "paths": paths,
        "components": {"schemas": _schemas(routes)},
    }


def _schemas(routes: Iterable[Route]) -> Json:
    found: dict[type[BaseModel], None] = {models.Error: None}
    for route in routes:
        found |= dict.fromkeys(content for content in route.answers.values() if isinstance(content, type))
        if route.body is not None:
            found[route.body] = None
    wanted = [(model, _mode(model)) for model in found]
    _, schemas = models_json_schema(wanted, ref_template=_REFERENCE)
    definitions: Json = schemas["$defs"]
    return definitions


def _mode(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a Literal that pydantic does not export
    return "validation" if issubclass(model, bodies.Request) else "serialization"


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": _name(route),
        "summary": route.summary,
        "description": f"Right: {route.right.name.lower()}.",
        "parameters": [*_parameters(route)],
        "responses": {str(status): _response(status, route) for status in _statuses(route)},
    }
    if route.body is not None:
        required = any(field.is_required() for field in route.body.model_fields.values())
        operation["requestBody"] = {"required": required, "content": {JSON: {"schema": _schema(route.body)}}}
    return operation


def _name(route: Route) -> str:
    words = route.template.removeprefix("/v1").replace("{", "by_").replace("}", "").replace(".", "_").strip("/")
    return f"{route.method.lower()}_{words.replace('/', '_')}"


def _statuses(route: Route) -> list[int]:
    return sorted({*route.answers, *_ALWAYS, *(_WITH_BODY if route.body is not None else ())})


def _response(status: int, route: Route) -> Json:
    content: Content | None = route.answers.get(status, models.Error)
    answer: Json = {"description": HTTPStatus(status).phrase}
    if content is None or route.method == "HEAD":
        return answer
    if isinstance(content, str):
        answer["content"] = {content: {"schema": {} if content == JSON else {"type": "string"}}}
    else:
        media = route.media if status < HTTPStatus.BAD_REQUEST else JSON
        answer["content"] = {media: {"schema": _schema(content)}}
    return answer


def _schema(model: type[BaseModel]) -> Json:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _parameters(route: Route) -> Iterator[Json]:
    if route.parameter is not None:
        yield {
            "name": route.parameter,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[route.parameter],
            "schema": {"type": "string", "minLength": 1},
        }
    if route.template.startswith("/v1/content/"):
        yield from ({"name": name, "in": "header", "schema": {"type": "string"}} for name in _CONDITIONS)
    schema = route.query.model_json_schema(ref_template=_REFERENCE)
    for name, part in schema.get("properties", {}).items():
        yield from _query_parameter(name, part)


def _query_parameter(name: str, schema: Mapping[str, Any]) -> Iterator[Json]:
    """Yield a query parameter; a mapping is one parameter for each of its members, which OpenAPI cannot quite say."""
    if schema.get("type") != "object":
        yield {"name": name, "in": "query", "schema": dict(schema)}
    else:
        member = name.removesuffix("s")
        yield {"name": f"{member}.NAME", "in": "query", "description": "for any NAME", "schema": {"type": "string"}}
