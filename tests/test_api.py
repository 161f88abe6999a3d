"""Every request of the contract but content, over a real socket, against tiers in memory."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fake_tiers import NOW, a_proof, an_asset, status
from talking import request, serve, until

from daemon import models, models_chores, models_state
from index.asset import Failure
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import State
from index.listing import Key, Order, Query
from tiering.answers import BrakeState, ColdTier, Disk
from tiering.leases import TooManyLeasesError
from tiering.outcome import ConflictError, DamagedError, IgnoredError, NoSpaceError
from tiering.store import RefusedError, ThrottledError, UnavailableError
from tiering.tree import BusyError, DiskFullError, MissingError, NotRegularError, UnreadableError
from tiering.vocabulary import MeaningError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from talking import Answer, Served

ODD = "d/\udcff%+#?\n\u00e4"
ODD_HREF = "d/%FF%25%2B%23%3F%0A%C3%A4"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server on empty tiers."""
    async with serve(tmp_path) as found:
        yield found


def as_promised(model: type[models.Model], answer: Answer) -> Any:
    """The answer's JSON, which must be what its model says, no field more or less."""
    assert answer.headers["Content-Type"] == "application/json"
    found = model.model_validate_json(answer.body)
    assert found.model_dump(mode="json") == answer.json
    return answer.json


async def test_an_asset_is_shown_as_the_contract_says(served: Served) -> None:
    """Every field is there; the key is the whole one, with the store's prefix, and the URL leads to it."""
    failure = Failure("unavailable", "later", 3, NOW + 5)
    served.tiers.catalog.assets[ODD] = replace(
        served.tiers.add_hot(ODD, b"abc"), proof=a_proof(b"abc"), failure=failure
    )
    shown = as_promised(models.Asset, await served.get(f"/v1/assets/{ODD_HREF}"))
    assert shown["path"] == "d/\ufffd%+#?\n\u00e4"
    assert shown["href"] == ODD_HREF
    assert (shown["key"], shown["url"]) == ("pre/pics/key.png", "s3://bucket/pre/pics/key.png")
    assert shown["digest"] == f"sha256:{shown['etag']}"
    assert (shown["size"], shown["mtime"], shown["failure"]["retry_at"]) == (3, 1.7e9, NOW + 5)
    assert shown["proof"]["mtime"] == 1.7e9


async def test_an_asset_without_anything_is_shown(served: Served) -> None:
    """What is not known is null."""
    served.tiers.catalog.assets["a"] = an_asset("a", type=None, fields={}, tags={}, content_type=None)
    shown = as_promised(models.Asset, await served.get("/v1/assets/a"))
    assert {name for name, value in shown.items() if value is None} == {
        "key", "url", "url_expires", "mtime", "content_type", "digest", "type", "heat", "proof", "failure",
    }  # fmt: skip


async def test_stats_count_what_is_alike(served: Served) -> None:
    """By each of four, and what keeping it costs in each storage class."""
    served.tiers.catalog.assets |= {
        "a": an_asset("a", type="product", tags={"campaign": "x"}, state=State.REPLICATED),
        "b": an_asset("b", type=None, tags={}, state=State.REPLICATED),
    }
    size = served.tiers.catalog.assets["a"].size
    archived = {"assets": 1, "bytes": size, "archived": 1}
    served.tiers.catalog.assets["c"] = an_asset("c", type="new", state=State.NEW)
    shown = as_promised(models_state.Stats, await served.get("/v1/stats"))
    assert shown["types"] == {"": archived, "new": archived | {"archived": 0}, "product": archived}
    assert (shown["campaigns"].keys(), shown["media_types"].keys()) == ({"", "x"}, {"image"})
    del served.tiers.catalog.assets["c"]
    shown = as_promised(models_state.Stats, await served.get("/v1/stats"))
    assert (shown["cost"]["stored_bytes"], shown["cost"]["storage_class"]) == (2 * size, "STANDARD")
    assert shown["cost"]["month"]["STANDARD"] == pytest.approx(2 * size / 2**30 * 0.023)


