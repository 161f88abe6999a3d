"""URLs by which others read and write objects of Google Cloud Storage for a while: its signatures of version 4."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from tiering.store import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiering.stores.gcs_dialect import GcsDialect

_ALGORITHM: Final = "GOOG4-RSA-SHA256"


class GcsSigner:
    """Signs by a service account's key. See tiering.presigner.Signer."""

    def __init__(self, dialect: GcsDialect, full: Callable[[str], str]) -> None:
        """`full` makes whole keys of ours."""
        self._dialect = dialect
        self._full = full

    @property
    def put_headers(self) -> Mapping[str, str]:
        """See Signer."""
        return {}

    async def identity(self) -> tuple[str, float | None]:
        """See Signer. A key's signature does not end with the token that the key was given last."""
        await self._dialect.tokens.current()
        return self._dialect.tokens.source, None

    async def sign(self, method: str, key: str, seconds: int) -> str:
        """See Signer. Raise RefusedError where the credentials are no key."""
        tokens = self._dialect.tokens
        await tokens.current()
        account, sign = tokens.signer()
        host = urlsplit(self._dialect.endpoint).netloc
        path = f"/{quote(self._dialect.settings.bucket, safe='')}/{quote(self._full(key), safe='/~')}"
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/auto/storage/goog4_request"
        query = urlencode(
            {
                "X-Goog-Algorithm": _ALGORITHM,
                "X-Goog-Credential": f"{account}/{scope}",
                "X-Goog-Date": moment,
                "X-Goog-Expires": seconds,
                "X-Goog-SignedHeaders": "host",
            },
            quote_via=quote,
            safe="",
        )
        request = "\n".join([method, path, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
        text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
        signature = await asyncio.to_thread(sign, text.encode())
        return f"{self._dialect.endpoint}{path}?{query}&X-Goog-Signature={signature.hex()}"

    async def sign_form(self, key: str, *_: object, **__: object) -> NoReturn:
        """See Signer."""
        raise RefusedError("an upload by a form cannot be signed for Google", key=key, hint="ask for a PUT")
