"""The API against its own description: whatever is sent, right or wrong, what comes back is what the description says.

The description is the daemon's own. Data that it allows and data that it forbids are both sent, about assets that are
hot, cold, without a remote copy, not there at all, and by leases that are held.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import schemathesis
from door import a_door
from door_session import BASE, DoorSession
from effort import scaled, seeds
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from daemon.api import DESCRIPTION, ROUTES
from daemon.bodies import EventsQuery, NoQuery
from daemon.openapi import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from door import Door
    from schemathesis import Case

PART = "S1 the API against its description"

SCHEMA = schemathesis.openapi.from_dict(document((*ROUTES, DESCRIPTION), version="any"))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
RIGHT = [(label, GenerationMode.POSITIVE) for label in sorted(OPERATIONS)]
WRONG = [
    (f"{route.method} {route.template}", GenerationMode.NEGATIVE)
    for route in ROUTES
    if route.body is not None or route.query not in {NoQuery, EventsQuery}
]
"""Where there is neither a body nor a query, everything that can be sent is right. Events that are followed by mistake
are followed for ever."""
EXAMPLES = scaled(test=8, quick=150, long=2700)
SECONDS = scaled(test=30.0, quick=10.0, long=5.0)
"""An answer that takes longer is a hang; beside other tests on a busy machine more must be allowed."""

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
NAMED = {
    503: {"unavailable", "store", "damaged", "changing", "too-many-leases", "busy", "unreadable"},
    507: {"no-space"},
}
"""The errors of ours and of the store that the contract has names for; any other 5xx is a bug."""

PATHS = ("hot", "cold", "lost", "d/deep", "d", "none", "%c3%a9", "ignored.tmp", ".tierd/root-id")


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """A daemon with an asset of each kind."""
    with a_door(TIERING__INTERVAL="1s", LOG__LEVEL="info") as found:
        (found.root / "d").mkdir()
        found.drop(hot=b"hot" * 100, cold=b"cold" * 100, lost=b"lost" * 100, **{"d/deep": b"deep", "\u00e9": b"e"})
        found.wait_replicated(5)
        found.client.demote(["cold", "lost"])
        for copy in found.cold.rglob("lost*"):
            copy.unlink()
        yield found


@pytest.mark.parametrize("number", seeds(PART, 1))
@pytest.mark.parametrize(("label", "mode"), [*RIGHT, *WRONG], ids=lambda value: getattr(value, "value", value))
def test_what_comes_back_is_described(
    door: Door, label: str, mode: GenerationMode, number: int, record_property: pytest.RecordProperty
) -> None:
    """No 5xx but the named ones, no answer beside the description, none that takes too long; and it lives on."""
    done = 0
    with DoorSession(door.socket_path, seconds=SECONDS) as session:

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=OPERATIONS[label].as_strategy(generation_mode=mode), path=st.none() | st.sampled_from(PATHS))
        def exchange(case: Case, path: str | None) -> None:
            nonlocal done
            done += 1
            aim(case, path)
            if mode is GenerationMode.POSITIVE:
                aim_body(case, path)
                hurry(case)
            judge(case, session)

        exchange()
    assert door.ask("GET", "/v1/health").status == 200
    record_property("requests", done)


def aim(case: Case, path: str | None) -> None:
    """Have half of the requests be about something that is there, and none follow events for ever."""
    if path is not None and isinstance(case.path_parameters, dict) and "path" in case.path_parameters:
        case.path_parameters["path"] = path
    if case.path == "/v1/events":
        case.query = {**(case.query or {}), "follow": "false"}


def aim_body(case: Case, path: str | None) -> None:
    """Likewise for what a body names. What is wrong with a wrong one must stay so."""
    if path is not None and isinstance(case.body, dict) and isinstance(case.body.get("paths"), list):
        case.body["paths"] = [path]


def hurry(case: Case) -> None:
    """Have none wait for long by its own wish."""
    if isinstance(case.query, dict) and "wait" in case.query:
        case.query["wait"] = "0.1"
    if case.path == "/v1/drain" and isinstance(case.body, dict):
        case.body["timeout"] = 0.1


def judge(case: Case, session: DoorSession) -> None:
    """Send it, and judge what comes back."""
    response = case.call(base_url=BASE, session=session)
    if response.status_code >= 500:
        code = json.loads(response.content)["error"]["code"]
        assert code in NAMED.get(response.status_code, ()), (response.status_code, response.content)
    # A parameter without a value counts as not given: then there is nothing wrong with it.
    is_lenient = re.search("=(&|$)", str(response.request.url)) is not None
    case.validate_response(response, checks=CHECKS[:-1] if is_lenient else CHECKS)