async def test_a_list_is_paged_and_filtered(served: Served) -> None:
    """The index is asked for exactly what the query says, and its cursor goes back and forth."""
    for name in "abc":
        served.tiers.add_hot(name, b"x")
    page = as_promised(models.AssetPage, await served.get("/v1/assets?limit=2"))
    assert [asset["path"] for asset in page["assets"]] == ["a", "b"]
    rest = as_promised(models.AssetPage, await served.get(f"/v1/assets?limit=2&cursor={page['cursor']}"))
    assert ([asset["path"] for asset in rest["assets"]], rest["cursor"]) == (["c"], None)
    await served.get("/v1/assets?state=new&state=cold&type=t&q=%C3%A4&field.k=v&tag.a.b=c&pinned=true")
    query, limit, cursor = served.tiers.catalog.asked[-1]
    assert (tuple(query.states), query.type, query.text, query.pinned) == ((State.NEW, State.COLD), "t", "ä", True)
    assert (query.fields, query.tags, limit, cursor) == ({"k": "v"}, {"a.b": "c"}, 100, None)
    await served.get("/v1/assets?campaign=x&min_size=1&max_size=2&modified_after=3&modified_before=4.5&sort=-mtime")
    query, *_ = served.tiers.catalog.asked[-1]
    assert query == Query(campaign="x", min_size=1, max_size=2, modified_after=3.0, modified_before=4.5)
    assert served.tiers.catalog.orders[-1] == Order(Key.MTIME, descending=True)
    await served.get("/v1/assets?accessed_after=5&accessed_before=6")
    assert served.tiers.catalog.asked[-1][0] == Query(accessed_after=5.0, accessed_before=6.0)
    assert served.tiers.catalog.orders[-1] == Order()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("state=lost", "state"),
        ("cursor=a%20b", "cursor"),
        ("cursor=wrong", "cursor"),
        ("colour=red", "colour"),
        ("fields=x", "fields"),
        ("limit=1&limit=2", "limit"),
        ("sort=colour", "sort"),
        ("min_size=-1", "min_size"),
        ("max_size=1GB", "max_size"),
        ("modified_before=yesterday", "modified_before"),
        ("accessed_after=nan", "accessed_after"),
    ],
)
async def test_a_wrong_query_is_named(served: Served, query: str, name: str) -> None:
    """400, and the message says which parameter."""
    answer = await served.get(f"/v1/assets?{query}")
    assert answer.status == 400
    assert name in answer.json["error"]["message"]


@pytest.mark.parametrize("target", ["/v1/assets/a/../b", "/v1/open//a", "/v1/content/a//b", "/v1/explain/%zz"])
async def test_a_path_is_taken_to_the_byte(served: Served, target: str) -> None:
    """No library folds a path before it is judged."""
    answer = await served.get(target)
    assert (answer.status, answer.code) == (400, "bad-path")
    assert served.tiers.calls == []


async def test_an_encoded_slash_is_a_slash(served: Served) -> None:
    """A file's name has no slash in it, so %2F can mean but one thing."""
    served.tiers.add_hot("a/b", b"x")
    assert (await served.get("/v1/assets/a%2fb")).json["href"] == "a/b"
    assert (await served.get("http://x/v1/assets/a/b")).status == 200


async def test_registering_says_what_an_application_knows(served: Served) -> None:
    """PUT leaves alone what is not given; no body at all is fine."""
    served.tiers.add_hot("a", b"x")
    as_promised(models.Asset, await served.ask("PUT", "/v1/assets/a"))
    assert served.tiers.given[-1] == {"path": "a", "type": None, "fields": None, "tags": None}
    told = {"type": "clip", "tags": {"k": "v"}}
    shown = as_promised(models.Asset, await served.ask("PUT", "/v1/assets/a", body=told))
    assert (shown["type"], shown["tags"], shown["fields"]) == ("clip", {"k": "v"}, {"reel": "1"})


