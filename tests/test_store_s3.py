"""S3 in particular: whose fault a failure is, how long it may take, and what is sent along."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.exceptions import ClientError
from certificates import make_certificates
from fault_proxy import FaultProxy
from servers import CREDENTIALS
from store_setups import S3Setup

from tiering.probe import probe
from tiering.store import (
    Absent,
    ArchivedError,
    Attributes,
    CorruptError,
    CredentialsError,
    NotFoundError,
    ObjectInfo,
    Part,
    PreconditionError,
    RefusedError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores import s3, s3_connection, s3_credentials, s3_uploads
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings, addressed
from tiering.stores.s3_errors import Answer, error_class, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("credentials")
PLAIN = Attributes()
MD5 = hashlib.md5(b"x").digest()
PART = 5 * 1024 * 1024
SHORT = 0.4
"""Seconds that nothing may happen, in tests where nothing happens."""


@pytest.fixture
async def setup(seaweed_endpoint: str) -> AsyncIterator[S3Setup]:
    """A place on SeaweedFS."""
    made = S3Setup(seaweed_endpoint, is_moto=False)
    yield made
    await made.close()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What closes the stores and servers of a test."""
    async with AsyncExitStack() as made:
        yield made


async def connect(stack: AsyncExitStack, settings: S3Settings) -> S3Store:
    """Open a store that is closed with the test."""
    store = await S3Store.connect(settings)
    stack.push_async_callback(store.close)
    return store


def at(endpoint: str, **more: Any) -> S3Settings:
    """Settings for an endpoint."""
    return S3Settings(bucket="bucket", endpoint=endpoint, region="us-east-1", **more)


async def read(store: S3Store, key: str, **options: Any) -> bytes:
    """Read an object."""
    async with store.get(key, **options) as download:
        return b"".join([chunk async for chunk in download.chunks()])


async def list_all(store: S3Store) -> list[str]:
    """Return all keys."""
    return [info.key async for page in store.list() for info in page]


async def list_uploads(store: S3Store) -> list[str]:
    """Return the keys of all uploads."""
    return [pending.key async for page in store.list_uploads() for pending in page]


