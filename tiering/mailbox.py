"""The queue by which a bucket tells what happens in it, so that a host knows within seconds what others did.

A message is only a hint where to look: it may come twice, late, or in any order, and the store is asked. What was seen
to is deleted; what cannot be read, or could not be looked at, is left: the queue delivers it again, and sends it to its
dead letters after as often as its owner says. Whether anything feeds the queue is found out by a bell: an object of our
own is written, and must be heard of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tiering.bulletin import MalformedError, latest, read
from tiering.keys import RESERVED
from tiering.store import Attributes, ObjectInfo, RefusedError, StoreError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiering.bulletin import Bulletin
    from tiering.neighbours import Neighbours
    from tiering.observer import Observer
    from tiering.store import Store
    from tiering.stores.sqs import Message, Queue

log = logging.getLogger(__name__)

BELL: Final = f"{RESERVED}bell/"
SILENCE_SECONDS: Final = 3600.0
"""After so long without a message the bell is rung."""
HEARD_SECONDS: Final = 90.0
"""So long a bell may take to be heard: most notifications come within seconds, some take a minute."""
RETRY_SECONDS: Final = 30.0
HANDLING_SECONDS: Final = 45.0
"""Well below the time after which the queue delivers again what it has handed out."""


class Mailbox:
    """Follows the queue for as long as the daemon lives. `host` tells our bell from those of others."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        neighbours: Neighbours,
        *,
        bucket: str,
        prefix: str,
        host: str,
        observer: Observer,
    ) -> None:
        """`prefix` is what all our keys begin with, "" or with a slash at its end."""
        self._queue = queue
        self._store = store
        self._neighbours = neighbours
        self._bucket = bucket
        self._prefix = prefix
        self._bell = f"{BELL}{host}"
        self._observer = observer
        self._heard_at = float("-inf")
        self._rung_at: float | None = None
        self.trouble = "it has not been heard yet whether the bucket feeds it"
        """Why what other hosts do is looked for instead; empty while the queue tells."""

    def __repr__(self) -> str:
        return f"<Mailbox {self._queue!r} {self.trouble or 'fed'}>"

    @property
    def is_fed(self) -> bool:
        """Whether what happens in the bucket is told here."""
        return not self.trouble

    async def run(self) -> None:
        """Take messages, for ever."""
        async with self._queue:
            while True:
                try:
                    await self._ring_if_silent()
                    await self.take(await self._queue.receive())
                    self._doubt_if_unheard()
                except StoreError as error:
                    self._complain(error.advice)
                    await asyncio.sleep(RETRY_SECONDS)

    async def take(self, messages: Sequence[Message]) -> None:
        """See to messages, and delete those that need not come again. Raise StoreError."""
        letters: list[tuple[Message, list[Bulletin]]] = []
        for message in messages:
            with suppress(MalformedError):
                letters.append((message, read(message.body)))
        self._observer.told("malformed", len(messages) - len(letters))
        told = [each for _, bulletins in letters for each in bulletins]
        ours = [each for each in told if self._is_ours(each)]
        self._observer.told("ignored", len(told) - len(ours))
        self._observer.told("taken", len(ours))
        if ours:
            self._hear()
        await self._queue.delete(await self._seen_to(letters))

    def _is_ours(self, bulletin: Bulletin) -> bool:
        return bulletin.bucket == self._bucket and bulletin.key.startswith(self._prefix)

    async def _seen_to(self, letters: Sequence[tuple[Message, list[Bulletin]]]) -> list[Message]:
        """See to all at once; where the store refuses something, one by one. Return those that need not come again."""
        with suppress(RefusedError):
            await self._see_to([each for _, bulletins in letters for each in bulletins])
            return [message for message, _ in letters]
        done = []
        for message, bulletins in letters:
            try:
                await self._see_to(bulletins)
            except RefusedError as error:
                log.info("an object that a message tells of cannot be looked at: %s", error.advice)
            else:
                done.append(message)
        return done

    async def _see_to(self, bulletins: Sequence[Bulletin]) -> None:
        """Look at what the last bulletin about each object says. Raise StoreError."""
        news = [(each, each.key.removeprefix(self._prefix)) for each in latest(filter(self._is_ours, bulletins))]
        news = [(each, key) for each, key in news if not key.startswith(RESERVED)]
        put = [ObjectInfo(key, each.size, each.etag, time.time()) for each, key in news if each.kind == "put"]
        try:
            async with asyncio.timeout(HANDLING_SECONDS):
                await self._neighbours.take(put)
                for each, key in news:
                    if each.kind == "removed":
                        await self._neighbours.removed(key)
        except TimeoutError as error:
            raise UnavailableError(f"the store was not asked about {len(news)} objects in time") from error

    # Whether it is fed

    async def _ring_if_silent(self) -> None:
        now = time.monotonic()
        if self._rung_at is None and now - self._heard_at >= SILENCE_SECONDS:
            self._rung_at = now
            await self._store.put(self._bell, b"", Attributes())

    def _hear(self) -> None:
        self._heard_at, self._rung_at = time.monotonic(), None
        if self.trouble:
            log.info("what other hosts do is told by %r", self._queue)
        self.trouble = ""

    def _doubt_if_unheard(self) -> None:
        if self._rung_at is not None and time.monotonic() - self._rung_at > HEARD_SECONDS:
            self._heard_at, self._rung_at = time.monotonic(), None
            self._complain(
                f"nothing was heard of an object that was just written: {self._queue!r} is not fed; have"
                f" s3:ObjectCreated:* and s3:ObjectRemoved:* of s3://{self._bucket}/{self._prefix} sent to it, and let"
                " the bucket send there by the queue's policy"
            )

    def _complain(self, why: str) -> None:
        """Say it once: until it is mended, what other hosts do is found as without a queue."""
        if why != self.trouble:
            log.warning("what other hosts do is looked for every [store] look_every, since %s", why)
        self.trouble = why
