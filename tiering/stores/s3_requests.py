"""One request to an S3 server: with a deadline, and errors that are ours."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tiering.bucket.wishes import ARCHIVED
from tiering.store import CredentialsError, StoreError, UnavailableError
from tiering.stores.rules import check_key
from tiering.stores.s3_errors import FOREIGN, read_answer, translate
from tiering.thaw import Thawed
from tiering.toll import Fare, Toll

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tiering.stores.s3_connection import Connection

_FARES: Final = {"get": Fare.READ, "head": Fare.READ, "delete": Fare.FREE, "abort": Fare.FREE}
"""By the first word of what is asked; anything else is a write, or has the price of one."""
SLOWEST: Final = 64 * 1024
"""Bytes per second: what moves more slowly than this is given up."""


class Requests:
    """The requests to one bucket. Keys are without prefix here and everywhere above."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.settings = connection.settings
        self.bucket = connection.bucket
        self.prompt = connection.prompt
        self.prefix = f"{connection.settings.prefix.strip('/')}/".lstrip("/")
        self.toll = Toll()

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return str(self._connection.client.meta.region_name)

    def full(self, key: str) -> str:
        """Return the key as the bucket knows it. Raise RefusedError where it cannot be one."""
        full = self.prefix + key
        check_key(full if key else key)
        return full

    async def ask(
        self, operation: str, key: str, *, needs: str = "", seconds: float | None = None, **arguments: object
    ) -> Any:  # noqa: ANN401 - the answer is a document without a type
        """Make one of the requests that are particular to S3, and return its answer.

        `needs` names what every true answer has: one without it, as an empty one, says nothing about what exists.
        """
        fare = _FARES.get(operation.partition("_")[0], Fare.WRITE)
        async with self.guarded(key, seconds or self.settings.stall_seconds, fare):
            answer = await getattr(self._connection.client, operation)(Bucket=self.settings.bucket, **arguments)
        if needs and needs not in answer:
            raise UnavailableError(f"{key or 'the store'}: the answer to {operation} has no {needs}", key=key)
        return answer

    @property
    def put_headers(self) -> Mapping[str, str]:
        """See tiering.presigner.Signer."""
        return {}

    async def sign(self, method: str, key: str, seconds: int) -> str:
        """Return a URL for a GET or a PUT of an object that is good for so many seconds. Nothing is sent."""
        place = {"Bucket": self.settings.bucket, "Key": self.full(key)}
        operation = {"GET": "get_object", "PUT": "put_object"}[method]
        async with self.guarded(key, self.settings.stall_seconds):
            url: str = await self._connection.client.generate_presigned_url(operation, place, seconds)
        return url

    async def sign_form(self, key: str, seconds: int, *, size: int, content_type: str) -> tuple[str, Mapping[str, str]]:
        """Return URL and fields of a form by which a file of at most `size` bytes may be posted. Nothing is sent."""
        conditions = [["content-length-range", 0, size], ["starts-with", "$Content-Type", content_type]]
        async with self.guarded(key, self.settings.stall_seconds):
            form = await self._connection.client.generate_presigned_post(
                self.settings.bucket, self.full(key), Conditions=conditions, ExpiresIn=seconds
            )
        return form["url"], form["fields"]

    async def restore(self, key: str, *, tier: str, days: int) -> None:
        """See tiering.thaw.Archive."""
        asked = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        try:
            await self.ask("restore_object", key, Key=self.full(key), RestoreRequest=asked)
        except StoreError as error:
            if read_answer(error.__cause__ or error).code not in {"RestoreAlreadyInProgress", "RestoreInProgress"}:
                raise

    async def thawed(self, key: str) -> Thawed:
        """See tiering.thaw.Archive."""
        head = await self.ask("head_object", key, Key=self.full(key))
        storage_class = head.get("StorageClass", "STANDARD")
        is_back = 'ongoing-request="false"' in head.get("Restore", "")
        return Thawed(storage_class, is_back or storage_class not in ARCHIVED)

    async def server_time(self) -> float:
        """Return what time it is there, in seconds since the epoch. Raise StoreError where it does not say."""
        async with self.guarded("", self.settings.stall_seconds, Fare.READ):
            try:
                answer = await self._connection.client.head_bucket(Bucket=self.settings.bucket)
            except ClientError as refused:  # A refusal has a date, too.
                answer = refused.response
        date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        if date is None:
            raise UnavailableError("the store does not say what time it is")
        return parsedate_to_datetime(date).timestamp()

    @property
    def credentials_end(self) -> float:
        """See S3Store."""
        return self._connection.credentials.expires or 0.0

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""
        async with self.guarded("", self.settings.stall_seconds):
            await self._connection.credentials.current()
        return self._connection.credentials.source, self._connection.credentials.expires

    @asynccontextmanager
    async def guarded(self, key: str, seconds: float, fare: Fare = Fare.FREE) -> AsyncIterator[None]:
        """Give what happens inside so many seconds, and say what goes wrong in our words. It is one request at most."""
        with self.translated(key, fare):
            try:
                async with asyncio.timeout(seconds):
                    yield
            except TimeoutError as error:
                raise UnavailableError(f"{key or 'the store'}: no answer within {seconds:.0f} s", key=key) from error

    @contextmanager
    def translated(self, key: str, fare: Fare = Fare.FREE) -> Iterator[None]:
        """Say in our words what goes wrong inside. It is one request at most, paid for by this fare."""
        try:
            yield
            self.toll.add(fare)
        except FOREIGN as error:
            self.toll.answered(fare, read_answer(error).status)
            credentials = self._connection.credentials
            failure = translate(error, key=key, source=credentials.source)
            if isinstance(failure, CredentialsError):
                fault = credentials.fault or failure
                failure = CredentialsError(str(fault), key=key, hint=fault.hint)
                credentials.forget()
            raise failure from error


def quoted(etag: str) -> str:
    """Return an ETag as HTTP has it."""
    return f'"{etag}"'


def unquoted(etag: str | None) -> str:
    """Return an ETag as we have it."""
    return (etag or "").strip('"')
