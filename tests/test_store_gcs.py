"""What is particular to Google Cloud Storage: what its refusals mean, who we are, and objects of many parts."""

from __future__ import annotations

import hashlib
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from emulators import BUCKET
from yarl import URL

from tiering.probe import probe
from tiering.store import (
    Absent,
    Attributes,
    CorruptError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores import gcs_parts
from tiering.stores.gcs import GcsStore
from tiering.stores.gcs_credentials import Tokens
from tiering.stores.gcs_dialect import DoubtfulError, GcsDialect, GcsSettings
from tiering.stores.notes import PLACE, read_note
from tiering.stores.rest import Reply, Request
from tiering.stores.rules import md5_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def store(gcs_endpoint: str, request: pytest.FixtureRequest) -> AsyncIterator[GcsStore]:
    """A place of its own in the emulator's bucket."""
    opened = GcsStore(GcsSettings(bucket=BUCKET, prefix=request.node.name, endpoint=gcs_endpoint))
    yield opened
    await opened.close()


def refusal(status: int, message: str, reason: str = "") -> Reply:
    """What the service says when it refuses."""
    return Reply(status, {}, json.dumps({"error": {"message": message, "errors": [{"reason": reason}]}}).encode())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(404, "No such object: b/k", "notFound"), NotFoundError),
        (refusal(404, "Not Found", "notFound"), DoubtfulError),
        (refusal(404, "The specified bucket does not exist.", "notFound"), RefusedError),
        (Reply(404, {}, b"<html>nginx</html>"), UnavailableError),
        (Reply(404, {}, b""), UnavailableError),
        (Reply(404, {}, b'{"error": "gone"}'), UnavailableError),
        (refusal(412, "At least one of the pre-conditions did not hold.", "conditionNotMet"), PreconditionError),
        (refusal(400, "Provided MD5 hash does not match calculated", "invalid"), CorruptError),
        (refusal(400, "Invalid argument", "invalid"), RefusedError),
        (refusal(401, "Invalid Credentials", "authError"), CredentialsError),
        (refusal(403, "x does not have storage.objects.create access", "forbidden"), RefusedError),
        (refusal(403, "The rate is too high", "rateLimitExceeded"), ThrottledError),
        (refusal(429, "slow down", "rateLimitExceeded"), ThrottledError),
        (refusal(500, "backend", "backendError"), UnavailableError),
        (Reply(302, {}, b""), RefusedError),
    ],
)
def test_what_a_refusal_means(reply: Reply, kind: type[StoreError]) -> None:
    """Only the service's own words say that there is nothing; all that may be weather is said to be."""
    assert type(GcsDialect(GcsSettings(bucket="b")).fault(reply, "k")) is kind


async def test_a_bucket_that_is_not_there(gcs_endpoint: str) -> None:
    """Nothing is missing in a bucket that is missing itself."""
    store = GcsStore(GcsSettings(bucket="nobody-has-this", endpoint=gcs_endpoint))
    with pytest.raises(RefusedError, match="no such bucket") as caught:
        await store.head("key")
    assert "create the bucket" in caught.value.hint
    with pytest.raises(RefusedError):
        await store.delete("key")
    await store.close()


async def test_every_request_is_counted(store: GcsStore) -> None:
    """As it is paid for: a listing as a write, a removal not at all, and a reading after the look at what is there."""
    await store.put("key", b"x", Attributes())
    async with store.get("key") as download:
        assert [chunk async for chunk in download.chunks()] == [b"x"]
    assert [info.key async for page in store.list() for info in page] == ["key"]
    await store.delete("key")
    assert (store.toll.take(), store.toll.take()) == ((2, 2), (0, 0))


async def test_nobody_answers() -> None:
    """A server that is down says nothing, and what to look at is told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        store = GcsStore(GcsSettings(bucket="b-b", endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(UnavailableError) as caught:
            await store.head("key")
        assert "is the server up" in caught.value.hint
        await store.close()


async def test_silence_ends(aiohttp_stalled: str) -> None:
    """A server that takes the question and does not answer is given up."""
    store = GcsStore(GcsSettings(bucket="b-b", endpoint=aiohttp_stalled, stall_seconds=0.2))
    with pytest.raises(UnavailableError, match="no answer within"):
        await store.put("key", b"x", Attributes())
    await store.close()


@pytest.fixture
async def aiohttp_stalled() -> AsyncIterator[str]:
    """A server whose listening socket nobody reads."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_what_the_emulator_is_trusted_with(store: GcsStore) -> None:
    """The probe finds MD5s, conditions and checked parts, and leaves nothing behind."""
    able = await probe(store, name="one")
    assert (able.etag_is_md5, able.checks_md5, able.create_only, able.if_match, able.read_back_equal) == (True,) * 5
    assert [page async for page in store.list(".tierd/")] == []


