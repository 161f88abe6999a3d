"""A bucket set up and looked at, on a server that has everything, on one that lacks much, and on some that refuse."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from certificates import make_certificates
from fault_proxy import FaultProxy

from tiering.bucket import documents, trial
from tiering.bucket.plan import Outcome
from tiering.bucket.rule import own_name
from tiering.bucket.setup import Setup
from tiering.bucket.wishes import Wishes
from tiering.store import CredentialsError, RefusedError, UnavailableError
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("credentials")
PREFIX = "studio"
USUAL = {
    "versioning": True,
    "encryption": "AES256",
    "block_public_access": True,
    "abort_uploads_after": 7,
    "transition_after": 90,
}
ALL = USUAL | {
    "cors_origins": ("https://app.example",),
    "tags": {"team": "media"},
    "accelerate": True,
    "expire_versions_after": 30,
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What closes the stores and servers of a test."""
    async with AsyncExitStack() as made:
        yield made


async def connect(
    stack: AsyncExitStack, endpoint: str, bucket: str = "", region: str = "us-east-1", prefix: str = PREFIX
) -> S3Store:
    """Open a bucket of its own, which is not there yet."""
    name = bucket or f"setup-{uuid.uuid4().hex[:8]}"
    store = await S3Store.connect(S3Settings(bucket=name, prefix=prefix, endpoint=endpoint, region=region))
    stack.push_async_callback(store.close)
    return store


def setup_of(store: S3Store, **wished: Any) -> Setup:
    """Wish this of a bucket."""
    requests = store.requests
    wishes = Wishes(bucket=requests.settings.bucket, prefix=requests.prefix, region=requests.region, **wished)
    return Setup(requests, store, wishes)


async def outcomes(setup: Setup) -> dict[str, Outcome]:
    """Return what would become of each rule."""
    return {step.rule: step.outcome for step in (await setup.survey()).steps}


async def applied(setup: Setup) -> dict[str, Outcome]:
    """Do it, and return what became of each rule."""
    return {step.rule: step.outcome async for step in setup.apply(await setup.survey())}


async def listed(store: S3Store) -> list[str]:
    """Return every object under the prefix, ours included."""
    return [info.key async for page in store.list(".tierd/") for info in page]


