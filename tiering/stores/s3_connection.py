"""How an S3 bucket is reached: one set of settings for both libraries."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError
from obstore.store import S3Store as Bucket

from tiering.stores.s3_credentials import Credentials, ThreadedCredentials, live_credentials
from tiering.stores.s3_errors import FOREIGN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from obstore.store import ClientConfig, S3Config

_CONNECT_SECONDS: Final = 5
_REUSE_SECONDS: Final = 1.0
"""An idle connection is not used again after this: where an answer comes twice, every request on that connection gets
the answer to the one before, for as long as it is used."""
_NO_LIMIT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is and how to speak to it; None leaves a choice to the AWS configuration, or to us.

    `addressing_style` is `path`, `virtual` or `auto`: virtual for Amazon, path for an endpoint of others.
    `encryption` is `AES256`, `aws:kms`, or `aws:kms:` and a key's id. `stall_seconds` is how long nothing may happen.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: str | None = None
    storage_class: str | None = None
    encryption: str | None = None
    concurrency: int = 32
    stall_seconds: float = 30
    assembly_seconds: float = 600
    """A server may take minutes to make one object of many parts, or to copy one."""
    copy_limit: int = 5 * 1024**3
    """Up to this size the server copies an object in one request."""

    @property
    def kms_key(self) -> str | None:
        """The key's id, where one is named."""
        algorithm, _, key = (self.encryption or "").partition("aws:kms:")
        return key if key not in {"", "dsse"} and not algorithm else None

    @property
    def sse(self) -> str | None:
        """The encryption's algorithm, as a header names it."""
        return "aws:kms" if self.kms_key is not None else self.encryption


@dataclass(frozen=True, slots=True)
class Connection:
    """An open bucket: `bucket` moves bytes, `client` does what is particular to S3.

    `prompt` is for threads that wait for what they ask for: it gives up by itself.
    """

    settings: S3Settings
    bucket: Bucket
    prompt: Bucket
    client: Any
    credentials: Credentials


@asynccontextmanager
async def service(
    settings: S3Settings, name: str, *, region: str, endpoint: str | None
) -> AsyncIterator[tuple[Any, Credentials]]:
    """Open another service of the same account, by the same credentials. Nothing is sent."""
    session, credentials = _session(settings)
    client = session.client(
        name,
        region_name=region,
        endpoint_url=endpoint,
        verify=_authorities(session) or ssl.get_default_verify_paths().cafile,
        config=AioConfig(
            retries={"total_max_attempts": 1},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=settings.stall_seconds,
            tcp_keepalive=True,
        ),
    )
    async with client as opened:
        yield opened, credentials


def _session(settings: S3Settings) -> tuple[aioboto3.Session, Credentials]:
    session = aioboto3.Session(profile_name=settings.profile, region_name=settings.region)
    credentials = Credentials(settings.profile)
    core = session._session  # noqa: SLF001 - giving both libraries one answer has no other door
    core._credentials = live_credentials(credentials)  # noqa: SLF001 - likewise
    return session, credentials


def _authorities(session: aioboto3.Session) -> str | None:
    """Return the file of certificates that the AWS configuration names."""
    named: str | None = session._session.get_config_variable("ca_bundle")  # noqa: SLF001 - likewise
    return named


@asynccontextmanager
async def connected(settings: S3Settings) -> AsyncIterator[Connection]:
    """Open a bucket. Nothing is sent: a server or credentials that are missing show at the first call."""
    session, credentials = _session(settings)
    region = settings.region or session.region_name or "us-east-1"
    authorities = _authorities(session)
    private = await asyncio.to_thread(Path(authorities).read_bytes) if authorities else None
    client = session.client(
        "s3",
        region_name=region,
        endpoint_url=settings.endpoint,
        # Its own list knows nothing of an authority that this host trusts; the Rust library reads the host's by itself.
        verify=authorities or ssl.get_default_verify_paths().cafile,
        config=_client_config(settings),
    )
    async with client as opened:
        open_bucket = partial(_open_bucket, settings, region, opened.meta.endpoint_url, authorities=private)
        bucket = open_bucket(credentials, timeout=_NO_LIMIT)
        prompt = open_bucket(
            ThreadedCredentials(credentials, asyncio.get_running_loop(), seconds=settings.stall_seconds),
            timeout=timedelta(seconds=settings.stall_seconds),
        )
        yield Connection(settings, bucket, prompt, opened, credentials)


async def addressed(settings: S3Settings) -> S3Settings:
    """Return settings that have the bucket addressed in the way in which it answers: by path, where it does by none."""
    for style in ("path", "virtual"):
        tried = replace(settings, addressing_style=style)
        try:
            async with connected(tried) as connection, asyncio.timeout(_CONNECT_SECONDS):
                await connection.client.head_bucket(Bucket=settings.bucket)
        except ClientError:
            continue  # It may be that it wants to be asked in the other way.
        except FOREIGN:
            break  # Whatever is wrong is told when the bucket is used.
        else:
            return tried
    return replace(settings, addressing_style="path")


def _client_config(settings: S3Settings) -> AioConfig:
    return AioConfig(
        connector_args={"keepalive_timeout": _REUSE_SECONDS},
        signature_version="s3v4",
        # We retry, by our own rules; a part's MD5 is ours to give, and hashing it again would hold up the loop.
        retries={"total_max_attempts": 1},
        s3={"addressing_style": settings.addressing_style or "auto", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=_CONNECT_SECONDS,
        # Every request has its own deadline; this one must not cut short what takes the server minutes.
        read_timeout=max(settings.stall_seconds, settings.assembly_seconds),
        max_pool_connections=settings.concurrency + 4,
        tcp_keepalive=True,
    )


def _open_bucket(
    settings: S3Settings,
    region: str,
    endpoint: str,
    credentials: Credentials | ThreadedCredentials,
    *,
    authorities: bytes | None,
    timeout: timedelta,
) -> Bucket:
    """Open the bucket for the Rust library. `authorities` are certificates, as PEM, to trust beside the host's.

    `timeout` counts the body: where bodies can be large, it is for us to decide, by size and by silence, what is slow.
    """
    virtual = _is_virtual(settings, endpoint)
    parts = urlsplit(endpoint)
    address = f"{parts.scheme}://{settings.bucket}.{parts.netloc}" if virtual else endpoint
    config: S3Config = {
        "endpoint": address,
        # Named so that the environment's value cannot win over ours.
        "aws_endpoint_url_s3": address,
        "region": region,
        "virtual_hosted_style_request": virtual,
        "unsigned_payload": True,
        "conditional_put": "etag",
    }
    if settings.sse is not None:
        config["server_side_encryption"] = settings.sse
    if settings.kms_key is not None:
        config["sse_kms_key_id"] = settings.kms_key
    options: ClientConfig = {
        "allow_http": parts.scheme == "http",
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "timeout": timeout,
    }
    if authorities is not None:
        options["root_certificate"] = authorities
    return Bucket(
        settings.bucket,
        config=config,
        credential_provider=credentials,
        client_options=options,
        retry_config={"max_retries": 0, "retry_timeout": timedelta(0)},
    )


def _is_virtual(settings: S3Settings, endpoint: str) -> bool:
    """Whether the bucket is in the host's name. One with a dot has no certificate there."""
    if settings.addressing_style in {"path", "virtual"}:
        return settings.addressing_style == "virtual"
    return (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com") and "." not in settings.bucket