async def test_more_parts_than_are_composed_at_once(store: GcsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are composed in steps, in their order, and nothing of the steps stays."""
    monkeypatch.setattr(gcs_parts, "COMPONENTS", 3)
    upload_id = await store.create_upload("film", Attributes("video/mp4", {"tierd-id": "7"}))
    bodies = [f"part {number:02} ".encode() for number in range(1, 12)]
    parts = [
        await store.put_part("film", upload_id, number, body, md5=bytes.fromhex(md5_of(body)))
        for number, body in enumerate(bodies, start=1)
    ]
    info = await store.complete("film", upload_id, parts, Absent())
    assert (info.size, info.metadata) == (len(b"".join(bodies)), {"tierd-id": "7"})
    async with store.get("film") as download:
        assert b"".join([chunk async for chunk in download.chunks()]) == b"".join(bodies)
    assert [page async for page in store.list(".tierd/")] == []


async def test_a_kill_between_composing_and_clearing_up(store: GcsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever completes again finds the object made of this very upload, and clears up after it."""
    upload_id = await store.create_upload("film", Attributes())
    part = await store.put_part("film", upload_id, 1, b"x", md5=bytes.fromhex(md5_of(b"x")))

    async def killed(key: str, upload_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "abort", killed)
        with pytest.raises(KeyboardInterrupt):
            await store.complete("film", upload_id, [part], Absent())
    assert (await read_note(store, "film", upload_id)).key == "film"
    await store.complete("film", upload_id, [part], Absent())
    assert [page async for page in store.list(".tierd/")] == []


async def test_a_note_that_is_not_ours(store: GcsStore) -> None:
    """An object among the notes that is none is not listed, and is not taken for an upload that is missing."""
    await store.put(f"{PLACE}strange", b"no json", Attributes())
    assert [page async for page in store.list_uploads()] == []
    with pytest.raises(UnavailableError):
        await store.list_parts("film", "strange")


# ---- credentials ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def google(answer: Any) -> AsyncIterator[str]:
    """Where Google's tokens are given out."""
    application = web.Application()
    application.router.add_post("/token", answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/token"))


def key_file(path: Path, token_uri: str) -> rsa.RSAPrivateKey:
    """Write the key of a service account, and return it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    said = {"type": "service_account", "client_email": "tierd@x", "private_key": pem, "token_uri": token_uri}
    path.write_text(json.dumps({**said, "project_id": "p"}))
    return key


async def test_a_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key file that the environment names is asked by once, and again after a refusal; tokens go by TLS only."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.post())
        return web.json_response({"access_token": f"t{len(asked)}", "expires_in": 3600, "token_type": "Bearer"})

    async with google(answer) as url:
        key_file(tmp_path / "key.json", url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        dialect = GcsDialect(GcsSettings(bucket="b"))
        for _ in range(2):
            assert (await dialect.sign(Request("GET", "/x")))["Authorization"] == "Bearer t1"
        assert dialect.tokens.source == "service account (application default credentials)"
        assert dialect.fault(refusal(401, "Invalid Credentials", "authError"), "k").code == "credentials"
        assert (await dialect.sign(Request("GET", "/x")))["Authorization"] == "Bearer t2"
        in_the_clear = GcsDialect(GcsSettings(bucket="b", endpoint="http://127.0.0.1:1"))
        assert "Authorization" not in await in_the_clear.sign(Request("GET", "/x"))


async def test_signed_urls(store: GcsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one an object is written, by another it is read; and the signature is what version 4 wants."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"access_token": "t", "expires_in": 60, "token_type": "Bearer"})

    async with google(answer) as url, ClientSession() as browser:
        key = key_file(tmp_path / "key.json", url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        assert (await store.signer.identity())[1] is None
        signed = URL(await store.signer.sign("PUT", "d/a ü.txt", 60), encoded=True)
        async with browser.put(signed, data=b"by a browser") as put:
            assert put.status == 200
        async with browser.get(URL(await store.signer.sign("GET", "d/a ü.txt", 60), encoded=True)) as got:
            assert await got.read() == b"by a browser"
        with pytest.raises(RefusedError, match="form"):
            await store.signer.sign_form("key", 60, size=1, content_type="")
    assert (await store.head("d/a ü.txt")).size == 12
    plain, _, signature = signed.raw_query_string.partition("&X-Goog-Signature=")
    request = f"PUT\n{signed.raw_path}\n{plain}\nhost:{signed.authority}\n\nhost\nUNSIGNED-PAYLOAD"
    date = signed.query["X-Goog-Date"]
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"GOOG4-RSA-SHA256\n{date}\n{date[:8]}/auto/storage/goog4_request\n{digest}"
    key.public_key().verify(bytes.fromhex(signature), text.encode(), PKCS1v15(), SHA256())


@pytest.mark.parametrize("text", [None, "", "no json", '{"type": "service_account", "private_key": "secret-words"}'])
async def test_credentials_that_are_none(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that there are none and what to do, and nothing of what was read."""
    file = tmp_path / "key.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(CredentialsError, match="no credentials") as caught:
        await Tokens().current()
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint
    assert "secret-words" not in caught.value.advice
