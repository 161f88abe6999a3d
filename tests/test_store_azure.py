"""What is particular to Azure Blob Storage: what its refusals mean, how requests are signed, and who we are."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tiering.store import (
    ArchivedError,
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
from tiering.stores import azure_credentials, azure_dialect
from tiering.stores.azure import AzureStore
from tiering.stores.azure_credentials import Credentials, Key, Sas, Token
from tiering.stores.azure_dialect import AzureDialect, AzureSettings, document
from tiering.stores.rest import Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "c2VjcmV0"
KEY_NAME = "AZURE_STORAGE_ACCOUNT_KEY"
ACCOUNT = {"AZURE_STORAGE_ACCOUNT_NAME": "media", KEY_NAME: KEY}


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test says of who we are counts."""
    monkeypatch.setattr(azure_dialect, "credentials", lambda: Credentials(ACCOUNT))


async def test_who_cannot_sign_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an account's key can, and nobody an upload by a form."""
    store = AzureStore(AzureSettings(container="c"))
    with pytest.raises(RefusedError, match="form"):
        await store.signer.sign_form("key", 60, size=1, content_type="")
    await store.close()
    monkeypatch.setattr(
        azure_dialect, "credentials", lambda: Credentials(ACCOUNT | {KEY_NAME: "", "AZURE_STORAGE_SAS_TOKEN": "sig=x"})
    )
    store = AzureStore(AzureSettings(container="c"))
    with pytest.raises(RefusedError, match="shared access signature") as error:
        await store.signer.sign("GET", "key", 60)
    assert "account's key" in error.value.hint
    await store.close()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "BlobNotFound", NotFoundError),
        (404, "ContainerNotFound", RefusedError),
        (404, "ResourceNotFound", RefusedError),
        (404, "", UnavailableError),
        (409, "BlobAlreadyExists", PreconditionError),
        (409, "BlobArchived", ArchivedError),
        (409, "LeaseIdMissing", UnavailableError),
        (412, "ConditionNotMet", PreconditionError),
        (400, "Md5Mismatch", CorruptError),
        (400, "InvalidBlockList", CorruptError),
        (400, "InvalidHeaderValue", RefusedError),
        (401, "NoAuthenticationInformation", CredentialsError),
        (403, "AuthenticationFailed", CredentialsError),
        (403, "AuthorizationFailure", CredentialsError),
        (403, "AuthorizationPermissionMismatch", RefusedError),
        (416, "InvalidRange", CorruptError),
        (500, "InternalError", UnavailableError),
        (503, "ServerBusy", ThrottledError),
        (502, "", UnavailableError),
    ],
)
def test_what_a_refusal_means(status: int, code: str, kind: type[StoreError]) -> None:
    """By its code, whether header or body has it; a 404 that is not the service's own says nothing."""
    dialect = AzureDialect(AzureSettings(container="c"))
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b"<html>"
    assert type(dialect.fault(Reply(status, {}, body), "k")) is kind
    assert type(dialect.fault(Reply(status, {"x-ms-error-code": code}, b""), "k")) is kind


def test_remedies() -> None:
    """What a person can mend is told with how, and by whose credentials it was asked."""
    dialect = AzureDialect(AzureSettings(container="c"))
    refused = dialect.fault(Reply(403, {"x-ms-error-code": "AuthorizationPermissionMismatch"}), "k")
    assert "Storage Blob Data Contributor" in refused.hint
    assert "the account's key (the environment)" in refused.hint


async def test_the_signature() -> None:
    """A request by key is signed as the service's manual has it; the value was made by hand."""
    dialect = AzureDialect(AzureSettings(container="c", endpoint="http://127.0.0.1:1/media"))
    request = Request("PUT", dialect.place("a b/ü", comp="block", blockid="aa=="), {"Content-MD5": "m=="}, (b"abc",))
    headers = {"x-ms-date": "Sat, 21 Nov 2026 18:00:00 GMT", "x-ms-version": "2021-12-02", "Content-MD5": "m=="}
    assert request.target == "/c/a%20b/%C3%BC?comp=block&blockid=aa%3D%3D"
    assert dialect._signature(request, headers, KEY) == "SharedKey media:Os+bRfkN13klw6TmNOY7Bh5lB/d7IvaGEiiwjgMoREs="


def test_a_key_that_is_none() -> None:
    """A key that was cut short is told as what it is."""
    dialect = AzureDialect(AzureSettings(container="c"))
    with pytest.raises(CredentialsError, match="no base64"):
        dialect._signature(Request("GET", "/c"), {}, "abc")


def test_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account there is no address."""
    monkeypatch.setattr(azure_dialect, "credentials", lambda: Credentials({}))
    with pytest.raises(RefusedError, match="no storage account") as caught:
        AzureDialect(AzureSettings(container="c"))
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint


async def test_keys_that_the_service_would_change() -> None:
    """A backslash would become a slash there, and another asset's key."""
    store = AzureStore(AzureSettings(container="c"))
    with pytest.raises(RefusedError, match="makes / of"):
        await store.put("a\\b", b"x", Attributes())
    await store.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"<html/>", b"\xff"])
