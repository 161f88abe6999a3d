"""Keeps asking what the store can be trusted with until it has shown it; nothing is uploaded before.

What a store can do is believed at once, for a broken wire shows no such thing by chance. What it cannot do is believed
when it was seen twice; and where by that nothing may be demoted, it is asked again for as long as the daemon lives.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from tiering.answers import ColdTier
from tiering.probe import probe
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiering.pacing import Pacer
    from tiering.probe import Capabilities
    from tiering.store import Store

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 300.0


class Prober:
    """Holds what the store can do, once it is known."""

    def __init__(self, store: Store, *, name: str, pacer: Pacer, ready: Callable[[], None]) -> None:
        """`name` tells our probes from those of other hosts; `ready` is told when the answer is there."""
        self._store = store
        self._name = name
        self._pacer = pacer
        self._ready = ready
        self.capabilities: Capabilities | None = None
        self.reason = "not known yet: what it has is learnt first, then what it can do"

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._store.url

    def state(self) -> ColdTier:
        """Return the store as last seen."""
        able = self.capabilities
        return ColdTier(
            url=self.url,
            reachable=able is not None and self._pacer.is_reachable,
            reason=self._pacer.reason or self.reason,
            capabilities={} if able is None else asdict(able),
        )

    async def ask(self) -> None:
        """Ask once. Raise what the store raises."""
        self.capabilities = await probe(self._store, name=self._name)
        self.reason = ""

    async def run(self) -> None:
        """Ask until there is an answer by which assets may be demoted."""
        while True:
            if await self._learn():
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _learn(self) -> bool:
        """Find out what the store can do, and tell; return whether assets may be demoted by it."""
        found = await self._probe()
        while not all(asdict(found).values()):
            again = await self._probe()
            if again == found:
                break
            found = again
        if found != self.capabilities:
            log.log(logging.INFO if found.read_back_equal else logging.ERROR, "store probed: %s %s", self.url, found)
        self.capabilities = found
        self._ready()
        return found.read_back_equal

    async def _probe(self) -> Capabilities:
        while True:
            try:
                found = await probe(self._store, name=self._name)
            except StoreError as error:
                self.reason = error.advice
                self._pacer.failed(self.reason)
                log.warning("the store cannot be used yet: %s", self.reason)
                await self._pacer.wait_pause()
            else:
                self._pacer.succeeded()
                self.reason = ""
                return found
