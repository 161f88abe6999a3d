"""Leases: an application's word that it is about to use a path, which keeps the asset hot for a short time.

They live in memory. After a start nobody knows who holds what, so nothing is demoted for as long as a lease lasts.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from index.asset import AssetId

LEASE_SECONDS: Final = 60.0
_ID_BYTES: Final = 12
_IDS_AT_ONCE: Final = 256


class Lease(NamedTuple):
    """One promise to keep `asset_id` hot. `expires` is by the clock of the leases, which nobody sets."""

    id: str
    asset_id: AssetId
    expires: float


class TooManyLeasesError(Exception):
    """The bound on leases is reached: somebody takes them and never gives them back."""


class Leases:
    """Who holds what. Bounded: beyond `limit` no lease is granted."""

    def __init__(self, *, clock: Callable[[], float], quiet: float = LEASE_SECONDS, limit: int = 100_000) -> None:
        """For `quiet` seconds every asset counts as held; 0 only where no earlier run can have granted a lease."""
        self._clock = clock
        self._limit = limit
        # All last equally long, so the order in which they were granted or renewed is that in which they end.
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self._held: dict[AssetId, int] = {}
        self._silent_until = clock() + quiet
        self._ids = _unguessable()

    def __repr__(self) -> str:
        return f"<Leases {len(self._leases)} on {len(self._held)} assets>"

    @property
    def settled_at(self) -> float:
        """When every lease that was granted before this start has ended."""
        return self._silent_until

    def grant(self, asset_id: AssetId) -> Lease:
        """Grant a lease. Raise TooManyLeasesError where the bound is reached."""
        self.expire()
        if len(self._leases) >= self._limit:
            raise TooManyLeasesError(f"{self._limit} leases are held; release them when the file is closed")
        lease = Lease(next(self._ids), asset_id, self._clock() + LEASE_SECONDS)
        self._leases[lease.id] = lease
        self._held[asset_id] = self._held.get(asset_id, 0) + 1
        return lease

    def renew(self, lease_id: str) -> Lease:
        """Make it last anew. Raise KeyError where it has ended."""
        self.expire()
        lease = self._leases[lease_id]._replace(expires=self._clock() + LEASE_SECONDS)
        self._leases[lease_id] = lease
        self._leases.move_to_end(lease_id)
        return lease

    def release(self, lease_id: str) -> None:
        """End it. Raise KeyError where it has ended."""
        self.expire()
        self._drop(lease_id)

    def expire(self) -> None:
        """Drop the leases whose time is over."""
        now = self._clock()
        while self._leases and next(iter(self._leases.values())).expires <= now:
            self._drop(next(iter(self._leases)))

    def is_held(self, asset_id: AssetId) -> bool:
        """Whether somebody may be about to use it: after a start, that is everybody."""
        self.expire()
        return asset_id in self._held or self._clock() < self._silent_until

    def _drop(self, lease_id: str) -> None:
        lease = self._leases.pop(lease_id)
        self._held[lease.asset_id] -= 1
        if not self._held[lease.asset_id]:
            del self._held[lease.asset_id]


def _unguessable() -> Iterator[str]:
    """Yield ids, without end. The kernel is asked once for many: that costs more than all else of a lease."""
    while True:
        drawn = secrets.token_hex(_ID_BYTES * _IDS_AT_ONCE)
        yield from (drawn[at : at + 2 * _ID_BYTES] for at in range(0, len(drawn), 2 * _ID_BYTES))