async def test_a_patch_is_merged(served: Served) -> None:
    """What is left out stays, null removes, what is given replaces."""
    served.tiers.add_hot("a", b"x")
    shown = (await served.ask("PATCH", "/v1/assets/a", body={"fields": {"take": "2"}})).json
    assert (shown["type"], shown["fields"], shown["tags"]) == ("photo", {"reel": "1", "take": "2"}, {"mood": "calm"})
    shown = (
        await served.ask("PATCH", "/v1/assets/a", body={"type": None, "fields": {"reel": None}, "tags": None})
    ).json
    assert (shown["type"], shown["fields"], shown["tags"]) == (None, {"take": "2"}, {})


async def test_deleting_answers_what_is_left(served: Served) -> None:
    """The tombstone is shown."""
    served.tiers.add_hot("a", b"x")
    assert as_promised(models.Asset, await served.ask("DELETE", "/v1/assets/a"))["state"] == "gone"


async def test_an_explanation(served: Served) -> None:
    """Rank, next and reasons as the tiers say."""
    served.tiers.catalog.assets["a"] = replace(served.tiers.add_hot("a", b"x"), proof=a_proof(b"x"))
    shown = as_promised(models.Explanation, await served.get("/v1/explain/a"))
    assert (shown["rank"], shown["next"], shown["reasons"]) == (3, "stays", ["it was used a minute ago"])


async def test_opening_what_is_hot(served: Served) -> None:
    """The exact place on disk, with a lease that can be renewed and released once."""
    served.tiers.add_hot(ODD, b"abc")
    opened = as_promised(models.Opened, await served.get(f"/v1/open/{ODD_HREF}"))
    assert opened["href"] == f"{served.tiers.root}/{ODD_HREF}"
    assert (opened["hit"], opened["size"], opened["state"]) == (True, 3, "replicated")
    assert served.tiers.given[-1]["wait"] == 30.0
    lease = f"/v1/leases/{opened['lease']['id']}"
    assert as_promised(models.Lease, await served.ask("POST", lease)) == opened["lease"]
    assert (await served.ask("DELETE", lease)).status == 204
    for method in ("POST", "DELETE"):
        answer = await served.ask(method, lease)
        assert (answer.status, answer.code) == (404, "unknown-lease")
    assert served.observer.seen == [("hit", 3)]


async def test_opening_what_is_not_ready(served: Served) -> None:
    """202, when to ask again, and no lease; a miss that brought nothing."""
    served.tiers.add_cold("a", b"abc")
    answer = await served.get("/v1/open/a?wait=0.5")
    assert (answer.status, answer.headers["Retry-After"]) == (202, "1")
    assert as_promised(models.Pending, answer)["state"] == "cold"
    assert served.tiers.given[-1]["wait"] == 0.5
    assert served.observer.seen == [("miss", 0)]


@pytest.mark.parametrize("wait", ["-1", "3601", "nan", "inf", "soon"])
async def test_a_wait_is_a_number_of_seconds(served: Served, wait: str) -> None:
    """Nothing waits for ever, or for nonsense."""
    answer = await served.get(f"/v1/open/a?wait={wait}")
    assert (answer.status, answer.code) == (400, "bad-input")
    assert served.observer.seen == [("error", 0)]


