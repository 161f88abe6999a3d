"""Who we are to an S3 server: one chain of credentials for both libraries, asked anew whenever that may help.

Where credentials come from is the chain's business, and a source may fail in any way it likes: whatever it raises
means that there are none at present. Then nobody works, and nothing is wrong with any asset.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, PartialCredentialsError

from tiering.store import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botocore.credentials import ReadOnlyCredentials
    from obstore.store import S3Credential

_FRESH_SECONDS: Final = 5
"""How long the Rust library uses credentials before it asks again; asking costs nothing while they last."""
_SOURCE_SECONDS: Final = 20.0
"""How long a source may take: less than the requests that wait for it."""
_SOURCES: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "iam-role": "the instance's role",
    "container-role": "the container's role",
    "custom-process": "the profile's credential_process",
    "assume-role": "the role that the profile assumes",
    "assume-role-with-web-identity": "the web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
    "sso": "the profile's single sign-on (aws sso login)",
}
_FILES: Final = frozenset({"shared-credentials-file", "config-file"})
_NONE_FOUND: Final = "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or write ~/.aws/credentials"
_HALF: Final = "one half of the credentials is missing: give both, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What tells whether a file is still the one that was read: inode, size and time of each; None for none."""


class Credentials:
    """Who we are, asked anew when the present answer was not accepted, has run out, or stands in a file that changed.

    `profile` may be None. `source` is where the present ones come from, in words.
    """

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._found: AioCredentials | None = None
        self._files: list[Path] = []
        self._stamp: Stamp = ()
        self._turn = asyncio.Lock()
        self.source = "nowhere"
        self.fault: CredentialsError | None = None
        """Why the last try brought none: the Rust library does not tell."""

    async def current(self) -> ReadOnlyCredentials:
        """Return keys that have not run out. Raise CredentialsError where there are none, and say whose fault it is."""
        async with self._turn:
            try:
                async with asyncio.timeout(_SOURCE_SECONDS):
                    keys = await (await self._usable()).get_frozen_credentials()
            except CredentialsError as error:
                self.fault = error
                raise
            except Exception as error:
                self._found = None
                self.fault = _fault(self.source, error)
                raise self.fault from error
            self.fault = None
            return keys

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

    async def _usable(self) -> AioCredentials:
        if self._found is None:
            return await self._load()
        if self._found.method in _FILES and self._stamp != _stamp(self._files):
            return await self._reload(self._found)
        return self._found

    async def _load(self) -> AioCredentials:
        # A session of its own each time: one that is kept would go by the configuration that it once read, and give
        # out again from its cache what a role was given and is worth nothing any more.
        session = AioSession(profile=self._profile)
        self._files = _files(session)
        self._stamp = _stamp(self._files)
        for provider in chain(session):
            self.source = _SOURCES.get(provider.METHOD, provider.METHOD)
            found = await provider.load()
            if found is not None:
                self._found = found
                return found
        self.source = "nowhere"
        raise CredentialsError("the store: no credentials were found", hint=_NONE_FOUND)

    async def _reload(self, found: AioCredentials) -> AioCredentials:
        """Read the file that changed; while it is half written, what was read before goes on."""
        source = self.source
        try:
            return await self._load()
        except Exception:  # noqa: BLE001 - they may serve still, and where they do not the store says so
            self.source = source
            return found


class ThreadedCredentials:
    """The keys as the Rust library wants them in a thread without an event loop."""

    def __init__(self, credentials: Credentials, loop: asyncio.AbstractEventLoop, *, seconds: float) -> None:
        self._credentials = credentials
        self._loop = loop
        self._seconds = seconds

    def __call__(self) -> S3Credential:
        """Return the keys, which the loop asks for. Raise as it does, TimeoutError where it takes too long."""
        return asyncio.run_coroutine_threadsafe(self._credentials(), self._loop).result(self._seconds)


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


def chain(session: AioSession) -> list[Any]:
    """Return the sources, in their order. An instance's role is among them only where somebody said so."""
    providers: list[Any] = session.get_component("credential_provider").providers
    # Elsewhere than on EC2 nobody answers there, and a start would wait for it.
    return [each for each in providers if each.METHOD != "iam-role" or _wants_instance_metadata()]


def _files(session: AioSession) -> list[Path]:
    names = (session.get_config_variable(name) for name in ("credentials_file", "config_file"))
    return [Path(name).expanduser() for name in names if name]


def _stamp(files: Sequence[Path]) -> Stamp:
    return tuple(_stamp_of(file) for file in files)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _fault(source: str, error: Exception) -> CredentialsError:
    """Return what is to be said of a source that failed: never its own words, which may have secrets in them."""
    if isinstance(error, PartialCredentialsError):
        return CredentialsError("the store: half of the credentials is missing", hint=_HALF)
    hint = f"they are to come from {source}: see that it gives them"
    return CredentialsError(f"the store: no credentials: {_reason(error)}", hint=hint)


def _reason(error: Exception) -> str:
    match error:
        case ClientError():
            return (
                f"{error.operation_name} was answered {error.response.get('Error', {}).get('Code', 'with a refusal')}"
            )
        case TimeoutError():
            return f"no answer within {_SOURCE_SECONDS:.0f} s"
        case OSError():
            return f"{error.filename or ''} {error.strerror or type(error).__name__}".strip()
        case RuntimeError():
            return "what was given has run out already"
        case _:
            return type(error).__name__


def _wants_instance_metadata() -> bool:
    return os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "false"
