"""The bucket that the configuration names, looked at and set up. Needs no daemon."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from daemon import config, sources
from daemon.opening import connect_bucket
from daemon.wire import TierdError
from daemon.wishing import wishes
from tiering.bucket.permissions import daemon_policy, setup_policy
from tiering.bucket.setup import Setup
from tiering.store import CredentialsError, RefusedError, StoreError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from daemon.settings import Settings
    from tiering.bucket.plan import Step
    from tiering.bucket.setup import Survey
    from tiering.stores.s3 import S3Store

T = TypeVar("T")

_CONCERNED = ("store", "bucket")


def read_settings(named: Path | None) -> Settings:
    """Return the settings. Raise ConfigError for what is wrong about store and bucket; a host may come later."""
    settings, problems = config.judge(sources.find_file(named, os.environ), os.environ)
    concerned = [problem for problem in problems if problem.key.partition(".")[0] in {"", *_CONCERNED}]
    if concerned:
        raise sources.ConfigError(concerned)
    return settings


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Do the work. Raise TierdError for what the store refuses, as every other command does."""
    try:
        return asyncio.run(work)
    except StoreError as error:
        status = HTTPStatus.CONFLICT
        if isinstance(error, CredentialsError):
            status = HTTPStatus.FORBIDDEN
        elif isinstance(error, UnavailableError):
            status = HTTPStatus.SERVICE_UNAVAILABLE
        raise TierdError(error.code, str(error), error.hint, status) from error


async def look(settings: Settings) -> Survey:
    """Return what the bucket is like and what would change. Raise StoreError."""
    async with _opened(settings) as (setup, _):
        return await setup.survey()


async def carry_out(settings: Settings, survey: Survey, tell: Callable[[Step], None]) -> None:
    """Do what the survey says; `tell` hears of each step as it is done. Raise StoreError."""
    async with _opened(settings) as (setup, _):
        async for step in setup.apply(survey):
            tell(step)


async def policy(settings: Settings, *, for_setup: bool) -> dict[str, Any]:
    """Return the smallest rights that serve."""
    async with _opened(settings) as (_, store):
        wished, key = wishes(settings, store.requests), store.requests.settings.kms_key
        return setup_policy(wished, kms_key=key) if for_setup else daemon_policy(wished, kms_key=key)


def as_json(step: Step) -> dict[str, Any]:
    """Return a step as a program reads it."""
    return {name: value for name, value in asdict(step).items() if value is not None}


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Setup, S3Store]]:
    if settings.store.scheme != "s3":
        raise RefusedError(f"{settings.store.url} is no bucket of S3", hint="set [store] url to s3://BUCKET/PREFIX")
    store = await connect_bucket(settings)
    try:
        yield Setup(store.requests, store, wishes(settings, store.requests)), store
    finally:
        await store.close()
