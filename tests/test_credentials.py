"""Who we are: every source can change its mind without a new start, and its failures are nobody else's."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from aiobotocore.utils import AioContainerMetadataFetcher
from aiohttp import web
from aiohttp.test_utils import TestServer
from servers import CREDENTIALS

from daemon.__main__ import adopt_credentials
from tiering.store import Attributes, CredentialsError
from tiering.stores import s3_credentials
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings
from tiering.stores.s3_credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from buckets import Bucket
    from daemon_process import Launch

ROLE = "arn:aws:iam::123456789012:role/media"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host without any credentials, and where its files are."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(s3_credentials, "_FRESH_SECONDS", 0)
    return tmp_path


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What closes the servers of a test."""
    async with AsyncExitStack() as made:
        yield made


def keys(name: str) -> str:
    """Return a file of credentials."""
    return f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {name}\n"


def soon() -> str:
    """Return a moment so near that keys which end then are renewed at each use."""
    return (datetime.now(UTC) + timedelta(minutes=1)).isoformat()


async def key_of(credentials: Credentials) -> str:
    """Return which keys hold now."""
    name: str = (await credentials.current()).access_key
    return name


async def serve(stack: AsyncExitStack, answer: web.Response | list[web.Response]) -> str:
    """Give these answers, the last for ever; return where."""
    answers = answer if isinstance(answer, list) else [answer]

    async def handle(_: web.Request) -> web.Response:
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(status=given.status, body=given.body, content_type=given.content_type)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    stack.push_async_callback(server.close)
    return str(server.make_url("/"))


async def test_a_file_that_changes(place: Path) -> None:
    """New keys are used at once, not when the old ones fail; a file that is half written changes nothing."""
    file = place / "credentials"
    file.write_text(keys("first"))
    credentials = Credentials(None)
    assert await key_of(credentials) == "first"
    file.write_text(keys("second"))
    assert await key_of(credentials) == "second"
    file.write_text("[default]\naws_access_key_id = third\n")
    assert await key_of(credentials) == "second"
    file.unlink()
    assert await key_of(credentials) == "second"
    file.write_text(keys("fourth"))
    assert await key_of(credentials) == "fourth"
    assert credentials.source == "the shared credentials file"


async def test_a_program(place: Path) -> None:
    """What it gives runs out and is asked for anew; while it fails there are none, and it is named, not quoted."""
    script, says = place / "program", place / "says"
    script.write_text(f"#!/bin/sh\ncat {says} || {{ echo SECRETCANARY >&2; exit 3; }}\n")
    script.chmod(0o755)
    (place / "config").write_text(f"[default]\ncredential_process = {script}\n")

    def say(name: str, ends: str) -> None:
        says.write_text(json.dumps({"Version": 1, "AccessKeyId": name, "SecretAccessKey": name, "Expiration": ends}))

    credentials = Credentials(None)
    say("first", soon())
    assert await key_of(credentials) == "first"
    say("second", soon())
    assert await key_of(credentials) == "second"
    says.unlink()
    with pytest.raises(CredentialsError) as caught:
        await credentials.current()
    assert "credential_process" in caught.value.hint
    assert "CANARY" not in caught.value.advice
    say("over", "2020-01-01T00:00:00Z")
    with pytest.raises(CredentialsError, match="no credentials"):
        await credentials.current()
    with pytest.raises(CredentialsError, match="has run out already"):
        await credentials.current()
    say("third", soon())
    assert await key_of(credentials) == "third"