@pytest.mark.parametrize("name", ["promote", "demote", "pin", "unpin", "retry"])
async def test_a_command_by_paths(served: Served, name: str) -> None:
    """One result a path, in order; what is unknown is a result too."""
    served.tiers.add_hot("a b", b"xy")
    body = {"paths": ["a%20b", "\udcff"], "wait": False}
    shown = as_promised(models.Results, await served.ask("POST", f"/v1/{name}", body=body))
    known, unknown = shown["results"]
    assert known == {**known, "path": "a b", "href": "a%20b", "outcome": "done", "state": "replicated", "size": 2}
    assert unknown == {**unknown, "path": "\ufffd", "href": "%FF", "outcome": "unknown", "state": None, "size": 0}
    assert (known["reason"], unknown["reason"]) == ("", "there is no such asset")
    assert shown["dry_run"] is False
    assert served.tiers.calls == [name]
    given = served.tiers.given[-1]
    assert (given["selection"].paths, given["dry_run"], given["wait"]) == (("a b", "\udcff"), False, False)
    assert given.get("overwrite", False) is False


async def test_a_command_by_filter(served: Served) -> None:
    """An empty filter means all; a plan changes nothing."""
    served.tiers.add_hot("a", b"x")
    shown = (await served.ask("POST", "/v1/demote", body={"filter": {}, "dry_run": True})).json
    assert (shown["dry_run"], [result["outcome"] for result in shown["results"]]) == (True, ["planned"])
    assert served.tiers.given[-1]["wait"] is True
    chosen = {"state": ["cold"], "type": "t", "q": "x", "fields": {"a": "b"}, "tags": {"c": "d"}, "pinned": False}
    await served.ask("POST", "/v1/retry", body={"filter": chosen, "overwrite": True})
    query = served.tiers.given[-1]["selection"].query
    assert (tuple(query.states), query.type, query.text, query.pinned) == ((State.COLD,), "t", "x", False)
    assert (query.fields, query.tags, served.tiers.given[-1]["overwrite"]) == ({"a": "b"}, {"c": "d"}, True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "exactly one"),
        (b"{}", "exactly one"),
        (b'{"paths": ["a"], "filter": {}}', "exactly one"),
        (b'{"paths": []}', "paths"),
        (b'{"paths": [1]}', "paths.0"),
        (b'{"paths": ["../a"]}', "not a path"),
        (b'{"paths": ["a"], "dry_run": "no"}', "dry_run"),
        (b'{"paths": ["a"], "overwrite": true}', "overwrite"),
        (b'{"filter": {"colour": "red"}}', "filter.colour"),
        (b'{"filter": {"state": ["lost"]}}', "filter.state.0"),
        (b"[]", "the body"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
async def test_a_wrong_body_is_named(served: Served, body: bytes, said: str) -> None:
    """400, the message says which field, and nothing is asked of the tiers."""
    answer = await served.ask("POST", "/v1/promote", raw_body=body)
    assert answer.status == 400
    assert said in answer.json["error"]["message"]
    assert served.tiers.calls == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UnknownAssetError("no asset 'a'"), 404, "unknown-asset"),
        (ConflictError("busy", hint="wait"), 409, "conflict"),
        (IgnoredError("ignored"), 409, "ignored"),
        (MeaningError("season"), 400, "bad-metadata"),
        (StaleTransitionError("moved"), 409, "conflict"),
        (NotRegularError("a", "a FIFO"), 409, "not-regular"),
        (MissingError("a", "gone"), 404, "unknown-asset"),
        (UnavailableError("time-out"), 503, "unavailable"),
        (ThrottledError("slow down"), 503, "throttled"),
        (RefusedError("no such bucket", hint="make it"), 503, "refused"),
        (DamagedError("wrong"), 503, "damaged"),
        (BusyError("a", "written"), 503, "changing"),
        (UnreadableError("a", "EIO"), 503, "unreadable"),
        (TooManyLeasesError("too many"), 503, "too-many-leases"),
        (NoSpaceError("no room"), 507, "no-space"),
        (DiskFullError("a", "ENOSPC"), 507, "no-space"),
    ],
)
async def test_each_failure_has_its_status(served: Served, error: Exception, code: int, said: str) -> None:
    """What went wrong decides the answer; whatever waiting can mend says when to come again."""
    served.tiers.fail = error
    answer = await served.get("/v1/assets/a")
    assert (answer.status, answer.code, answer.json["error"]["message"]) == (code, said, str(error))
    assert answer.json["error"]["hint"] == (getattr(error, "hint", "") or answer.json["error"]["hint"])
    comes_again = isinstance(error, UnavailableError | TooManyLeasesError | BusyError)
    assert ("Retry-After" in answer.headers) is comes_again


