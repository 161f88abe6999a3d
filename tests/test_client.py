"""The client for Python programs, against a stub."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from stub import Answer, Request, Stub, asset, error, lines

from daemon.client import Client, NotReadyError, TierdError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    """A daemon that says what it was told to say."""
    with Stub(tmp_path / "s") as server:
        yield server


@pytest.fixture
def client(stub: Stub) -> Client:
    """Its client."""
    return Client(stub.socket_path, timeout=5)


def opened(expires: float) -> Answer:
    """Answer that the asset is there."""
    return Answer(
        {
            "path": "/media/a",
            "href": "/media/%FFa%20b",
            "relative": "a",
            "state": "replicated",
            "hit": False,
            "ready": True,
            "size": 5,
            "etag": "e",
            "lease": {"id": "L1", "expires": expires},
        }
    )


def test_open_gives_the_exact_location_and_releases_the_lease(stub: Stub, client: Client) -> None:
    """Inside the block the lease is held; after it, it is released; the name is exact to the byte."""
    stub.answers["GET /v1/open/a"] = opened(time.time() + 60)
    stub.answers["DELETE /v1/leases/L1"] = Answer(status=204)
    with client.open("a", wait=7) as found:
        assert bytes(found.path) == b"/media/\xffa b"
        assert (found.state, found.hit, found.size, found.relative) == ("replicated", False, 5, "a")
        assert stub.asked() == ["GET /v1/open/a?wait=7"]
    assert stub.asked()[-1] == "DELETE /v1/leases/L1"


def test_open_renews_the_lease_while_it_is_held(stub: Stub, client: Client) -> None:
    """A lease that would end is renewed from the background, again and again."""
    renewed = threading.Semaphore(0)

    def renew(_: Request) -> Answer:
        renewed.release()
        return Answer({"id": "L1", "expires": time.time() + 0.1})

    stub.answers |= {"GET /v1/open/a": opened(time.time() + 0.1), "POST /v1/leases/L1": renew}
    with client.open("a"):
        assert renewed.acquire(timeout=10)
        assert renewed.acquire(timeout=10)


def test_open_takes_a_new_lease_from_a_daemon_that_was_started_anew(stub: Stub, client: Client) -> None:
    """Leases live in memory: one that is unknown on renewal is asked for again, and the new one is released."""
    again = threading.Event()

    def open_again(_: Request) -> Answer:
        answer = opened(time.time() + 60)
        answer.body["lease"]["id"] = "L2"
        again.set()
        return answer

    stub.answers["GET /v1/open/a"] = opened(time.time() + 0.1)
    stub.answers["GET /v1/open/a?wait=0"] = open_again
    with client.open("a"):
        assert again.wait(10)
    assert stub.asked()[-1] == "DELETE /v1/leases/L2"


def test_open_says_that_the_asset_is_not_ready(stub: Stub, client: Client) -> None:
    """An asset that is not back in time is an error that says so, with the state; there is nothing to release."""
    body = {"path": "a", "relative": "a", "state": "promoting", "hit": False, "ready": False}
    stub.answers["GET /v1/open/a"] = Answer(body, 202)
    with pytest.raises(NotReadyError, match="promoting") as caught, client.open("a", wait=0):
        pass
    assert caught.value.status == 202
    assert len(stub.requests) == 1


def test_content_comes_whole_with_what_is_known_of_it(stub: Stub, client: Client) -> None:
    """The bytes are streamed; size, entity tag, type and SHA-256 come from the headers."""
    body = bytes(range(256)) * 9000
    digest = hashlib.sha256(body)
    headers = {
        "ETag": '"tag"',
        "Content-Type": "image/png",
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
    }
    stub.answers["GET /v1/content/d/a"] = Answer(body, headers=headers)
    with client.content("d/a") as content:
        assert (content.size, content.etag, content.content_type) == (len(body), "tag", "image/png")
        assert content.sha256 == digest.hexdigest()
        assert b"".join(content) == body
    assert "Range" not in stub.requests[0].headers


@pytest.mark.parametrize(
    ("start", "length", "said"), [(0, 1, "bytes=0-0"), (5, 10, "bytes=5-14"), (7, None, "bytes=7-")]
)
def test_content_asks_for_a_part(stub: Stub, client: Client, start: int, length: int | None, said: str) -> None:
    """Start and length become a Range."""
    stub.answers["GET /v1/content/a"] = Answer(b"x", 206)
    with client.content("a", start, length) as content:
        content.read()
    assert stub.requests[0].headers["Range"] == said


def test_content_that_breaks_off_is_never_taken_for_whole(stub: Stub, client: Client) -> None:
    """A body that ends before its length is an error, however it is read."""
    stub.answers["GET /v1/content/a"] = Answer(b"12345", cut=2)
    with pytest.raises(UnreachableError, match="2 bytes before the end"), client.content("a") as content:
        content.read()


def test_assets_asks_for_page_after_page(stub: Stub, client: Client) -> None:
    """All pages are iterated; the query travels with every page, and what was not given is not sent."""
    stub.answers["GET /v1/assets"] = Answer({"assets": [asset("a"), asset("b")], "cursor": "n-1"})
    query = "limit=1000&cursor=n-1&tag.k=v+w&state=new&state=cold"
    stub.answers[f"GET /v1/assets?{query}"] = Answer({"assets": [asset("c")], "cursor": None})
    found = client.assets(state=["new", "cold"], type=None, tags={"k": "v w"})
    assert [each["path"] for each in found] == ["a", "b", "c"]
    assert stub.asked() == [
        "GET /v1/assets?limit=1000&tag.k=v+w&state=new&state=cold",
        f"GET /v1/assets?{query}",
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a b/ü.jpg", "a%20b/%C3%BC.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("q?#+&=\n", "q%3F%23%2B%26%3D%0A"),
        ("\udcff", "%FF"),
        ("back\\slash", "back%5Cslash"),
    ],
)
def test_paths_travel_exactly(stub: Stub, client: Client, path: str, said: str) -> None:
    """Whatever bytes a name has, they reach the daemon, in the target as in a body."""
    stub.answers |= {f"GET /v1/assets/{said}": Answer(asset("x")), "POST /v1/pin": Answer({"results": []})}
    client.asset(path)
    client.pin([path])
    assert stub.requests[1].body == {"paths": [said]}


def test_acts_say_what_was_asked(stub: Stub, client: Client) -> None:
    """Paths or a filter, and how, are the body; the results are the answer."""
    result = {"path": "a", "outcome": "done", "reason": "", "state": "replicated", "size": 1}
    for verb in ("promote", "demote", "pin", "unpin", "retry"):
        stub.answers[f"POST /v1/{verb}"] = Answer({"results": [result], "dry_run": False})
    assert client.promote("a", dry_run=True) == [result]
    client.demote(filter={}, wait=False)
    client.unpin(["a", "b"])
    client.retry(["a"], overwrite=True)
    assert [request.body for request in stub.requests] == [
        {"paths": ["a"], "dry_run": True},
        {"filter": {}, "wait": False},
        {"paths": ["a", "b"]},
        {"paths": ["a"], "overwrite": True},
    ]


def test_one_asset(stub: Stub, client: Client) -> None:
    """Register, describe, remove and explain are what the contract calls them."""
    for line in ("PUT /v1/assets/a", "PATCH /v1/assets/a", "DELETE /v1/assets/a", "GET /v1/explain/a"):
        stub.answers[line] = Answer(asset("a"))
    client.register("a", type="still", tags={"k": "v"})
    client.describe("a", fields={"f": "1"})
    client.remove("a")
    client.explain("a")
    assert [(request.method, request.body) for request in stub.requests] == [
        ("PUT", {"type": "still", "tags": {"k": "v"}}),
        ("PATCH", {"fields": {"f": "1"}}),
        ("DELETE", None),
        ("GET", None),
    ]


def test_events_without_heart_beats(stub: Stub, client: Client) -> None:
    """Empty lines keep the connection alive and are nobody's event."""
    stub.answers["GET /v1/events?after=3&follow=false"] = Answer(b'{"cursor": 4}\n\n\n{"cursor": 5}\n')
    assert [event["cursor"] for event in client.events(3, follow=False)] == [4, 5]


