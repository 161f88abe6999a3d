"""What is particular to Azure Blob Storage: its addresses, its signatures and its refusals."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from tiering.store import (
    ArchivedError,
    CorruptError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores.azure_credentials import Key, Token, credentials
from tiering.stores.verdict import status_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiering.store import StoreError
    from tiering.stores.rest import Reply, Request

VERSION: Final = "2021-12-02"
"""Of the service's interface."""

_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "BlobNotFound": NotFoundError,
    "BlobArchived": ArchivedError,
    "BlobBeingRehydrated": ArchivedError,
    **dict.fromkeys(
        ["BlobAlreadyExists", "ConditionNotMet", "SourceConditionNotMet", "TargetConditionNotMet"], PreconditionError
    ),
    **dict.fromkeys(["ServerBusy", "OperationTimedOut"], ThrottledError),
    **dict.fromkeys(
        ["AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo", "ExpiredAuthenticationToken"],
        CredentialsError,
    ),
    **dict.fromkeys(["InvalidBlockList", "InvalidRange", "Md5Mismatch", "InvalidMd5"], CorruptError),
    "InternalError": UnavailableError,
}
_HINTS: Final = {
    "AccountIsDisabled": "enable the storage account",
    "AuthorizationFailure": "network rules, or what the credentials ({source}) are worth, do not allow this",
    "AuthorizationPermissionMismatch": "give the credentials ({source}) the role Storage Blob Data Contributor",
    "AuthorizationResourceTypeMismatch": "the shared access signature must be for containers and objects",
    "BlobArchived": "have it rehydrated in the store",
    "ContainerNotFound": "create the container, or correct [store] url",
    "InvalidBlobOrBlock": "another program has an upload under way there: it ends by itself within a week",
}
_CREDENTIALS_HINT: Final = "the credentials come from {source}: renew or correct them"
_CODE: Final = re.compile(rb"<Code>(\w{1,64})</Code>")
_SIGNED: Final = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """Where the container is. `endpoint` is None for the account's own at Microsoft."""

    container: str
    prefix: str = ""
    endpoint: str | None = None
    storage_class: str | None = None
    concurrency: int = 32
    stall_seconds: float = 30
    assembly_seconds: float = 600
    """A server may take minutes to copy an object."""


class AzureDialect:
    """How one container is spoken to. See tiering.stores.rest.Dialect."""

    def __init__(self, settings: AzureSettings) -> None:
        """Raise CredentialsError where nothing says which account it is."""
        self.settings = settings
        self.credentials = credentials()
        account, endpoint = self.credentials.account, settings.endpoint or self.credentials.endpoint
        if not (account or endpoint):
            raise RefusedError(
                "no storage account is named", hint="set AZURE_STORAGE_ACCOUNT_NAME, or AZURE_STORAGE_CONNECTION_STRING"
            )
        self._endpoint = (endpoint or f"https://{account}.blob.core.windows.net").rstrip("/")

    @property
    def endpoint(self) -> str:
        """See Dialect."""
        return self._endpoint

    async def sign(self, request: Request) -> Mapping[str, str]:
        """See Dialect."""
        headers = {**request.headers, "x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True)}
        match await self.credentials.current():
            case Key(key):
                return {**headers, "Authorization": self._signature(request, headers, key)}
            case Token(token):
                return {**headers, "Authorization": f"Bearer {token}"}
            case _:
                return headers

    def place(self, full: str = "", **query: object) -> str:
        """Return the target that means a blob, or the container."""
        target = f"/{quote(self.settings.container, safe='')}" + (f"/{quote(full, safe='/')}" if full else "")
        given = {name: str(value) for name, value in query.items() if value != ""}
        asked = urlencode(given, quote_via=quote)
        shared = self.credentials.sas
        return target + "".join(
            f"{sign}{part}" for sign, part in zip("?&", filter(None, (asked, shared)), strict=False)
        )

    def fault(self, reply: Reply, key: str) -> StoreError:
        """See Dialect."""
        found = _CODE.search(reply.body)
        code = reply.headers.get("x-ms-error-code") or (found[1].decode() if found else "")
        kind = _BY_CODE.get(code) or (RefusedError if code and reply.status == 404 else status_class(reply.status))  # noqa: PLR2004 - a status
        if kind is CredentialsError:
            self.credentials.forget()
        hint = _HINTS.get(code, _CREDENTIALS_HINT if kind is CredentialsError else "")
        said = f"{key or 'the store'}: {reply.status} {code}".rstrip()
        return kind(said, key=key, hint=hint.format(source=self.credentials.source))

    def secret(self, key: str) -> bytes:
        """Return the bytes of an account's key. Raise CredentialsError where it has none."""
        try:
            return base64.b64decode(key, validate=True)
        except binascii.Error:
            raise CredentialsError("the store: the account's key is no base64", hint="copy it again, whole") from None

    def _signature(self, request: Request, headers: Mapping[str, str], key: str) -> str:
        lower = {name.lower(): value for name, value in headers.items()}
        if request.size:
            lower["content-length"] = str(request.size)
        own = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower) if name.startswith("x-ms-"))
        parts = urlsplit(self._endpoint + request.target)
        query = sorted((name.lower(), value) for name, value in parse_qsl(parts.query, keep_blank_values=True))
        resource = f"/{self.credentials.account}{parts.path}" + "".join(f"\n{name}:{value}" for name, value in query)
        plain = "\n".join(lower.get(name.lower(), "") for name in _SIGNED)
        text = f"{request.method}\n{plain}\n{own}{resource}"
        digest = hmac.new(self.secret(key), text.encode(), hashlib.sha256).digest()
        return f"SharedKey {self.credentials.account}:{base64.b64encode(digest).decode()}"


def document(body: bytes, tag: str) -> ET.Element:
    """Return a document of this kind. Raise UnavailableError where it is another: it says nothing about what exists."""
    try:
        answer = ET.fromstring(body.removeprefix(b"\xef\xbb\xbf"))  # noqa: S314 - our own store's; expat limits the rest
    except ET.ParseError as error:
        raise UnavailableError("the store: the answer is no document") from error
    if answer.tag != tag:
        raise UnavailableError(f"the store: the answer is no {tag}")
    return answer