async def test_a_bug_is_answered_and_logged_once(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """500 with a name that the log knows, with the traceback, and nothing of the bug in the answer."""
    served.tiers.fail = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR):
        answer = await served.get("/v1/assets/a")
    assert (answer.status, answer.code) == (500, "internal")
    assert "secret" not in answer.body.decode()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.args == (answer.headers["X-Request-Id"],)
    assert answer.headers["X-Request-Id"] in answer.json["error"]["message"]
    served.tiers.fail = None
    assert (await served.get("/v1/health")).status == 200


@pytest.mark.parametrize("target", ["/v1/health", "/v1/content/a", "/v1/content/c", "/v1/events?follow=false", "/no"])
async def test_every_answer_names_its_request(served: Served, target: str) -> None:
    """Whole, as it comes, or an error: as the client named it, else each by a name of its own."""
    served.tiers.add_hot("a", b"x")
    served.tiers.add_cold("c", b"y")
    named = await served.get(target, X_Request_Id="shop-7.a:1")
    assert named.headers["X-Request-Id"] == "shop-7.a:1"
    line = await served.connect()
    ours = set()
    for _ in range(2):
        await line.send(request("GET", target))
        ours.add((await line.answer()).headers["X-Request-Id"])
    assert len(ours) == 2
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", each) for each in ours)


@pytest.mark.parametrize("given", ["", "a b", "-x", "x" * 65, "a\x1b[2J", "\xff", "a,b"])
async def test_a_strange_name_of_a_request_is_not_taken(served: Served, given: str) -> None:
    """It would go into logs and headers; we give another instead."""
    answer = await served.get("/v1/health", X_Request_Id=given)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", answer.headers["X-Request-Id"])


async def test_what_is_not_there_is_said(served: Served) -> None:
    """404 for targets that nobody has, 405 with what is allowed for methods."""
    for target in ("/", "/v1", "/v1/", "/v1/nothing", "/v1/assets2/a", "/metrics/", "/v1/health/", "//v1/health"):
        answer = await served.get(target)
        assert (answer.status, answer.code) == (404, "no-such-request"), target
    answer = await served.ask("POST", "/v1/assets/a")
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "bad-method", "DELETE, GET, PATCH, PUT")


async def test_status_has_everything(served: Served) -> None:
    """Every state, and the rates of the observer."""
    shown = as_promised(models_state.Status, await served.get("/v1/status"))
    assert shown["assets"] == dict.fromkeys(State, 0) | {"replicated": 2, "cold": 1}
    assert shown["store"]["capabilities"] == {"conditional": True}
    assert shown["rates"] == {
        "upload_bytes_per_second": 0.0,
        "hit_ratio": 0.0,
        "hit_ratios": {"5m": None, "1h": None, "24h": None},
    }


@pytest.mark.parametrize(
    ("what", "code", "word"),
    [
        ({}, 200, "ok"),
        ({"store": ColdTier(url="s3://b", reachable=False, reason="time-out")}, 200, "degraded"),
        ({"brake": BrakeState(engaged=True, reason="12 files vanished")}, 200, "degraded"),
        ({"disk": Disk(total=1, free=0, used=1, limit=1, high=0.9, low=0.8, full=True)}, 200, "degraded"),
        ({"assets": {State.STUCK: 1}}, 200, "degraded"),
        ({"unwatched": "d"}, 200, "degraded"),
        ({"assets": {State.DAMAGED: 1}}, 200, "degraded"),
        ({"faults": ("the cache root is gone",)}, 503, "failing"),
    ],
)
async def test_health_is_about_hot_bytes(served: Served, what: dict[str, Any], code: int, word: str) -> None:
    """Only what keeps hot bytes from being served is a 503; all else is a reason."""
    served.tiers.now = status(**what)
    answer = await served.get("/v1/health")
    shown = as_promised(models_state.Health, answer)
    assert (answer.status, shown["status"], len(shown["reasons"])) == (code, word, 0 if word == "ok" else 1)
    assert (shown["root"], shown["version"]) == (str(served.tiers.root), "1.2.3")


