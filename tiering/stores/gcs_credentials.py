"""Who we are to Google Cloud Storage: tokens of the application default credentials.

The library that finds them takes its time to import, and only this store needs it: nothing else waits for that.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from tiering.store import CredentialsError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_SOURCE_SECONDS: Final = 20.0
"""How long a source may take: less than the requests that wait for it."""
_MARGIN: Final = 120.0
"""Seconds before a token runs out at which the next is asked for."""
_UNSAID: Final = 3600.0
"""How long a token lasts that does not say so."""
_NONE_FOUND: Final = "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`"


class Tokens:
    """Tokens of the application default credentials: a key file, the gcloud login, or the machine's own account."""

    def __init__(self) -> None:
        self._found: Any = None
        self._turn = asyncio.Lock()
        self.source = "the application default credentials"
        self._renew_at = 0.0

    async def current(self) -> str:
        """Return a token that has not run out. Raise CredentialsError where there is none."""
        async with self._turn:
            if self._found is None or time.time() >= self._renew_at:
                await self._renew()
            return str(self._found.token)

    def forget(self) -> None:
        """Ask anew next time: the last one was not accepted."""
        self._found = None

    def signer(self) -> tuple[str, Callable[[bytes], bytes]]:
        """Return whose key the credentials are, and what signs by it. Raise RefusedError where they are none."""
        from google.oauth2.service_account import Credentials  # noqa: PLC0415 - see above

        if not isinstance(self._found, Credentials):
            said = f"the credentials ({self.source}) cannot sign URLs"
            raise RefusedError(said, hint="only a service account's key file can: GOOGLE_APPLICATION_CREDENTIALS")
        return str(self._found.signer_email), self._found.sign_bytes

    @property
    def expires(self) -> float | None:
        """When the present token runs out, in seconds since the epoch; None where it is not known."""
        return self._renew_at + _MARGIN if self._found is not None else None

    async def _renew(self) -> None:
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - see above

        try:
            async with asyncio.timeout(_SOURCE_SECONDS):
                self._found, self.source = await asyncio.to_thread(_fresh_credentials)
        except (GoogleAuthError, OSError, ValueError) as error:
            self._found = None
            # Its own words stay here: they may have what was read in them.
            said = f"no credentials: {type(error).__name__}"
            raise CredentialsError(f"the store: {said}", hint=_NONE_FOUND) from error
        expiry = self._found.expiry
        # The library's times are UTC, and say nothing of it.
        ends = time.time() + _UNSAID if expiry is None else expiry.replace(tzinfo=UTC).timestamp()
        self._renew_at = ends - _MARGIN


def _fresh_credentials() -> tuple[Any, str]:
    """Return credentials that were just renewed, and where they come from. Blocks."""
    import google.auth  # noqa: PLC0415 - see above
    import urllib3  # noqa: PLC0415 - see above
    from google.auth.transport.urllib3 import Request as Transport  # noqa: PLC0415 - see above

    with urllib3.PoolManager(timeout=_SOURCE_SECONDS / 2, retries=False) as pool:
        transport = Transport(pool)  # type: ignore[no-untyped-call]  # the library has few types
        found, _ = google.auth.default(scopes=_SCOPES, request=transport)
        found.refresh(transport)  # type: ignore[no-untyped-call]  # likewise
    return found, f"{type(found).__module__.rpartition('.')[2].replace('_', ' ')} (application default credentials)"
