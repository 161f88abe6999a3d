"""A distribution of Amazon CloudFront: with deadlines, and errors that are ours."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from tiering.store import CredentialsError, RefusedError, StoreError, ThrottledError, UnavailableError
from tiering.stores.s3_connection import service
from tiering.stores.s3_errors import FOREIGN, read_answer, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Self

    from tiering.stores.s3_connection import S3Settings

DEADLINE_SECONDS: Final = 30.0
REGION: Final = "us-east-1"
"""CloudFront is everywhere, and signs for this one."""


@dataclass(frozen=True, slots=True)
class View:
    """What a distribution is like: the hosts that it answers as, and whether it trusts anybody's signatures."""

    is_enabled: bool
    hosts: frozenset[str]
    trusts_keys: bool


class Distribution:
    """One distribution. It is a context: connections last as long as that."""

    def __init__(self, name: str, settings: S3Settings, *, endpoint: str | None = None) -> None:
        """`settings` are those of the store: who we are is the same here. `endpoint` None: Amazon's."""
        self.name = name
        self._settings = settings
        self._endpoint = endpoint
        self._stack = AsyncExitStack()
        self._client: Any = None

    def __repr__(self) -> str:
        return f"distribution {self.name}"

    async def __aenter__(self) -> Self:
        opened = service(self._settings, "cloudfront", region=REGION, endpoint=self._endpoint)
        self._client, self._credentials = await self._stack.enter_async_context(opened)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def invalidate(self, paths: Sequence[str], *, reference: str) -> None:
        """Have it forget what it keeps at these paths. The same `reference` twice is one. Raise StoreError."""
        batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}
        async with self._guarded("cloudfront:CreateInvalidation"):
            await self._client.create_invalidation(DistributionId=self.name, InvalidationBatch=batch)

    async def view(self) -> View:
        """Return what is to be known of it. Raise StoreError."""
        async with self._guarded("cloudfront:GetDistribution"):
            said = (await self._client.get_distribution(Id=self.name))["Distribution"]
        wanted = said["DistributionConfig"]
        behaviours = [wanted["DefaultCacheBehavior"], *wanted.get("CacheBehaviors", {}).get("Items", ())]
        return View(
            wanted.get("Enabled", False),
            frozenset({said["DomainName"], *wanted.get("Aliases", {}).get("Items", ())}),
            any(
                each.get(name, {}).get("Enabled", False)
                for each in behaviours
                for name in ("TrustedKeyGroups", "TrustedSigners")
            ),
        )

    @asynccontextmanager
    async def _guarded(self, right: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                yield
        except TimeoutError as error:
            raise UnavailableError(f"{self!r}: no answer within {DEADLINE_SECONDS:.0f} s") from error
        except FOREIGN as error:
            raise self._fault(error, right) from error

    def _fault(self, error: Exception, right: str) -> StoreError:
        """Return one of ours, with what a person can do."""
        answer = read_answer(error)
        failure = translate(error, key=repr(self), source=self._credentials.source)
        if answer.code == "NoSuchDistribution":
            return RefusedError(f"there is no {self!r} in this account", hint="correct [cdn] distribution")
        if answer.code == "TooManyInvalidationsInProgress":
            return ThrottledError(f"{self!r} has as many invalidations under way as it takes")
        is_forbidden = answer.status == HTTPStatus.FORBIDDEN and not isinstance(failure, CredentialsError)
        if is_forbidden or answer.code.startswith("AccessDenied"):
            said = f"{self._credentials.source} may not do {right} on {self!r}"
            return RefusedError(said, hint="allow it to them: `tierd bucket check --iam` prints a policy")
        return type(failure)(str(failure), hint=failure.hint if answer.status else "is Amazon's CloudFront reachable?")
