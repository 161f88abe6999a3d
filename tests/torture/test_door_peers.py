"""Who may do what: real users and groups at every request there is, and what strangers cause: nothing."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from door import Who, Witness, a_door, ask

from daemon.api import DESCRIPTION, ROUTES
from daemon.peers import Right

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from door import Door

    from daemon.route import Route

PART = "S4 who may do what"

READER, WRITER, ADMIN, NO_ONE = 4101, 4102, 4103, 4999
OWN_GROUP, JOINED_GROUP = 4201, 4202
ALL = (*ROUTES, DESCRIPTION)

MATRIX = {
    "listed user": (Who(READER, NO_ONE), Right.READ),
    "listed primary group": (Who(NO_ONE, OWN_GROUP), Right.READ),
    "listed joined group": (Who(NO_ONE, NO_ONE, (17, JOINED_GROUP)), Right.READ),
    "listed joined group, the last of 200": (Who(NO_ONE, NO_ONE, (*range(5000, 5199), JOINED_GROUP)), Right.READ),
    "listed to write": (Who(WRITER, NO_ONE), Right.WRITE),
    "listed to administer": (Who(ADMIN, NO_ONE), Right.ADMIN),
    "listed user in a namespace of his own": (Who(READER, NO_ONE, (), stranger=True), Right.READ),
    "root": (Who(0, 0), Right.ADMIN),
    "root's group only": (Who(NO_ONE, 0), Right.NONE),
    "unlisted": (Who(NO_ONE, NO_ONE), Right.NONE),
    "unlisted, whose group has a listed user's number": (Who(NO_ONE, READER, (ADMIN,)), Right.NONE),
    "unlisted, with a listed group's number": (Who(OWN_GROUP, NO_ONE), Right.NONE),
    "nobody": (Who(65534, 65534), Right.NONE),
    "unlisted in a namespace of his own, where he is 65534": (Who(NO_ONE, NO_ONE, (), stranger=True), Right.NONE),
}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """A daemon with lists, an asset, and nothing to do."""
    with a_door(
        API__READ=f"{READER},@{OWN_GROUP},@{JOINED_GROUP}",
        API__WRITE=str(WRITER),
        API__ADMIN=str(ADMIN),
        TIERING__INTERVAL="1d",
        LOG__LEVEL="info",
    ) as found:
        found.drop(asset=b"asset")
        found.wait_replicated(1)
        yield found


def target_of(route: Route, name: str) -> str:
    """Return a target for the route, about this asset; what would go on for ever is asked for what there is."""
    return re.sub(r"{\w+}", name, route.template).replace("/v1/events", "/v1/events?follow=false")


def knock(line: socket.socket, route: Route, name: str) -> int:
    """Ask, and return the status."""
    body = None if route.method in {"GET", "HEAD"} else {}
    return ask(line, route.method, target_of(route, name), body=body).status


def needed(route: Route) -> Right:
    """Return the right that a request needs here: presigned URLs are for writers, where nobody is named for them."""
    return Right.WRITE if route.template == "/v1/presign" else route.right


@pytest.mark.parametrize("case", MATRIX)
def test_every_request_asks_for_its_right(door: Door, case: str, record_property: pytest.RecordProperty) -> None:
    """403 exactly where the peer's right is less than the route's; whatever else is answered is about the asset."""
    who, right = MATRIX[case]
    with door.connect_as(who) as line:
        found = {(route.method, route.template): knock(line, route, "nothing") for route in ALL}
    wrong = {
        (route.method, route.template): found[route.method, route.template]
        for route in ALL
        if (found[route.method, route.template] == 403) is not (right < needed(route))
    }
    assert not wrong
    assert all(status < 500 for status in found.values()), found
    record_property("requests", len(ALL))


def test_there_is_something_to_refuse() -> None:
    """The table asks for rights of every kind, and gives away without any only what says how the daemon is."""
    assert {route.right for route in ALL} == set(Right)
    assert {route.template for route in ALL if route.right is Right.NONE} == {"/v1/health", "/metrics"}


@pytest.mark.parametrize(("connects", "status"), [(READER, 200), (NO_ONE, 403)])
def test_a_connection_has_the_right_of_who_made_it(door: Door, connects: int, status: int) -> None:
    """Root on a connection of somebody else is somebody else; who is handed one may do what its maker may."""
    with door.connect_as(Who(connects, NO_ONE)) as line:
        assert ask(line, "GET", "/v1/content/asset").status == status


def test_strangers_cause_nothing(door: Door) -> None:
    """Whoever has no right has the daemon open no file, write nothing to the index, and ask the store nothing."""
    stored, before = store_requests(door), index_bytes(door)
    refused = [route for route in ALL if route.right > Right.NONE]
    with Witness(door) as witness:
        begin = witness.mark()
        for who in (Who(NO_ONE, NO_ONE), Who(65534, 65534)):
            with door.connect_as(who) as line:
                assert {knock(line, route, "asset") for route in refused} == {403}
        end = witness.mark()
    assert witness.calls(begin, end) == []
    assert (store_requests(door), index_bytes(door)) == (stored, before)


def test_who_has_a_right_is_seen(door: Door) -> None:
    """The witness sees what a request by somebody with rights has the daemon do: else it proves nothing."""
    with Witness(door) as witness:
        begin = witness.mark()
        with door.connect_as(Who(WRITER, NO_ONE)) as line:
            assert ask(line, "PUT", "/v1/assets/asset", body={"tags": {"seen": "yes"}}).status == 200
            assert ask(line, "GET", "/v1/content/asset").status == 200
        calls = witness.calls(begin, witness.mark())
    assert any('"asset"' in call and "openat(" in call for call in calls)
    assert any("pwrite64(" in call for call in calls)


def store_requests(door: Door) -> float:
    """How often the store was asked anything."""
    return sum(value for series, value in door.series().items() if series.startswith("tierd_store_requests_total"))


def index_bytes(door: Door) -> list[str]:
    """What the index is made of."""
    parts = sorted(door.directory.glob("index.db*"))
    return [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts if not part.name.endswith("-shm")]
