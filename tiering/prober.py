"""Keeps asking what the store can be trusted with until it has shown it; nothing is uploaded before."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from tiering.answers import ColdTier
from tiering.probe import probe
from tiering.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiering.pacing import Pacer
    from tiering.probe import Capabilities
    from tiering.store import Store

log = logging.getLogger(__name__)


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

    async def run(self) -> None:
        """Ask until there is an answer."""
        while self.capabilities is None:
            try:
                self.capabilities = await probe(self._store, name=self._name)
            except StoreError as error:
                self.reason = error.advice
                self._pacer.failed(self.reason)
                log.warning("the store cannot be used yet: %s", self.reason)
                await self._pacer.wait_pause()
        self._pacer.succeeded()
        self.reason = ""
        log.info("store probed: %s %s", self.url, self.capabilities)
        self._ready()
