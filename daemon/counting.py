"""One request for an asset's bytes, in the count exactly once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon.demand import Demand
    from index.asset import Asset, RelPath
    from tiering.observer import Observer


@dataclass(slots=True)
class Tally:
    """How a request ends: `hit`, `miss` or `error`, and the bytes that it brought."""

    result: str = "error"
    size: int = 0
    path: RelPath | None = None

    def found(self, asset: Asset, *, hit: bool, size: int = 0) -> None:
        """Say which asset it is about, and where its bytes come from."""
        self.path = asset.path
        self.result = "hit" if hit else "miss"
        self.size = size


@contextmanager
def counted(observer: Observer, demand: Demand) -> Iterator[Tally]:
    """Tell the observer how it ended, however that is; and of which asset, where that is known.

    A client that leaves while its asset is fetched is a miss: nothing that is here is waited for.
    """
    tally = Tally()
    try:
        yield tally
    except asyncio.CancelledError:
        if tally.result == "error":
            tally.result = "miss"
        raise
    finally:
        observer.requested(tally.result, tally.size)
        if tally.path is not None:
            demand.asked(tally.path, tally.result)