async def test_on_a_server_that_has_everything(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """All is planned, done, and unchanged the next time; in a region; and no trial is left."""
    store = await connect(stack, moto_endpoint, region="eu-west-1")
    setup = setup_of(store, **ALL)
    assert set((await outcomes(setup)).values()) == {Outcome.PLANNED}
    assert set((await applied(setup)).values()) == {Outcome.DONE}
    assert set((await outcomes(setup)).values()) == {Outcome.UNCHANGED}
    assert set((await applied(setup)).values()) == {Outcome.UNCHANGED}
    assert await listed(store) == []
    where = await store.requests.ask("get_bucket_location", "")
    assert where["LocationConstraint"] == "eu-west-1"


async def test_drift_is_seen_and_mended(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """What somebody changed is planned anew, and nothing else; what they added stays."""
    store = await connect(stack, moto_endpoint)
    setup = setup_of(store, **ALL)
    await applied(setup)
    ask = store.requests.ask
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
    await ask("put_bucket_lifecycle_configuration", "", LifecycleConfiguration={"Rules": [theirs]})
    await ask("put_bucket_versioning", "", VersioningConfiguration={"Status": "Suspended"})
    await ask("put_bucket_tagging", "", Tagging={"TagSet": [{"Key": "theirs", "Value": "1"}]})
    drifted = {"abort_uploads_after", "transition_after", "expire_versions_after", "versioning", "tags"}
    found = await outcomes(setup)
    assert {rule for rule, outcome in found.items() if outcome is Outcome.PLANNED} == drifted
    assert {rule for rule, outcome in (await applied(setup)).items() if outcome is Outcome.DONE} == drifted
    rules = (await documents.LIFECYCLE.read(store.requests))["Rules"]
    assert [rule["ID"] for rule in rules] == [
        "theirs",
        *(own_name(rule, f"{PREFIX}/") for rule in ALL if "after" in rule),
    ]
    assert len((await documents.TAGS.read(store.requests))["TagSet"]) == 2


async def test_on_a_server_that_lacks_much(seaweed_endpoint: str, stack: AsyncExitStack) -> None:
    """What it does not have is told rule by rule; the rest is done, and unchanged the next time."""
    store = await connect(stack, seaweed_endpoint)
    setup = setup_of(store, **ALL)
    lacking = {"block_public_access", "transition_after", "accelerate"}
    first, second = await applied(setup), await applied(setup)
    assert {rule for rule, outcome in first.items() if outcome is Outcome.UNSUPPORTED} == lacking
    assert {outcome for rule, outcome in first.items() if rule not in lacking} == {Outcome.DONE}
    assert {rule for rule, outcome in second.items() if outcome is Outcome.UNSUPPORTED} == lacking
    assert {outcome for rule, outcome in second.items() if rule not in lacking} == {Outcome.UNCHANGED}
    assert await listed(store) == []


@pytest.mark.parametrize("prefix", [PREFIX, ""], ids=["prefix", "whole bucket"])
async def test_a_policy_that_locks_us_out_is_taken_back(
    seaweed_endpoint: str, stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """Where TLS ends before the server it sees none: with the policy nothing would work, so it is gone again."""
    authority, tls = make_certificates(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    proxy = stack.enter_context(FaultProxy(seaweed_endpoint, tls=tls))
    store = await connect(stack, proxy.endpoint, prefix=prefix)
    await applied(setup_of(store, versioning=True))
    theirs = {
        "Sid": "theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{store.requests.settings.bucket}/other/*",
    }
    before = {"Version": "2012-10-17", "Statement": [theirs]}
    await documents.POLICY.write(store.requests, before)
    setup = setup_of(store, versioning=True, tls_only=True)
    steps = [step async for step in setup.apply(await setup.survey())]
    assert [step.rule for step in steps] == ["bucket", "versioning", "tls_only"]
    assert steps[-1].outcome is Outcome.FAILED
    assert steps[-1].detail.startswith("taken back, since the bucket does not serve with it: ")
    assert await documents.POLICY.read(store.requests) == before
    assert await trial.failure(store) == ""


async def test_a_policy_that_serves_stays(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """With others' statements as they were; and it goes when nobody wishes for it."""
    store = await connect(stack, moto_endpoint)
    await applied(setup_of(store))
    theirs = {
        "Sid": "theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::x",
    }
    await documents.POLICY.write(store.requests, {"Version": "2012-10-17", "Statement": [theirs]})
    # Its http would be refused by the policy itself: that is the other test's.
    rule = replace(setup_of(store, tls_only=True)._rules[-1], prefix="elsewhere/")
    amended = rule.amended(await documents.POLICY.read(store.requests))
    await documents.POLICY.write(store.requests, amended)
    found = await documents.POLICY.read(store.requests)
    assert [each["Sid"][:12] for each in found["Statement"]] == ["theirs", "TierdTlsOnly"]
    assert rule.amended(found) == found
    await documents.POLICY.write(store.requests, replace(rule, wished=False).amended(found))
    assert (await documents.POLICY.read(store.requests))["Statement"] == [theirs]


async def test_another_region(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """It is told, with the line that mends it, before anything is looked at."""
    there = await connect(stack, moto_endpoint, region="eu-west-1")
    await applied(setup_of(there))
    here = await connect(stack, moto_endpoint, bucket=there.requests.settings.bucket)
    with pytest.raises(RefusedError, match="is in eu-west-1, and not in us-east-1") as caught:
        await setup_of(here, **USUAL).survey()
    assert caught.value.hint == 'set region = "eu-west-1" in [store]'


# ---- servers that refuse -------------------------------------------------------------------------------------------


class Server:
    """An S3 server that answers 200 with nothing, unless `says` has a status and a code for the request."""

    def __init__(self, **says: tuple[int, str]) -> None:
        self.says = says
        self.written: list[str] = []
        self.body = b""

    async def start(self, stack: AsyncExitStack) -> str:
        """Return where it answers."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        server = TestServer(app)
        await server.start_server()
        stack.push_async_callback(server.close)
        return str(server.make_url("")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        kind = next((name for name in request.query if name in {"versioning", "lifecycle", "list-type"}), "")
        is_object = "/.tierd/" in request.path
        asked = "object" if is_object else f"{request.method.lower()}_{kind.replace('list-type', 'list') or 'bucket'}"
        status, code = self.says.get(asked, (200, ""))
        if status != 200:
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
            return web.Response(status=status, text=text, content_type="application/xml")
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.method == "PUT":
            self.written.append("object" if is_object else kind or "bucket")
            self.body = await request.read() if is_object else self.body
        headers = {"ETag": '"x"', "Last-Modified": "Sat, 21 Nov 2026 14:00:00 GMT"} if is_object else {}
        return web.Response(body=self.body if is_object else b"", headers=headers)


WISHED = {"versioning": True, "abort_uploads_after": 7}


async def test_a_bucket_of_somebody_else(stack: AsyncExitStack) -> None:
    """One that may not be looked at, and one whose name is taken: nothing is written to either."""
    server = Server(head_bucket=(403, ""), get_list=(403, "AccessDenied"))
    store = await connect(stack, await server.start(stack))
    with pytest.raises(RefusedError, match="somebody else's, or may not be looked at"):
        await setup_of(store, **WISHED).survey()
    server.says = {"head_bucket": (404, ""), "put_bucket": (409, "BucketAlreadyExists")}
    setup = setup_of(store, **WISHED)
    with pytest.raises(RefusedError, match="is somebody else's"):
        await applied(setup)
    server.says = {"head_bucket": (404, ""), "put_bucket": (403, "AccessDenied")}
    with pytest.raises(RefusedError, match="may not be made") as caught:
        await applied(setup)
    assert "s3:CreateBucket" in caught.value.hint
    assert server.written == []


async def test_credentials_that_are_wrong(stack: AsyncExitStack) -> None:
    """The answer to a HEAD has no words: it is asked whose fault it is, and their source is named."""
    server = Server(head_bucket=(403, ""), get_list=(403, "SignatureDoesNotMatch"))
    store = await connect(stack, await server.start(stack))
    with pytest.raises(CredentialsError) as caught:
        await setup_of(store).survey()
    assert "the environment (AWS_ACCESS_KEY_ID)" in caught.value.hint


async def test_a_name_that_s3_would_refuse(stack: AsyncExitStack) -> None:
    """Nobody is asked to make it."""
    server = Server(head_bucket=(404, ""))
    store = await connect(stack, await server.start(stack), bucket="My_bucket")
    with pytest.raises(RefusedError, match="lower-case letters"):
        await setup_of(store).survey()
    assert server.written == []


async def test_a_server_that_is_ill(stack: AsyncExitStack) -> None:
    """A 500 says nothing about the bucket: it is neither missing nor somebody else's."""
    server = Server(head_bucket=(500, ""))
    store = await connect(stack, await server.start(stack))
    with pytest.raises(UnavailableError):
        await setup_of(store).survey()


async def test_what_may_not_be_read_or_written(stack: AsyncExitStack) -> None:
    """Each is told with the action that is wanting, and the other rules are done."""
    server = Server(get_versioning=(403, "AccessDenied"), put_lifecycle=(403, "AccessDenied"))
    server.says["get_lifecycle"] = (404, "NoSuchLifecycleConfiguration")
    store = await connect(stack, await server.start(stack))
    setup = setup_of(store, **WISHED)
    steps = {step.rule: step async for step in setup.apply(await setup.survey())}
    assert {rule: step.outcome for rule, step in steps.items()} == {
        "bucket": Outcome.UNCHANGED,
        "versioning": Outcome.DENIED,
        "abort_uploads_after": Outcome.DENIED,
    }
    assert steps["versioning"].detail.startswith("s3:GetBucketVersioning is not allowed")
    assert steps["abort_uploads_after"].detail.startswith("s3:PutLifecycleConfiguration is not allowed")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ((501, "NotImplemented"), Outcome.UNSUPPORTED),
        ((405, "MethodNotAllowed"), Outcome.UNSUPPORTED),
        ((409, "BucketAlreadyOwnedByYou"), Outcome.UNSUPPORTED),
        ((400, "NotImplemented"), Outcome.UNSUPPORTED),
        ((409, "OperationAborted"), Outcome.FAILED),
        ((400, "MalformedXML"), Outcome.FAILED),
        ((503, "SlowDown"), Outcome.FAILED),
    ],
)
async def test_what_a_store_does_not_have(stack: AsyncExitStack, said: tuple[int, str], outcome: Outcome) -> None:
    """A refusal of the kind is no failure; a real conflict and a bad moment are."""
    server = Server(put_versioning=said)
    store = await connect(stack, await server.start(stack))
    assert (await applied(setup_of(store, versioning=True)))["versioning"] is outcome


async def test_a_bad_moment_between_two_rules(stack: AsyncExitStack) -> None:
    """It is that rule's failure, and is told beside what was done."""
    server = Server(put_versioning=(503, "SlowDown"), get_lifecycle=(404, "NoSuchLifecycleConfiguration"))
    store = await connect(stack, await server.start(stack))
    setup = setup_of(store, **WISHED)
    survey = await setup.survey()
    server.says["get_lifecycle"] = (503, "SlowDown")
    steps = {step.rule: step.outcome async for step in setup.apply(survey)}
    assert steps == {
        "bucket": Outcome.UNCHANGED,
        "versioning": Outcome.FAILED,
        "abort_uploads_after": Outcome.FAILED,
    }


async def test_what_a_store_takes_and_does_not_keep(stack: AsyncExitStack) -> None:
    """A 200 is believed when what was written is there."""
    store = await connect(stack, await Server().start(stack))
    setup = setup_of(store, versioning=True)
    steps = [step async for step in setup.apply(await setup.survey())]
    assert steps[-1].outcome is Outcome.UNSUPPORTED
    assert steps[-1].detail.endswith("the store took this, and does not have it")


async def test_a_bucket_that_takes_no_object(stack: AsyncExitStack) -> None:
    """Nothing is set up that could not be seen to serve."""
    server = Server(object=(403, "AccessDenied"))
    store = await connect(stack, await server.start(stack))
    with pytest.raises(RefusedError, match="no object can be written, read and removed"):
        await applied(setup_of(store, **WISHED))
    assert server.written == []


async def test_a_document_that_cannot_be_read_is_not_written_over(stack: AsyncExitStack) -> None:
    """Weather while the rules of others are read: nothing is known of them, so nothing is written."""
    server = Server(get_lifecycle=(503, "SlowDown"))
    store = await connect(stack, await server.start(stack))
    with pytest.raises(UnavailableError):
        await applied(setup_of(store, **WISHED))
    assert server.written == []
