"""Who we are to Azure Blob Storage, from where its other tools have it: the environment, or the machine's identity.

In this order: a connection string, an account's key, a shared access signature, a service principal's secret, a
workload's identity, the machine's own.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp

from tiering.store import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPE: Final = "https://storage.azure.com/"
_LOGIN: Final = "https://login.microsoftonline.com"
_MACHINE: Final = "http://169.254.169.254/metadata/identity/oauth2/token"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CONNECTION_FILE: Final = "AZURE_STORAGE_CONNECTION_STRING_FILE"
"""Our own: names a file that has the connection string, as systemd's LoadCredential gives one."""
_SOURCE_SECONDS: Final = 10.0
_MARGIN: Final = 120.0
"""Seconds before a token runs out at which the next is asked for."""
_NONE_FOUND: Final = "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"


@dataclass(frozen=True, slots=True)
class Key:
    """An account's key, in base64."""

    key: str


@dataclass(frozen=True, slots=True)
class Sas:
    """A shared access signature, which stands in the URL."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an identity was given."""

    token: str


class Credentials:
    """What the environment says: `account` is empty where only an endpoint is named, `sas` where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        said = _connection(environ.get("AZURE_STORAGE_CONNECTION_STRING", "") or _read(environ.get(CONNECTION_FILE)))
        self._environ = environ
        self.account = said.get("AccountName") or _first(environ, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
        self.endpoint = said.get("BlobEndpoint", "")
        self._key = said.get("AccountKey") or _first(
            environ, "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY"
        )
        shared = said.get("SharedAccessSignature") or environ.get("AZURE_STORAGE_SAS_TOKEN", "")
        self.sas = "" if self._key else shared.removeprefix("?")
        self.source = self._name_source("a connection string" if said else "the environment")
        self._token: Token | None = None
        self._ends = 0.0
        self._turn = asyncio.Lock()

    async def current(self) -> Key | Sas | Token:
        """Return what says who we are. Raise CredentialsError where nothing does."""
        if self._key:
            return Key(self._key)
        if self.sas:
            return Sas()
        async with self._turn:
            if self._token is None or time.time() >= self._ends - _MARGIN:
                self._token, self._ends = await self._ask()
            return self._token

    @property
    def expires(self) -> float | None:
        """When the present token runs out, in seconds since the epoch; None where nothing does, or none is known."""
        return self._ends or None

    def forget(self) -> None:
        """Ask anew next time: what there was is not accepted."""
        self._token = None

    def _name_source(self, place: str) -> str:
        if self._key:
            return f"the account's key ({place})"
        if self.sas:
            return f"a shared access signature ({place})"
        if self._environ.get("AZURE_CLIENT_SECRET"):
            return "a service principal (AZURE_CLIENT_SECRET)"
        if self._environ.get("AZURE_FEDERATED_TOKEN_FILE"):
            return "the workload's identity (AZURE_FEDERATED_TOKEN_FILE)"
        return "the machine's managed identity"

    async def _ask(self) -> tuple[Token, float]:
        """Return a new token and when it runs out."""
        try:
            async with asyncio.timeout(_SOURCE_SECONDS), aiohttp.ClientSession() as session:
                method, url, headers, form = await self._question()
                async with session.request(method, url, headers=headers, data=form) as response:
                    if response.status != 200:  # noqa: PLR2004 - a status
                        raise CredentialsError(
                            f"the store: no credentials: {self.source} was answered {response.status}"
                        )
                    said: dict[str, Any] = await response.json(content_type=None)
            return Token(str(said["access_token"])), time.time() + float(said["expires_in"])
        except (TimeoutError, OSError, aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
            # Its own words stay here: they may have secrets in them.
            said_of = f"the store: no credentials: {self.source}: {type(error).__name__}"
            raise CredentialsError(said_of, hint=_NONE_FOUND) from error

    async def _question(self) -> tuple[str, str, dict[str, str], dict[str, str] | None]:
        """Return how to ask for a token: method, URL, headers and form."""
        said = self._environ
        client = {"client_id": said["AZURE_CLIENT_ID"]} if said.get("AZURE_CLIENT_ID") else {}
        form = {"grant_type": "client_credentials", "scope": f"{_SCOPE}.default", **client}
        authority = said.get("AZURE_AUTHORITY_HOST", _LOGIN).rstrip("/")
        login = f"{authority}/{said.get('AZURE_TENANT_ID', '')}/oauth2/v2.0/token"
        if said.get("AZURE_CLIENT_SECRET"):
            return "POST", login, {}, {**form, "client_secret": said["AZURE_CLIENT_SECRET"]}
        if said.get("AZURE_FEDERATED_TOKEN_FILE"):
            assertion = await asyncio.to_thread(Path(said["AZURE_FEDERATED_TOKEN_FILE"]).read_text, "utf-8")
            return (
                "POST",
                login,
                {},
                {**form, "client_assertion_type": _ASSERTION, "client_assertion": assertion.strip()},
            )
        if said.get("IDENTITY_ENDPOINT") and said.get("IDENTITY_HEADER"):
            query = urlencode({"api-version": "2019-08-01", "resource": _SCOPE, **client})
            return "GET", f"{said['IDENTITY_ENDPOINT']}?{query}", {"X-IDENTITY-HEADER": said["IDENTITY_HEADER"]}, None
        query = urlencode({"api-version": "2018-02-01", "resource": _SCOPE, **client})
        return "GET", f"{_MACHINE}?{query}", {"Metadata": "true"}, None


def credentials() -> Credentials:
    """Return what this process's environment says."""
    return Credentials(os.environ)


def _connection(text: str) -> dict[str, str]:
    """Return the parts of a connection string."""
    pairs = (part.partition("=") for part in text.strip().split(";"))
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def _read(path: str | None) -> str:
    """Return what a file has, at the start and once."""
    if not path:
        return ""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = f"the connection string in {path} cannot be read: {type(error).__name__}"
        raise CredentialsError(said, hint=f"correct {CONNECTION_FILE}") from error


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