async def test_events_that_were_are_listed(served: Served) -> None:
    """From a cursor on, exact names included, and then the end if nobody follows."""
    asset = served.tiers.add_hot(ODD, b"x")
    for _ in range(3):
        served.tiers.catalog.happen(asset)
    answer = await served.get("/v1/events?follow=false&after=1")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [line["cursor"] for line in answer.lines] == [2, 3]
    assert {line["href"] for line in answer.lines} == {ODD_HREF}
    for line in answer.body.splitlines():
        assert models.Change.model_validate_json(line)
    assert len((await served.get("/v1/events?follow=false")).lines) == 3


async def test_many_events_come_whole(served: Served) -> None:
    """More than fit one batch: none twice, none left out."""
    asset = served.tiers.add_hot("a", b"x")
    for _ in range(1203):
        served.tiers.catalog.happen(asset)
    answer = await served.get("/v1/events?follow=false")
    assert [line["cursor"] for line in answer.lines] == list(range(1, 1204))


async def test_events_are_followed_until_the_server_stops(served: Served) -> None:
    """What happens is told at once; at the end the answer ends whole, and no client holds up the stop."""
    asset = served.tiers.add_hot("a", b"x")
    line = await served.connect()
    await line.send(request("GET", "/v1/events"))
    assert (await line.head())[0] == 200
    for cursor in (1, 2):
        served.tiers.catalog.happen(asset)
        assert b'"cursor":%d,' % cursor in await line.chunk()
    async with asyncio.timeout(1):
        await served.server.stop()
    while await line.chunk():
        pass
    assert await line.is_closed()


