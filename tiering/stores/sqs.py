"""A queue of Amazon SQS, or of a server that speaks its language: with deadlines, and errors that are ours."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tiering.store import CredentialsError, RefusedError, StoreError, UnavailableError
from tiering.stores.s3_connection import service
from tiering.stores.s3_errors import FOREIGN, read_answer, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Self

    from tiering.stores.s3_connection import S3Settings

AT_ONCE: Final = 10
"""SQS hands out no more."""
WAIT_SECONDS: Final = 10
DEADLINE_SECONDS: Final = 30.0
UNSEEN_SECONDS: Final = 60
"""For so long nobody else gets what was handed out to us."""

_AMAZON: Final = re.compile(r"(?:sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|([a-z0-9-]+)\.queue\.amazonaws\.com)")
_NOWHERE: Final = re.compile("QueueDoesNotExist|NonExistentQueue|InvalidAddress")


@dataclass(frozen=True, slots=True)
class Message:
    """One message, and the receipt by which it is deleted."""

    body: str
    receipt: str


class Queue:
    """One queue. It is a context: connections last as long as that."""

    def __init__(self, url: str, settings: S3Settings) -> None:
        """`settings` are those of the store: who we are is the same here."""
        self.url = url
        self._settings = settings
        self.region = region_of(url) or settings.region or "us-east-1"
        self._stack = AsyncExitStack()
        self._client: Any = None

    def __repr__(self) -> str:
        return self.url

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        opened = service(self._settings, "sqs", region=self.region, endpoint=f"{parts.scheme}://{parts.netloc}")
        self._client, self._credentials = await self._stack.enter_async_context(opened)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def receive(self) -> list[Message]:
        """Wait for messages, some seconds at most. Raise StoreError."""
        async with self._guarded("sqs:ReceiveMessage"):
            answer = await self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=AT_ONCE,
                WaitTimeSeconds=WAIT_SECONDS,
                VisibilityTimeout=UNSEEN_SECONDS,
            )
        return [Message(each["Body"], each["ReceiptHandle"]) for each in answer.get("Messages", ())]

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages, at most ten; what stays all the same comes again. Raise StoreError."""
        if not messages:
            return
        entries = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(messages)]
        async with self._guarded("sqs:DeleteMessage"):
            await self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    async def attributes(self) -> dict[str, str]:
        """Return what there is to know of the queue. Raise StoreError."""
        async with self._guarded("sqs:GetQueueAttributes"):
            answer = await self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return dict(answer.get("Attributes", {}))

    @asynccontextmanager
    async def _guarded(self, right: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                yield
        except TimeoutError as error:
            raise UnavailableError(f"{self.url}: no answer within {DEADLINE_SECONDS:.0f} s") from error
        except FOREIGN as error:
            raise self._fault(error, right) from error

    def _fault(self, error: Exception, right: str) -> StoreError:
        """Return one of ours, with what a person can do."""
        answer = read_answer(error)
        failure = translate(error, key=self.url, source=self._credentials.source)
        if _NOWHERE.search(answer.code or str(error)):
            return RefusedError(
                f"there is no queue {self.url} in {self.region}",
                hint="correct [store] events_queue: its URL names region, account and queue",
            )
        is_forbidden = answer.status == HTTPStatus.FORBIDDEN and not isinstance(failure, CredentialsError)
        if is_forbidden or answer.code.startswith("AccessDenied"):
            return RefusedError(
                f"{self._credentials.source} may not do {right} on {self.url}",
                hint="allow it to them: `tierd bucket check --iam` prints a policy",
            )
        hint = "is the server up, and [store] events_queue right?" if not answer.status else failure.hint
        return type(failure)(str(failure), hint=hint)


def region_of(url: str) -> str | None:
    """Return the region that the URL of one of Amazon's queues names; None where it names none."""
    found = _AMAZON.fullmatch(urlsplit(url).hostname or "")
    return next(filter(None, found.groups())) if found else None
