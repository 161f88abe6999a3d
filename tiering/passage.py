"""A cold asset that is read without being promoted: its bytes pass through, the last ones only once they are proven."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from index.asset import printable
from index.lifecycle import State
from tiering.arrival import HELD_BACK
from tiering.store import CorruptError, NotFoundError, PreconditionError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from index.asset import Asset, Proof
    from tiering.departures import Departures
    from tiering.store import Store


class Passage:
    """Says which cold assets come back to disk for who reads them, and reads the others from the store.

    `cut`: not those that would be the next to go; else all come back. `doubt` is told of an asset whose remote copy is
    missing or wrong.
    """

    def __init__(self, store: Store, departures: Departures, *, doubt: Callable[[Asset], object], cut: bool) -> None:
        self._store = store
        self._departures = departures
        self._doubt = doubt
        self._cut = cut

    def asked(self, asset: Asset) -> None:
        """Somebody wants it, wherever it is."""
        if asset.state is State.COLD:
            self._departures.asked(asset)

    def is_admitted(self, asset: Asset) -> bool:
        """Whether it is promoted for who reads it now."""
        if not self._cut:
            return True
        admitted = not self._departures.would_be_next(asset)
        self._departures.judged(asset, admitted=admitted)
        return admitted

    async def chunks(self, asset: Asset, proof: Proof) -> AsyncGenerator[bytes]:
        """Yield the whole content. Raise UnavailableError where it cannot be finished."""
        try:
            async for chunk in self._proven(proof):
                yield chunk
        except (NotFoundError, PreconditionError, CorruptError) as error:
            self._doubt(asset)
            said = f"{printable(asset.path)} could not be read whole from the store ({error})"
            raise UnavailableError(said, hint="ask again: it is being looked at") from error

    async def _proven(self, proof: Proof) -> AsyncGenerator[bytes]:
        """Yield what arrives, but for the end of it, which waits until the digest of the whole agreed."""
        digest, kept, size = hashlib.sha256(), b"", 0
        async with self._store.get(proof.key, etag=proof.etag) as download:
            async for chunk in download.chunks():
                digest.update(chunk)
                size += len(chunk)
                kept += chunk
                if len(kept) > HELD_BACK:
                    yield kept[:-HELD_BACK]
                    kept = kept[-HELD_BACK:]
        if size != proof.size or digest.hexdigest() != proof.sha256:
            raise CorruptError(f"{proof.key} is not what was proven", key=proof.key)
        if kept:
            yield kept