CALLS: dict[str, Callable[[S3Store], Awaitable[object]]] = {
    "put": lambda store: store.put("key", b"x", PLAIN),
    "put_blocking": lambda store: asyncio.to_thread(store.put_blocking, "key", b"x", PLAIN),
    "head": lambda store: store.head("key"),
    "get": lambda store: read(store, "key"),
    "delete": lambda store: store.delete("key"),
    "list": list_all,
    "create_upload": lambda store: store.create_upload("key", PLAIN),
    "put_part": lambda store: store.put_part("key", "id", 1, b"x", md5=MD5),
    "list_parts": lambda store: store.list_parts("key", "id"),
    "complete": lambda store: store.complete("key", "id", [Part(1, MD5.hex(), 1)]),
    "list_uploads": list_uploads,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


# ---- a server that answers what it is told --------------------------------------------------------------------------


@asynccontextmanager
async def answering(reply: Callable[[str], bytes | None]) -> AsyncIterator[str]:
    """Run a server that gives one answer per connection, by the method; None is never an answer. Yield its endpoint."""
    held: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sizes = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
        if sizes and "100-continue" not in head:
            await reader.readexactly(int(sizes[0].partition(":")[2]))
        answer = reply(head.partition(" ")[0])
        if answer is not None:
            writer.write(answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()


def answer(status: int, body: bytes = b"", *, method: str = "GET", length: int | None = None) -> bytes:
    """Return an answer as bytes. A HEAD has no body."""
    head = (
        f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body) if length is None else length}\r\n"
        'ETag: "0cc175b9c0f1b6a831c399e269772661"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n'
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def error(status: int, code: str) -> Callable[[str], bytes]:
    """Answer everything with this error of S3's."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return lambda method: answer(status, body, method=method)


# ---- whose fault it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", NotFoundError),
        (404, "NoSuchUpload", NotFoundError),
        (404, "NoSuchBucket", RefusedError),
        (404, "", UnavailableError),
        (403, "AccessDenied", RefusedError),
        (403, "SignatureDoesNotMatch", CredentialsError),
        (403, "RequestTimeTooSkewed", CredentialsError),
        (403, "InvalidObjectState", ArchivedError),
        (400, "ExpiredToken", CredentialsError),
        (401, "", CredentialsError),
        (412, "PreconditionFailed", PreconditionError),
        (409, "ConditionalRequestConflict", PreconditionError),
        (409, "OperationAborted", UnavailableError),
        (400, "BadDigest", CorruptError),
        (400, "InvalidPart", CorruptError),
        (416, "InvalidRange", CorruptError),
        (400, "RequestTimeout", UnavailableError),
        (400, "EntityTooSmall", RefusedError),
        (301, "PermanentRedirect", RefusedError),
        (405, "MethodNotAllowed", RefusedError),
        (501, "NotImplemented", RefusedError),
        (503, "SlowDown", ThrottledError),
        (429, "", ThrottledError),
        (500, "InternalError", UnavailableError),
        (502, "", UnavailableError),
        (200, "InternalError", UnavailableError),
        (0, "", UnavailableError),
    ],
)
def test_error_class(status: int, code: str, expected: type[StoreError]) -> None:
    """Each answer is one of our errors: absent only by name, weather where in doubt."""
    assert error_class(Answer(status, code, "")) is expected


@every_call
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", ThrottledError),
        (500, "InternalError", UnavailableError),
        (403, "AccessDenied", RefusedError),
        (403, "InvalidAccessKeyId", CredentialsError),
        (400, "ExpiredToken", CredentialsError),
        (404, "NoSuchBucket", RefusedError),
    ],
)
async def test_errors_of_both_libraries(
    stack: AsyncExitStack,
    call: Callable[[S3Store], Awaitable[object]],
    status: int,
    code: str,
    expected: type[StoreError],
) -> None:
    """The same answer is the same error to every call, whichever library made it, and names its code."""
    store = await connect(stack, at(await stack.enter_async_context(answering(error(status, code)))))
    with pytest.raises(StoreError) as caught:
        await call(store)
    assert type(caught.value) is expected
    assert code in str(caught.value) or call is CALLS["head"]


@every_call
async def test_a_404_that_is_not_from_s3(stack: AsyncExitStack, call: Callable[[S3Store], Awaitable[object]]) -> None:
    """What a proxy or a wrong port answers with 404 says nothing about what exists."""
    endpoint = await stack.enter_async_context(
        answering(lambda method: answer(404, b"<html>not here</html>", method=method))
    )
    store = await connect(stack, at(endpoint))
    with pytest.raises(UnavailableError):
        await call(store)


@pytest.mark.parametrize("name", ["list", "create_upload", "put_part", "list_parts", "list_uploads"])
async def test_an_answer_that_says_nothing(stack: AsyncExitStack, name: str) -> None:
    """A success without what every success has is no empty listing, nor anything else: an answer to somebody else."""
    endpoint = await stack.enter_async_context(answering(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    store = await connect(stack, at(endpoint))
    with pytest.raises(UnavailableError, match="the answer to"):
        await CALLS[name](store)


async def test_a_removal_that_finds_nothing_where_something_is(stack: AsyncExitStack) -> None:
    """S3 calls no removal of nothing an error: where a 404 comes, the object is looked for, and the removal fails."""
    replies = {"DELETE": error(404, "NoSuchKey")("DELETE"), "HEAD": answer(200, b"a", method="HEAD")}
    store = await connect(stack, at(await stack.enter_async_context(answering(replies.get))))
    with pytest.raises(UnavailableError, match="it is there"):
        await store.delete("key")


async def test_wrong_bucket(setup: S3Setup, stack: AsyncExitStack) -> None:
    """A bucket that is not there is RefusedError with a hint, also to a HEAD, whose answer does not tell."""
    store = await connect(stack, replace(setup.settings, bucket="no-such-bucket"))
    for name, call in CALLS.items():
        if name in {"put_part", "list_parts", "complete"}:
            continue  # SeaweedFS says of the upload that it is not there, and is right
        with pytest.raises(RefusedError) as caught:
            await call(store)
        assert "NoSuchBucket" in str(caught.value)
        assert "[store] url" in caught.value.hint


@pytest.mark.parametrize(("key", "secret"), [("testkey", "wrong"), ("nobody", "testsecret")])
async def test_wrong_credentials(
    setup: S3Setup, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, key: str, secret: str
) -> None:
    """Credentials that the server does not know are CredentialsError, and the hint names where they come from."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    store = await connect(stack, setup.settings)
    for call in CALLS.values():
        with pytest.raises(CredentialsError) as caught:
            await call(store)
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint


async def test_no_credentials(setup: S3Setup, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no credentials every call says so at once: nobody waits for an instance's metadata."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    store = await connect(stack, setup.settings)
    started = time.monotonic()
    for call in CALLS.values():
        with pytest.raises(CredentialsError):
            await call(store)
    assert time.monotonic() - started < 2


async def test_rotated_credentials(
    setup: S3Setup, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Credentials that were corrected where they come from are used without a new start."""
    monkeypatch.setattr(s3_credentials, "_FRESH_SECONDS", 0)
    await (await setup.again()).put("key", b"x", PLAIN)
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = testkey\naws_secret_access_key = old\n")
    store = await connect(stack, setup.settings)
    with pytest.raises(CredentialsError) as caught:
        await store.head("key")
    assert "shared credentials file" in caught.value.hint
    with pytest.raises(CredentialsError):
        await list_all(store)
    with pytest.raises(CredentialsError):
        await asyncio.to_thread(store.put_blocking, "thread", b"x", PLAIN)
    path.write_text("[default]\naws_access_key_id = testkey\naws_secret_access_key = testsecret\n")
    assert (await store.head("key")).size == 1
    assert await list_all(store) == ["key"]
    assert (await asyncio.to_thread(store.put_blocking, "thread", b"x", PLAIN)).size == 1


@pytest.mark.parametrize(("said", "asked"), [(None, False), ("true", False), ("false", True)])
async def test_instance_metadata_is_asked_only_where_configured(
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    asked: bool,  # noqa: FBT001 - a table
) -> None:
    """The chain has the instance's role only where somebody said so: elsewhere a start would wait for it."""
    if said is not None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", said)
    assert ("iam-role" in [source.METHOD for source in s3_credentials.chain(AioSession())]) is asked


# ---- what a person is told where no answer comes, and TLS ----------------------------------------------------------


@pytest.fixture
def unknown_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this host trusts by way of the environment, it is not the authority of a test."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


async def hints_of(stack: AsyncExitStack, endpoint: str) -> set[str]:
    """Ask by way of both libraries; return what each says is to be done."""
    store = await connect(stack, at(endpoint))
    hints = set()
    for name in ("put", "list_uploads"):
        with pytest.raises(StoreError) as caught:
            await CALLS[name](store)
        hints.add(caught.value.hint)
    return hints


async def test_nobody_answers(stack: AsyncExitStack) -> None:
    """Where nobody listens, and where no host has the name, the endpoint is to be looked at."""
    async with answering(lambda _: None) as endpoint:
        pass  # somebody listened there a moment ago
    for nobody in (endpoint, "http://nowhere.invalid:9000"):
        assert await hints_of(stack, nobody) == {"is the server up, and [store] endpoint right?"}


async def test_tls_to_a_plain_port(stack: AsyncExitStack, seaweed_endpoint: str) -> None:
    """Who speaks TLS to a server that does not is told so, not of a wrong version."""
    [hint] = await hints_of(stack, seaweed_endpoint.replace("http:", "https:"))
    assert "does not speak TLS" in hint


async def test_half_of_the_credentials(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one of two variables is set, both libraries say that the other is missing, not that there are none."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    [hint] = await hints_of(stack, "http://127.0.0.1:1")
    assert "one half" in hint


@pytest.mark.usefixtures("unknown_authority")
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_private_authority(
    setup: S3Setup, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """A server's certificate is refused by both libraries until its authority is named, and then by neither."""
    trusted, tls = make_certificates(tmp_path)
    proxy = stack.enter_context(FaultProxy(setup.settings.endpoint or "", tls=tls))
    await setup.again()
    [hint] = await hints_of(stack, proxy.endpoint)
    assert "AWS_CA_BUNDLE" in hint
    monkeypatch.setenv(variable, str(trusted))
    store = await connect(stack, replace(setup.settings, endpoint=proxy.endpoint))
    await store.put("key", b"x", PLAIN)
    assert await read(store, "key") == b"x"
    upload_id = await store.create_upload("parts", PLAIN)
    await store.complete("parts", upload_id, [await store.put_part("parts", upload_id, 1, b"x", md5=MD5)])
    assert await list_all(store) == ["key", "parts"]


# ---- how long it may take ------------------------------------------------------------------------------------------


@every_call
async def test_dead_endpoint(stack: AsyncExitStack, call: Callable[[S3Store], Awaitable[object]]) -> None:
    """Where nobody listens every call is UnavailableError, at once."""
    async with answering(lambda _: None) as endpoint:
        pass  # somebody listened there a moment ago
    store = await connect(stack, at(endpoint))
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        await call(store)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["put", "put_blocking", "head", "get", "delete", "list", "put_part"])
async def test_black_hole(stack: AsyncExitStack, name: str) -> None:
    """Where somebody listens and never answers every call is UnavailableError once the time is over."""
    endpoint = await stack.enter_async_context(answering(lambda _: None))
    store = await connect(stack, at(endpoint, stall_seconds=SHORT))
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        await CALLS[name](store)
    assert SHORT * 0.9 < time.monotonic() - started < SHORT + 2


async def test_download_that_stalls(stack: AsyncExitStack) -> None:
    """A download of which nothing comes any more is UnavailableError, after what came was given out."""
    held: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200, b"a" * 600_000, length=1_000_000))

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        store = await connect(stack, at(endpoint, stall_seconds=SHORT))
        async with store.get("key") as download:
            chunks = download.chunks()
            assert set(await anext(chunks)) == {ord("a")}
            with pytest.raises(UnavailableError):
                [chunk async for chunk in chunks]
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()


async def test_a_connection_is_not_used_again_for_long(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both libraries: what a proxy answers twice would be the answer to whatever is asked next."""
    assert s3_connection._REUSE_SECONDS <= 1
    monkeypatch.setattr(s3_connection, "_REUSE_SECONDS", 0.05)
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(404).replace(b"Connection: close\r\n", b""))
        assert await reader.read() == b""
        ended.set()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    stack.callback(server.close)
    store = await connect(stack, at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    with pytest.raises(UnavailableError):
        await store.list_parts("key", "id")
    async with asyncio.timeout(5):
        await ended.wait()


async def test_download_that_breaks(stack: AsyncExitStack) -> None:
    """A connection that ends before the body does is never a body's end."""
    endpoint = await stack.enter_async_context(answering(lambda _: answer(200, b"a" * 1000, length=2000)))
    store = await connect(stack, at(endpoint))
    with pytest.raises((UnavailableError, CorruptError)):
        await read(store, "key")


async def test_server_that_gives_less_than_was_asked_for(stack: AsyncExitStack) -> None:
    """A range that comes out shorter than the object allows is an error, however well it is framed."""
    part = answer(206, b"a" * 10).replace(b"ETag", b"Content-Range: bytes 0-9/100\r\nETag")
    store = await connect(stack, at(await stack.enter_async_context(answering(lambda _: part))))
    with pytest.raises((UnavailableError, CorruptError)):
        await read(store, "key", start=0, length=50)


@pytest.mark.parametrize("length", [2, 4])
async def test_library_that_ends_a_body_at_a_wrong_length(stack: AsyncExitStack, length: int) -> None:
    """Whoever is below us: a body of another length than its head said is CorruptError."""

    class Result:
        async def stream(self, _: int) -> AsyncIterator[bytes]:
            yield b"abc"

    store = await connect(stack, at("http://127.0.0.1:1"))
    download: Any = s3._Download(ObjectInfo("key", length, "etag", 0.0), store._requests, Result(), length)
    with pytest.raises(CorruptError):
        [chunk async for chunk in download.chunks()]


async def test_server_that_ignores_if_match(stack: AsyncExitStack) -> None:
    """A server that gives another object than the one that was meant is seen."""
    endpoint = await stack.enter_async_context(answering(lambda _: answer(200, b"a")))
    store = await connect(stack, at(endpoint))
    with pytest.raises(PreconditionError):
        await read(store, "key", etag="f" * 32)


# ---- multipart, copies and what is sent along ----------------------------------------------------------------------


async def test_complete_that_fails_in_the_body(stack: AsyncExitStack) -> None:
    """A completion that is answered 200, with an error in the body, is UnavailableError."""
    endpoint = await stack.enter_async_context(answering(error(200, "InternalError")))
    store = await connect(stack, at(endpoint))
    with pytest.raises(UnavailableError):
        await store.complete("key", "id", [Part(1, MD5.hex(), 1)])


LISTED = (
    b"<?xml version='1.0'?><ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>"
    b"<ETag>e</ETag><Size>1</Size></Part></ListPartsResult>"
)


@pytest.mark.parametrize("late", [0, 1, 2, 1000])
async def test_abort_is_repeated_while_parts_come_in(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, late: int
) -> None:
    """A part under way may outlive the abort: the store is asked what is left and told again, not for ever."""
    monkeypatch.setattr(s3_uploads, "ABORT_PAUSE", 0.001)
    told: Counter[str] = Counter()

    def reply(method: str) -> bytes:
        told[method] += 1
        gone = error(404, "NoSuchUpload")(method)
        if method == "DELETE":
            return answer(204)
        return gone if told["GET"] > late else answer(200, LISTED)

    store = await connect(stack, at(await stack.enter_async_context(answering(reply))))
    await store.abort("key", "id")
    assert told["DELETE"] == told["GET"] == min(late + 1, s3_uploads.ABORTS_MOST)
    assert ("still has parts" in caplog.text) == (late == 1000)


async def test_foreign_object_of_the_same_bytes(setup: S3Setup) -> None:
    """Completing under Absent where a stranger made an object meanwhile is a conflict, were it the same bytes."""
    store = await setup.again()
    ours, theirs = [await store.create_upload("key", PLAIN) for _ in range(2)]
    part = await store.put_part("key", ours, 1, b"x", md5=MD5)
    await store.complete("key", theirs, [await store.put_part("key", theirs, 1, b"x", md5=MD5)])
    with pytest.raises(PreconditionError):
        await store.complete("key", ours, [part], Absent())
    await store.abort("key", ours)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_class_is_changed_where_the_object_is(moto_endpoint: str, stack: AsyncExitStack, count: int) -> None:
    """In one piece or in its parts: the listing tells the new class, the ETag stays, and so do the metadata."""
    setup = S3Setup(moto_endpoint, is_moto=True)
    stack.push_async_callback(setup.close)
    store = await setup.again()
    said = Attributes("video/mp4", {"tierd-id": "7"})
    if count == 1:
        before = await store.put("film", b"x", said)
    else:
        upload_id = await store.create_upload("film", said)
        bodies = [b"p" * PART, b"x"]
        parts = [
            await store.put_part("film", upload_id, number, body, md5=hashlib.md5(body).digest())
            for number, body in enumerate(bodies, start=1)
        ]
        before = await store.complete("film", upload_id, parts)
    assert [info.storage_class async for page in store.list() for info in page] == ["STANDARD"]
    after = await store.copy("film", "film", replace(said, storage_class="GLACIER_IR"), etag=before.etag)
    assert (after.etag, after.size, after.metadata) == (before.etag, before.size, said.metadata)
    [listed] = [info async for page in store.list() for info in page]
    assert listed.storage_class == "GLACIER_IR"
    with pytest.raises(PreconditionError):
        await store.copy("film", "film", said, etag="0" * 32)


async def test_copy_of_a_large_object(setup: S3Setup, stack: AsyncExitStack) -> None:
    """What is too large to be copied in one request is copied in parts; of another ETag nothing is, nor left."""
    first = await setup.again()
    body = os.urandom(PART + 1000)
    source = await first.put("large", body, PLAIN)
    store = await connect(stack, replace(setup.settings, copy_limit=PART))
    copy = await store.copy("large", "copy", Attributes("video/mp4", {"n": "1"}), etag=source.etag)
    assert copy.etag.endswith("-2")
    assert store.toll.take() == (4, 2)  # Each part is paid for.
    assert (copy.content_type, copy.metadata) == ("video/mp4", {"n": "1"})
    assert await read(store, "copy") == body
    stale = replace(source, etag="f" * 32)
    with pytest.raises(StoreError):
        await store._uploads.copy(stale, "copy-2", PLAIN)
    assert await list_uploads(store) == []
    assert await list_all(store) == ["copy", "large"]


@pytest.mark.parametrize(
    ("storage_class", "encryption", "expected"),
    [
        (None, None, (None, None, None)),
        ("STANDARD_IA", "AES256", ("STANDARD_IA", "AES256", None)),
        ("GLACIER_IR", "aws:kms", ("GLACIER_IR", "aws:kms", None)),
        (None, "aws:kms:some-key", (None, "aws:kms", "some-key")),
    ],
)
async def test_storage_class_and_encryption(
    moto_endpoint: str,
    stack: AsyncExitStack,
    storage_class: str | None,
    encryption: str | None,
    expected: tuple[str | None, str | None, str | None],
) -> None:
    """Storage class and encryption go with every object, whether put, uploaded in parts or copied."""
    setup = S3Setup(moto_endpoint, is_moto=True)
    stack.push_async_callback(setup.close)
    await setup.again()
    store = await connect(stack, replace(setup.settings, storage_class=storage_class, encryption=encryption))
    info = await store.put("put", b"x", PLAIN)
    upload_id = await store.create_upload("parts", PLAIN)
    await store.complete("parts", upload_id, [await store.put_part("parts", upload_id, 1, b"x", md5=MD5)])
    await store.copy("put", "copy", PLAIN, etag=info.etag)
    for key in ("put", "parts", "copy"):
        head = await setup._client.head_object(Bucket=setup.settings.bucket, Key=f"{setup.settings.prefix}/{key}")
        key_id = head.get("SSEKMSKeyId")
        found = (head.get("StorageClass"), head.get("ServerSideEncryption"), key_id if expected[2] else None)
        assert found == expected


async def test_tags_go_with_every_object(setup: S3Setup, stack: AsyncExitStack) -> None:
    """Whether put, uploaded in parts or copied; a copy has its own, and none where there are none."""
    await setup.again()
    store = await connect(stack, setup.settings)
    tags = {"campaign": "spring 2025", "a": "\u00fc=b"}
    tagged = Attributes("text/plain", {"tierd-tags": "some"}, tags)
    info = await store.put("put", b"x", tagged)
    upload_id = await store.create_upload("parts", tagged)
    await store.complete("parts", upload_id, [await store.put_part("parts", upload_id, 1, b"x", md5=MD5)])
    await store.copy("put", "copy", tagged, etag=info.etag)
    await store.copy("put", "bare", PLAIN, etag=info.etag)
    await store.copy("put", "put", replace(tagged, tags={"b": ""}), etag=info.etag)
    for key, expected in (("put", {"b": ""}), ("parts", tags), ("copy", tags), ("bare", {})):
        where = {"Bucket": setup.settings.bucket, "Key": f"{setup.settings.prefix}/{key}"}
        said = (await setup._client.get_object_tagging(**where))["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in said} == expected, key


async def test_an_objects_own_storage_class(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """What an object is to be stored as wins over what all are."""
    setup = S3Setup(moto_endpoint, is_moto=True)
    stack.push_async_callback(setup.close)
    await setup.again()
    store = await connect(stack, replace(setup.settings, storage_class="STANDARD_IA"))
    own = Attributes(storage_class="GLACIER_IR")
    info = await store.put("put", b"x", own)
    upload_id = await store.create_upload("parts", own)
    await store.complete("parts", upload_id, [await store.put_part("parts", upload_id, 1, b"x", md5=MD5)])
    await store.copy("put", "copy", own, etag=info.etag)
    for key in ("put", "parts", "copy"):
        head = await setup._client.head_object(Bucket=setup.settings.bucket, Key=f"{setup.settings.prefix}/{key}")
        assert head["StorageClass"] == "GLACIER_IR"


async def test_what_is_ours_is_in_no_archive(moto_endpoint: str, stack: AsyncExitStack) -> None:
    """Where all objects are to be in one, the store can be tried all the same, and assets are there."""
    setup = S3Setup(moto_endpoint, is_moto=True)
    stack.push_async_callback(setup.close)
    await setup.again()
    store = await connect(stack, replace(setup.settings, storage_class="GLACIER"))
    assert (await probe(store, name="archive")).read_back_equal
    await store.put("asset", b"x", PLAIN)
    with pytest.raises(ArchivedError):
        async with store.get("asset"):
            pass


async def test_no_prefix(seaweed_endpoint: str, stack: AsyncExitStack) -> None:
    """A store can be a whole bucket."""
    setup = S3Setup(seaweed_endpoint, is_moto=False)
    stack.push_async_callback(setup.close)
    below = await setup.again()
    await below.put("key", b"x", PLAIN)
    whole = await connect(stack, replace(setup.settings, prefix=""))
    assert whole.url == "s3://conformance"
    assert below.url == f"s3://conformance/{setup.settings.prefix}"
    assert (await whole.head(f"{setup.settings.prefix}/key")).size == 1
    assert [info.key async for page in whole.list(setup.settings.prefix) for info in page] == [
        f"{setup.settings.prefix}/key"
    ]


@pytest.mark.parametrize(
    ("bucket", "style", "endpoint", "virtual"),
    [
        ("media", None, "https://s3.eu-central-1.amazonaws.com", True),
        ("media.example", None, "https://s3.eu-central-1.amazonaws.com", False),
        ("media", "auto", "https://minio.example:9000", False),
        ("media", "virtual", "https://minio.example:9000", True),
        ("media", "path", "https://s3.eu-central-1.amazonaws.com", False),
    ],
)
def test_addressing(bucket: str, style: str | None, endpoint: str, virtual: bool) -> None:  # noqa: FBT001 - a table
    """The bucket is in the host's name at Amazon, and in the path elsewhere, unless said otherwise."""
    settings = S3Settings(bucket=bucket, addressing_style=style)
    assert s3_connection._is_virtual(settings, endpoint) is virtual


@pytest.mark.parametrize(("accepted", "style"), [("path", "path"), ("virtual", "virtual"), ("none", "path")])
async def test_addressing_is_tried(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, accepted: str, style: str
) -> None:
    """The way in which the bucket answers; by path where it does in neither, or nobody is there."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **named: resolve("127.0.0.1", *more, **named))

    async def answer(request: web.Request) -> web.Response:
        kind = "virtual" if request.host.startswith("media.") else "path"
        return web.Response(status=200 if kind == accepted else 403)

    app = web.Application()
    app.router.add_route("HEAD", "/{path:.*}", answer)
    server = await stack.enter_async_context(TestServer(app))
    settings = S3Settings(bucket="media", endpoint=f"http://localhost:{server.port}", region="us-east-1")
    assert (await addressed(settings)).addressing_style == style
    await server.close()
    assert (await addressed(settings)).addressing_style == "path"


def test_what_a_server_says_in_words_is_not_repeated() -> None:
    """About a wrong signature servers repeat key and token: an error has the code, and nothing that was told."""
    said = {"Code": "SignatureDoesNotMatch", "Message": "of AKIDCANARY with TOKENCANARY"}
    error = translate(ClientError({"Error": said}, "PutObject"), key="a", source="the environment")
    assert str(error) == "a: SignatureDoesNotMatch"
    strange = ClientError({"Error": {"Code": "TOKEN/CANARY", "Message": "x"}}, "PutObject")
    assert "CANARY" not in str(translate(strange, key="a", source="the environment"))
