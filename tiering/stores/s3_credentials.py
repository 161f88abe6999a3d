"""Who we are to an S3 server: one chain of credentials for both libraries."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from aiobotocore.credentials import AioCredentials
from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from botocore.credentials import ReadOnlyCredentials
    from obstore.store import S3Credential

_FRESH_SECONDS: Final = 5
"""How long the Rust library uses credentials before it asks again; asking costs nothing while they last."""
_METHODS: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "iam-role": "the instance's role",
    "container-role": "the container's role",
    "custom-process": "the profile's credential_process",
}


class Credentials:
    """Who we are, asked anew of the standard chain whenever the present answer was not accepted or has run out."""

    def __init__(self, session: AioSession) -> None:
        self._resolver = session.get_component("credential_provider")
        self._found: AioCredentials | None = None
        self._turn = asyncio.Lock()
        self.source = "nowhere"
        if not _wants_instance_metadata():
            # Elsewhere than on EC2 nobody answers there, and a start would wait for it.
            self._resolver.remove("iam-role")

    async def current(self) -> ReadOnlyCredentials:
        """Return keys that have not run out. Raise NoCredentialsError where the chain has none."""
        async with self._turn:
            if self._found is None:
                self._found = await self._resolver.load_credentials()
                if self._found is None:
                    raise NoCredentialsError
                self.source = _METHODS.get(self._found.method, self._found.method)
            return await self._found.get_frozen_credentials()

    @property
    def expires(self) -> float | None:
        """When the present keys run out, in seconds since the epoch; None where they do not say."""
        at = getattr(self._found, "_expiry_time", None)
        return at.timestamp() if isinstance(at, datetime) else None

    def forget(self) -> None:
        """Ask the chain again next time: what it said was not accepted."""
        self._found = None

    async def __call__(self) -> S3Credential:
        """Return the keys as the Rust library wants them."""
        keys = await self.current()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_FRESH_SECONDS),
        }


class _Live(AioCredentials):  # type: ignore[misc]  # the library has no types
    """The keys as the Python library wants them."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__("", "")
        self._credentials = credentials

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return await self._credentials.current()


def live_credentials(credentials: Credentials) -> AioCredentials:
    """Return credentials for the Python library that are asked for at each request."""
    return _Live(credentials)


def _wants_instance_metadata() -> bool:
    return os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "false"
