"""The description of the API is valid, complete, and says what the server does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from talking import serve

from daemon import bodies, models, models_chores, models_state
from daemon.api import DESCRIPTION, ROUTES
from daemon.openapi import document
from daemon.route import table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from talking import Served

CONTRACT = """
GET /v1/health
GET /v1/status
GET /v1/glance
GET /v1/stats
GET /v1/assets
GET /v1/holders
GET /v1/paths
GET /v1/assets/{path}
PUT /v1/assets/{path}
PATCH /v1/assets/{path}
DELETE /v1/assets/{path}
GET /v1/open/{path}
POST /v1/leases/{id}
DELETE /v1/leases/{id}
GET /v1/content/{path}
HEAD /v1/content/{path}
POST /v1/promote
POST /v1/demote
POST /v1/pin
POST /v1/unpin
POST /v1/retry
GET /v1/explain/{path}
POST /v1/presign
GET /v1/events
GET /v1/curve
GET /v1/history
GET /v1/retention
POST /v1/verify
POST /v1/drain
POST /v1/discover
GET /v1/migrate
POST /v1/migrate
POST /v1/doctor
POST /v1/resume
GET /v1/openapi.json
GET /metrics
"""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description."""
    return document((*ROUTES, DESCRIPTION), version="1.2.3")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server."""
    async with serve(tmp_path) as found:
        yield found


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def test_the_description_is_valid(described: dict[str, Any]) -> None:
    """OpenAPI 3.1, by the validator that its authors name."""
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    assert described["openapi"].startswith("3.1")


def test_the_description_has_the_contract(described: dict[str, Any]) -> None:
    """Every request of the contract is there, and nothing else."""
    assert {f"{method} {path}" for method, path in operations(described)} == set(CONTRACT.split("\n")) - {""}


def test_every_operation_has_its_own_name(described: dict[str, Any]) -> None:
    """Generated clients need one."""
    names = [operation["operationId"] for operation in operations(described).values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)


def test_every_template_has_its_parameter(described: dict[str, Any]) -> None:
    """What stands in braces is described, and nothing that does not."""
    for (_, path), operation in operations(described).items():
        names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert names == set(re.findall(r"{(\w+)}", path))


def test_every_answer_is_described(described: dict[str, Any]) -> None:
    """Errors that any request can meet, those of bodies where there is one, and a body that is a model or bytes."""
    for (method, path), operation in operations(described).items():
        answers = operation["responses"]
        assert {"400", "403", "431", "500", "503"} <= set(answers), path
        if "requestBody" in operation:
            assert {"408", "413", "415"} <= set(answers), path
        if "{path}" in path:
            assert {"404", "409"} <= set(answers), path
        for status, answer in answers.items():
            has_body = method != "HEAD" and status not in {"204", "304"}
            assert ("content" in answer) is has_body, (path, status)


def test_unknown_fields_are_refused_by_the_description_too(described: dict[str, Any]) -> None:
    """What the server refuses, its description does not allow."""
    for name in ("Command", "Retry", "Registration", "Amendment", "Filter", "Verification", "Drain", "Resumption"):
        assert described["components"]["schemas"][name]["additionalProperties"] is False


def test_no_model_is_forgotten(described: dict[str, Any]) -> None:
    """Every model of the contract is in the description; those left out are bases and queries."""
    every = {
        name
        for module in (bodies, models, models_chores, models_state)
        for name, thing in vars(module).items()
        if isinstance(thing, type) and issubclass(thing, models.Model)
    }
    unnamed = {
        "Model",
        "Request",
        "AssetsQuery",
        "OpenQuery",
        "EventsQuery",
        "PathsQuery",
        "RetentionQuery",
        "NoQuery",
        "ContentQuery",
    }
    assert every - set(described["components"]["schemas"]) == unnamed


def test_one_route_for_one_request() -> None:
    """The table has no two rows for the same method and target."""
    routes = (*ROUTES, DESCRIPTION)
    assert sum(len(methods) for methods in table(routes).values()) == len(routes)


async def test_what_is_served_is_the_description(served: Served, described: dict[str, Any]) -> None:
    """The server tells exactly this."""
    assert (await served.get("/v1/openapi.json")).json == described


async def test_what_is_answered_is_described(served: Served, described: dict[str, Any]) -> None:
    """A round of every operation, right and wrong: each status that comes back is in the description."""
    served.tiers.add_hot("a", b"x")
    for (method, path), operation in operations(described).items():
        for value in ("a", "none", "..", "%"):
            target = re.sub(r"{\w+}", value, path).replace("/v1/events", "/v1/events?follow=false")
            for body in (None, {}, {"filter": {}}, [], {"confirm": True}):
                answer = await served.ask(method, target, body=body)
                assert str(answer.status) in operation["responses"], (method, target, body, answer)