def test_an_answer_that_is_none(body: bytes) -> None:
    """What is no listing does not say that there is nothing."""
    with pytest.raises(UnavailableError):
        document(body, "EnumerationResults")


# ---- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "found", "source"),
    [
        (ACCOUNT, Key(KEY), "the account's key (the environment)"),
        ({"AZURE_STORAGE_ACCOUNT": "media", "AZURE_STORAGE_KEY": KEY}, Key(KEY), "the account's key (the environment)"),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=media;AccountKey={KEY};BlobEndpoint=http://h/media"},
            Key(KEY),
            "the account's key (a connection string)",
        ),
        ({"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}, Sas(), "a shared access signature (the environment)"),
    ],
)
async def test_what_the_environment_says(environ: dict[str, str], found: Key | Sas, source: str) -> None:
    """Names are those that the service's other tools have."""
    credentials = Credentials(environ)
    assert (await credentials.current(), credentials.source) == (found, source)


async def test_a_shared_access_signature_stands_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is all there is: no header is signed."""
    environ = {"AZURE_STORAGE_ACCOUNT": "media", "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x%2F"}
    monkeypatch.setattr(azure_dialect, "credentials", lambda: Credentials(environ))
    dialect = AzureDialect(AzureSettings(container="c"))
    assert dialect.place("k") == "/c/k?sv=1&sig=x%2F"
    assert dialect.place("k", comp="block") == "/c/k?comp=block&sv=1&sig=x%2F"
    assert "Authorization" not in await dialect.sign(Request("GET", dialect.place("k")))


def test_a_connection_string_in_a_file(tmp_path: Path) -> None:
    """As systemd's LoadCredential gives one; a file that cannot be read is named, and nothing of it."""
    file = tmp_path / "azure"
    file.write_text(f"AccountName=media;AccountKey={KEY};EndpointSuffix=core.windows.net\n")
    assert Credentials({azure_credentials.CONNECTION_FILE: str(file)}).account == "media"
    with pytest.raises(CredentialsError, match="missing cannot be read"):
        Credentials({azure_credentials.CONNECTION_FILE: str(tmp_path / "missing")})


@asynccontextmanager
async def microsoft(answer: Any) -> AsyncIterator[str]:
    """Where tokens are given out."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/")).rstrip("/")


async def test_identities(tmp_path: Path) -> None:
    """A secret, a workload's file and the machine's own identity each get a token, once for as long as it lasts."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.method, request.path, {**request.query, **(await request.post())}, dict(request.headers)))
        return web.json_response({"access_token": f"t{len(asked)}", "expires_in": "3600"})

    (tmp_path / "token").write_text("assertion\n")
    async with microsoft(answer) as url:
        principal = {"AZURE_AUTHORITY_HOST": url, "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client"}
        secret = Credentials({**principal, "AZURE_CLIENT_SECRET": "s"})
        assert [await secret.current(), await secret.current()] == [Token("t1")] * 2
        assert secret.expires is not None
        assert abs(secret.expires - time.time() - 3600) < 60
        secret.forget()
        assert await secret.current() == Token("t2")
        workload = Credentials({**principal, "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")})
        assert await workload.current() == Token("t3")
        machine = Credentials({"IDENTITY_ENDPOINT": f"{url}/msi", "IDENTITY_HEADER": "h"})
        assert await machine.current() == Token("t4")
    assert [each[:2] for each in asked] == [("POST", "/tenant/oauth2/v2.0/token")] * 3 + [("GET", "/msi")]
    assert (asked[0][2]["client_secret"], asked[0][2]["scope"]) == ("s", "https://storage.azure.com/.default")
    assert asked[2][2]["client_assertion"] == "assertion"
    assert (asked[3][2]["resource"], asked[3][3]["X-IDENTITY-HEADER"]) == ("https://storage.azure.com/", "h")


@pytest.mark.parametrize("said", ["refused", "no json", "no token"])
async def test_an_identity_that_is_not_given(said: str) -> None:
    """It is told whose it was to be, and nothing of what was said."""

    async def answer(request: web.Request) -> web.Response:
        match said:
            case "refused":
                return web.json_response({"error_description": "secret-words"}, status=401)
            case "no json":
                return web.Response(text="secret-words")
            case _:
                return web.json_response({"hint": "secret-words"})

    async with microsoft(answer) as url:
        credentials = Credentials({"AZURE_AUTHORITY_HOST": url, "AZURE_CLIENT_SECRET": "s", "AZURE_TENANT_ID": "t"})
        with pytest.raises(CredentialsError, match="a service principal") as caught:
            await credentials.current()
    assert "secret-words" not in caught.value.advice
