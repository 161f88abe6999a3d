"""What is particular to Google Cloud Storage: its addresses, its refusals, and who we are to it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from tiering.store import (
    CorruptError,
    CredentialsError,
    NotFoundError,
    RefusedError,
    ThrottledError,
)
from tiering.stores.gcs_credentials import Tokens
from tiering.stores.verdict import status_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiering.store import StoreError
    from tiering.stores.rest import Reply, Request

ENDPOINT: Final = "https://storage.googleapis.com"
_NOT_FOUND: Final = 404
_NONE: Final = "0"
"""The generation of what is not there."""
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    """Where the bucket is. `endpoint` is None for Google's own; an http:// one is an emulator, and asks for nobody."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    storage_class: str | None = None
    concurrency: int = 32
    stall_seconds: float = 30
    assembly_seconds: float = 600
    """A server may take minutes to copy an object, or to make one of many parts."""


class DoubtfulError(NotFoundError):
    """Something is missing, and the service did not say whether object or bucket."""


class GcsDialect:
    """How one bucket is spoken to. See tiering.stores.rest.Dialect."""

    def __init__(self, settings: GcsSettings) -> None:
        self.settings = settings
        self.tokens = Tokens()

    @property
    def endpoint(self) -> str:
        """See Dialect."""
        return (self.settings.endpoint or ENDPOINT).rstrip("/")

    async def sign(self, request: Request) -> Mapping[str, str]:
        """See Dialect. No token goes over a connection that anybody can read."""
        if self.endpoint.startswith("http://"):
            return request.headers
        return {**request.headers, "Authorization": f"Bearer {await self.tokens.current()}"}

    def fault(self, reply: Reply, key: str) -> StoreError:
        """See Dialect."""
        message, reason = _said(reply)
        kind = _kind(reply.status, message, reason)
        if kind is CredentialsError:
            self.tokens.forget()
        hint = {
            _FORBIDDEN: f"the credentials ({self.tokens.source}) may not do this: see the bucket's roles and theirs",
            _UNAUTHORIZED: f"the credentials come from {self.tokens.source}: renew or correct them",
        }.get(reply.status, "")
        if _is_about_bucket(reply.status, message):
            hint = "create the bucket, or correct [store] url"
        return kind(f"{key or 'the store'}: {reply.status} {reason}".rstrip(), key=key, hint=hint)

    def place(self, full: str = "", action: str = "", **query: object) -> str:
        """Return the target that means an object, what is done with it, or the list of all."""
        there = f"/storage/v1/b/{quote(self.settings.bucket, safe='')}/o"
        return there + (f"/{quote(full, safe='')}" if full else "") + action + _query(query)

    def upload_place(self, **query: object) -> str:
        """Return the target by which an object is written."""
        return f"/upload/storage/v1/b/{quote(self.settings.bucket, safe='')}/o" + _query(
            {"uploadType": "multipart", **query}
        )


def generation(expected: str | None) -> dict[str, str]:
    """Return the parameter by which a request is refused where another generation is there: "" is none at all."""
    return {} if expected is None else {"ifGenerationMatch": expected or _NONE}


def _query(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value not in {None, ""}}
    return f"?{urlencode(given)}" if given else ""


def _said(reply: Reply) -> tuple[str, str]:
    """Return message and reason of a refusal; both empty where the service itself did not speak."""
    with suppress(ValueError, KeyError, TypeError, IndexError):
        error = json.loads(reply.body)["error"]
        return str(error["message"]), str((error.get("errors") or [{}])[0].get("reason", ""))[:64]
    return "", ""


def _kind(status: int, message: str, reason: str) -> type[StoreError]:
    if reason in {"rateLimitExceeded", "userRateLimitExceeded"}:
        return ThrottledError
    if _is_about_bucket(status, message):
        return RefusedError
    # Only the service itself can say that something is not there: a 404 without its words says nothing.
    if status == _NOT_FOUND and message:
        return NotFoundError if message.startswith("No such object") else DoubtfulError
    if status == 400 and ("MD5" in message or "checksum" in message.lower()):  # noqa: PLR2004 - a status
        return CorruptError
    return status_class(status)


def _is_about_bucket(status: int, message: str) -> bool:
    return status == _NOT_FOUND and message.startswith("The specified bucket")