def test_events_that_should_go_on_and_end(stub: Stub, client: Client) -> None:
    """Who follows is told when the daemon goes away, rather than believing that nothing happens any more."""
    stub.answers["GET /v1/events"] = lines({"cursor": 1})
    events = client.events()
    assert next(events) == {"cursor": 1}
    with pytest.raises(UnreachableError):
        next(events)


def test_a_report_that_does_not_come(stub: Stub, client: Client) -> None:
    """A verification that breaks off is an error, not a clean result."""
    stub.answers["POST /v1/verify"] = lines({"progress": {"checked": 1}})
    with pytest.raises(UnreachableError, match="before its report"):
        list(client.verify())


def test_an_error_in_the_middle_of_lines(stub: Stub, client: Client) -> None:
    """An error that the daemon meets after it began to answer reaches the caller."""
    failure = {"error": {"code": "unavailable", "message": "no store", "hint": ""}}
    stub.answers["POST /v1/drain"] = lines({"progress": {}}, failure)
    with pytest.raises(TierdError, match="no store"):
        list(client.drain())


def test_health_is_an_answer_even_where_it_is_bad(stub: Stub, client: Client) -> None:
    """That the daemon is not well is what was asked; that we may not ask is an error."""
    stub.answers["GET /v1/health"] = Answer({"status": "failing", "reasons": ["disk"], "root": "/m"}, 503)
    assert client.health()["reasons"] == ["disk"]
    stub.answers["GET /v1/health"] = error(503, "busy")
    with pytest.raises(TierdError):
        client.health()


def test_errors_carry_all_that_was_said(stub: Stub, client: Client) -> None:
    """Code, message, hint and status of a refusal are the exception's."""
    stub.answers["GET /v1/status"] = error(409, "conflict")
    with pytest.raises(TierdError) as caught:
        client.status()
    error_ = caught.value
    assert (error_.code, error_.message, error_.hint, error_.status) == ("conflict", "it says why", "do this", 409)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b'{"error": "x"}'])
def test_nonsense_is_an_error_that_names_the_status(stub: Stub, client: Client, body: bytes) -> None:
    """Whatever answers on that socket, the caller gets a TierdError."""
    stub.answers["GET /v1/status"] = Answer(body, 500)
    with pytest.raises(TierdError, match="500"):
        client.status()


def test_nobody_answers(tmp_path: Path) -> None:
    """No socket, or one that nobody listens on, is unreachable, and says where it looked."""
    with pytest.raises(UnreachableError, match="nowhere"):
        Client(tmp_path / "nowhere").status()


def test_no_answer_in_time(stub: Stub) -> None:
    """A daemon that hangs is given up after the time-out."""
    release = threading.Event()

    def hang(_: Request) -> Answer:
        release.wait(10)
        return Answer({})

    stub.answers["GET /v1/status"] = hang
    with pytest.raises(UnreachableError, match="in time"):
        Client(stub.socket_path, timeout=0.05).status()
    release.set()