async def test_silence_is_broken_by_empty_lines(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower can tell that nothing happens from a connection that is dead."""
    monkeypatch.setattr("daemon.api_events.BEAT_SECONDS", 0.01)
    line = await served.connect()
    await line.send(request("GET", "/v1/events"))
    await line.head()
    assert await line.chunk() == b"\n"
    assert await line.chunk() == b"\n"


async def test_a_follower_who_leaves_is_forgotten(served: Served) -> None:
    """Nothing goes on waiting for a client that has gone."""
    line = await served.connect()
    await line.send(request("GET", "/v1/events"))
    await line.head()
    await until(lambda: served.service.followers._waits)
    line.close()
    await until(lambda: not served.service.followers._waits)


async def test_a_cursor_that_is_not_kept_is_refused(served: Served) -> None:
    """Events are never skipped silently: not the pruned ones, and not those of an index that was rebuilt."""
    asset = served.tiers.add_hot("a", b"x")
    for _ in range(9):
        served.tiers.catalog.happen(asset)
    served.tiers.catalog.records = served.tiers.catalog.records[4:]
    served.tiers.catalog.oldest = 5
    for after, code in ((0, 200), (3, 410), (4, 200), (9, 200), (10, 410)):
        answer = await served.get(f"/v1/events?follow=false&after={after}")
        assert answer.status == code, after
        if code == 410:
            assert answer.code == "cursor-expired"
    assert (await served.get("/v1/events?after=-1")).status == 400


async def test_a_verification_tells_line_by_line(served: Served) -> None:
    """Progress, then the report, in the models' shapes."""
    answer = await served.ask("POST", "/v1/verify", body={"deep": True})
    assert served.tiers.given == [{"deep": True}]
    for line in answer.body.splitlines():
        assert models_chores.VerifyLine.model_validate_json(line)
    difference = {"path": "a\ufffd", "href": "a%FF", "kind": "missing", "detail": "no such object"}
    report = {"checked": 2, "bytes": 20, "files": 1, "objects": 3, "counts": {"missing": 1}, "ok": False}
    report |= {"differences": [difference], "superseded_count": 1, "superseded": ["old"]}
    progress = {"checked": 1, "total": 2, "bytes": 10, "files": 0, "objects": 0}
    assert answer.lines == [{"progress": progress}, {"report": report}]


async def test_a_verification_that_breaks_says_so_last(served: Served) -> None:
    """At once: a plain error. Midway: the last line is the error."""
    served.tiers.break_error = UnavailableError("the store went away")
    answer = await served.ask("POST", "/v1/verify")
    assert (answer.status, answer.lines[-1]["error"]["code"]) == (200, "unavailable")
    assert models_chores.VerifyLine.model_validate(answer.lines[-1])
    served.tiers.fail = UnavailableError("the store is away")
    assert (await served.ask("POST", "/v1/verify")).status == 503


async def test_a_drain_tells_line_by_line(served: Served) -> None:
    """Progress, then the report."""
    answer = await served.ask("POST", "/v1/drain", body={"wait": False, "timeout": 2})
    assert served.tiers.given == [{"wait": False, "timeout": 2.0}]
    for line in answer.body.splitlines():
        assert models_chores.DrainLine.model_validate_json(line)
    report = {"done": True, "unprotected": 0, "unprotected_bytes": 0, "stuck": ["s\ufffd"], "outside": 0}
    assert answer.lines[-1] == {"report": report}


async def test_a_migration_tells_line_by_line(served: Served) -> None:
    """A plan, a run, or what was broken off; and how far it is."""
    for body, given in (
        ({"dry_run": True, "target": "creative"}, {"layouts": (None, "creative"), "prune": False}),
        ({"source": "mirror", "prune": True}, {"layouts": ("mirror", None), "prune": True}),
        ({"resume": True}, {}),
    ):
        answer = await served.ask("POST", "/v1/migrate", body=body)
        assert served.tiers.given[-1] == given
        for line in answer.body.splitlines():
            assert models_chores.MigrationLine.model_validate_json(line)
        assert answer.lines[-1]["report"]["failures"][0]["path"] == "a\ufffd"
    assert (await served.ask("POST", "/v1/migrate", body={"resume": True, "prune": True})).status == 400
    assert (await served.ask("POST", "/v1/migrate", body={"source": "nonsense"})).status == 400
    assert models_chores.MigrationStatus.model_validate((await served.get("/v1/migrate")).json).left == 1


async def test_a_discovery_tells_line_by_line(served: Served) -> None:
    """Progress, then what the index lacks."""
    answer = await served.ask("POST", "/v1/discover", body={"sync": True})
    assert served.tiers.given == [{"sync": True, "foreign": False}]
    found = [models_chores.DiscoveryLine.model_validate_json(line) for line in answer.body.splitlines()]
    assert found[-1].report is not None
    assert [stray.path for stray in found[-1].report.lacking + found[-1].report.foreign] == ["a\ufffd", None]


async def test_who_holds_a_content_is_asked_by_one_digest(served: Served) -> None:
    """Both, neither, or one that is none, are refused."""
    served.tiers.add_cold("cold.jpg", b"content")
    proof = served.tiers.catalog.assets["cold.jpg"].proof
    assert proof is not None
    for query in (f"sha256={proof.sha256}", f"md5={proof.etag}"):
        answer = await served.get(f"/v1/holders?{query}")
        assert models.Holders.model_validate(answer.json).assets
    for wrong in ("", "?sha256=zz", f"?sha256={'0' * 64}&md5={'0' * 32}"):
        assert (await served.get(f"/v1/holders{wrong}")).status == 400


async def test_what_retention_is_to_remove(served: Served) -> None:
    """One line an asset, as far ahead as is asked for."""
    answer = await served.get("/v1/retention?within=60")
    assert served.tiers.given == [{"within": 60.0}]
    assert [models_state.Going.model_validate_json(line).marked for line in answer.body.splitlines()] == [True, False]
    assert answer.lines[0]["at"] == NOW + 60
    assert answer.lines[1]["href"] == "s%FF"
    assert (await served.get("/v1/retention?within=-1")).code == "bad-input"


async def test_resuming_wants_to_be_confirmed(served: Served) -> None:
    """Releasing the brake takes missing files for removed: never by a slip."""
    served.tiers.now = status(brake=BrakeState(engaged=True, reason="12 files vanished", since=NOW, missing=12))
    answer = await served.ask("POST", "/v1/resume")
    assert (answer.status, answer.code, served.tiers.calls) == (409, "conflict", ["status"])
    answer = await served.ask("POST", "/v1/resume", body={"confirm": True})
    assert as_promised(models_chores.Released, answer) == {"released": True, "reason": "12 files vanished"}
    assert "release" in served.tiers.calls


async def test_a_brake_that_holds_on_is_told(served: Served) -> None:
    """A root whose marker cannot be written is still in doubt, whoever confirmed what."""
    served.tiers.now = status(brake=BrakeState(engaged=True, reason="its marker cannot be read", since=NOW))
    served.tiers.marker_fault = "its marker cannot be read"
    answer = await served.ask("POST", "/v1/resume", body={"confirm": True})
    assert (answer.status, answer.code) == (409, "conflict")
    assert "its marker cannot be read" in answer.body.decode()


async def test_a_client_that_leaves_frees_what_waits_for_it(served: Served) -> None:
    """An open that nobody waits for any more is given up, and counted once, as the miss that it was."""
    served.tiers.gate = asyncio.Event()
    line = await served.connect()
    await line.send(request("GET", "/v1/open/a"))
    await until(lambda: served.tiers.calls)
    line.close()
    await until(lambda: served.observer.seen)
    assert served.observer.seen == [("miss", 0)]


async def test_metrics_and_description_are_on_the_socket(served: Served) -> None:
    """Prometheus' text format, and the description of everything."""
    metrics = await served.get("/metrics")
    assert metrics.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"tierd_requests_total" in metrics.body
    assert (await served.get("/v1/openapi.json")).json["openapi"].startswith("3.1")


async def test_tcp_has_metrics_and_health_only(tmp_path: Path) -> None:
    """Whoever reaches the port learns how the daemon is, and nothing of any asset."""
    async with serve(tmp_path, tcp=True) as served:
        assert served.server.port is not None
        for target, expected in (
            ("/metrics", 200),
            ("/v1/health", 200),
            ("/v1/status", 404),
            ("/v1/assets", 404),
            ("/v1/open/a", 404),
            ("/v1/openapi.json", 404),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
            writer.write(request("GET", target, {"Connection": "close"}))
            head = await reader.readuntil(b"\r\n")
            assert int(head.split()[1]) == expected, target
            await reader.read()
            writer.close()
        assert served.tiers.calls == ["status", "status"]


async def test_each_request_is_a_line_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """At debug, once, with who asked; otherwise nothing."""
    await served.get("/v1/health")
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, logger="daemon"):
        await served.get("/v1/health")
    (record,) = caplog.records
    assert "GET /v1/health -> 200 (uid " in record.getMessage()


async def test_the_doctor_is_called(served: Served) -> None:
    """Everything that was found, and whether anything failed."""
    answer = await served.ask("POST", "/v1/doctor")
    found = {"check": "store", "verdict": "failed", "message": "no answer", "remedy": "start it"}
    assert as_promised(models_chores.Examination, answer) == {"findings": [found], "ok": False}
