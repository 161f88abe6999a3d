"""URLs by which others read and write blobs of Azure for a while: shared access signatures of one blob each."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote, urlencode

from tiering.store import RefusedError
from tiering.stores.azure_credentials import Key
from tiering.stores.azure_dialect import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiering.stores.azure_dialect import AzureDialect

_RIGHTS: Final = {"GET": "r", "PUT": "cw"}


class AzureSigner:
    """Signs by the account's key. See tiering.presigner.Signer."""

    def __init__(self, dialect: AzureDialect, full: Callable[[str], str]) -> None:
        """`full` makes whole keys of ours."""
        self._dialect = dialect
        self._full = full

    @property
    def put_headers(self) -> Mapping[str, str]:
        """See Signer. The service wants to know which kind of blob is to be made."""
        return {"x-ms-blob-type": "BlockBlob"}

    async def identity(self) -> tuple[str, float | None]:
        """See Signer."""
        await self._dialect.credentials.current()
        return self._dialect.credentials.source, self._dialect.credentials.expires

    async def sign(self, method: str, key: str, seconds: int) -> str:
        """See Signer. Raise RefusedError where the credentials are not the account's key."""
        who = self._dialect.credentials
        found = await who.current()
        if not isinstance(found, Key):
            raise RefusedError(
                f"{who.source} cannot sign URLs", key=key, hint="only an account's key can: see docs/stores.md"
            )
        container, full = self._dialect.settings.container, self._full(key)
        until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = f"/blob/{who.account}/{container}/{full}"
        # What is left empty: start, policy, address, protocol; snapshot, encryption scope, and headers of the answer.
        text = "\n".join([_RIGHTS[method], "", until, resource, "", "", "", VERSION, "b", "", "", "", "", "", "", ""])
        digest = hmac.new(self._dialect.secret(found.key), text.encode(), hashlib.sha256).digest()
        said = {
            "sp": _RIGHTS[method],
            "se": until,
            "sv": VERSION,
            "sr": "b",
            "sig": base64.b64encode(digest).decode(),
        }
        place = f"/{quote(container, safe='')}/{quote(full, safe='/')}"
        return f"{self._dialect.endpoint}{place}?{urlencode(said, quote_via=quote, safe='')}"

    async def sign_form(self, key: str, *_: object, **__: object) -> NoReturn:
        """See Signer."""
        raise RefusedError("Azure takes no uploads by a form", key=key, hint="ask for a PUT")