async def test_a_configuration_that_changes(place: Path) -> None:
    """Another program in the profile is run once the old one's keys are not accepted."""
    for name in ("old", "new"):
        said = json.dumps({"Version": 1, "AccessKeyId": name, "SecretAccessKey": name})
        (place / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (place / name).chmod(0o755)
    (place / "config").write_text(f"[default]\ncredential_process = {place}/old\n")
    credentials = Credentials(None)
    assert await key_of(credentials) == "old"
    (place / "config").write_text(f"[default]\ncredential_process = {place}/new\n")
    credentials.forget()
    assert await key_of(credentials) == "new"


async def test_a_container(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its role's keys are renewed; where nobody answers the source is named."""

    def say(name: str) -> web.Response:
        said = {"AccessKeyId": name, "SecretAccessKey": name, "Token": "t", "Expiration": soon()}
        return web.json_response(said)

    url = await serve(stack, [say("first"), say("first"), say("second"), web.Response(status=403)])
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    monkeypatch.setattr(AioContainerMetadataFetcher, "SLEEP_TIME", 0)
    credentials = Credentials(None)
    assert [await key_of(credentials) for _ in range(2)] == ["first", "second"]
    with pytest.raises(CredentialsError) as caught:
        await credentials.current()
    assert "the container's role" in caught.value.hint


async def test_a_web_identity(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Keys that were not accepted are asked for anew, though they had not run out."""
    (place / "token").write_text("token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(place / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_endpoint)
    credentials = Credentials(None)
    first = await key_of(credentials)
    assert await key_of(credentials) == first
    assert credentials.expires is not None
    credentials.forget()
    assert await key_of(credentials) != first
    (place / "token").unlink()
    credentials.forget()
    with pytest.raises(CredentialsError) as caught:
        await credentials.current()
    assert "token No such file" in str(caught.value)
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in caught.value.hint


async def test_a_role_that_is_refused(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """That STS denies the role is no denial by the store: nothing gets stuck by it, whichever library asks."""
    (place / "token").write_text("token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(place / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>CANARY</Message></Error></ErrorResponse>"
    url = await serve(stack, web.Response(status=403, text=denied, content_type="text/xml"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    store = await S3Store.connect(S3Settings(bucket="bucket", endpoint="http://127.0.0.1:9", region="us-east-1"))
    stack.push_async_callback(store.close)
    for call in (store.put("key", b"x", Attributes()), store.create_upload("key", Attributes())):
        with pytest.raises(CredentialsError) as caught:
            await call
        assert "AssumeRoleWithWebIdentity was answered AccessDenied" in str(caught.value)
        assert "the web identity" in caught.value.hint
        assert "CANARY" not in caught.value.advice


async def test_a_source_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and named."""
    monkeypatch.setattr(s3_credentials, "_SOURCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(CredentialsError, match="no answer within") as caught:
            await Credentials(None).current()
    assert "the container's role" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "credential"),
    [
        ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "google-credentials"),
        ("AZURE_STORAGE_CONNECTION_STRING_FILE", "azure-connection-string"),
        ("TIERD_CDN__KEY_FILE", "cloudfront-key"),
    ],
)
def test_what_systemd_hands_over(place: Path, variable: str, credential: str) -> None:
    """A credential of that name is the file that the store looks for, unless another is named."""
    environ = {"CREDENTIALS_DIRECTORY": str(place)}
    adopt_credentials(environ)
    assert variable not in environ
    (place / credential).touch()
    adopt_credentials(environ)
    assert environ[variable] == str(place / credential)
    named = environ | {variable: "mine"}
    adopt_credentials(named)
    assert named[variable] == "mine"


def test_uploads_wait_for_credentials(bucket: Bucket, launch: Launch) -> None:
    """The store no longer accepts who we are: nothing gets stuck, no attempt counts; once it does all goes on."""
    daemon = launch(bucket, start=False)
    file = daemon.directory / "aws-credentials"
    for name in (*CREDENTIALS, "AWS_SHARED_CREDENTIALS_FILE"):
        del daemon._environment[name]
    daemon._environment["CREDENTIALS_DIRECTORY"] = str(daemon.directory)
    right = "[default]\naws_access_key_id = testkey\naws_secret_access_key = testsecret\n"
    file.write_text(right)
    daemon.start()
    daemon.drop({"before": b"before"})
    daemon.wait_replicated(1)
    file.write_text(right.replace("testsecret", "expired"))
    dropped = itertools.count(2)

    def is_refused() -> bool:
        # The Rust library goes on with what it was given for some seconds: more is dropped until it asks again.
        time.sleep(0.2)
        daemon.drop({f"{next(dropped)}": b"x"})
        return not daemon.status()["store"]["reachable"]

    daemon.wait("the failure", is_refused)
    assert "the shared credentials file" in daemon.status()["store"]["reason"]
    waiting = daemon.assets()
    assert {asset["state"] for asset in waiting.values()} <= {"new", "uploading", "replicated"}
    assert {asset["failure"]["attempts"] for asset in waiting.values() if asset["failure"]} <= {0}
    file.write_text(right)
    daemon.wait_replicated(next(dropped) - 1)
