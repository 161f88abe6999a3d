"""What a store can be asked about itself that is reached over a network, as somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tiering.toll import Toll


@runtime_checkable
class Remote(Protocol):
    """A store with a clock of its own, and with credentials."""

    @property
    def toll(self) -> Toll:
        """What its requests are counted by."""

    @property
    def credentials_end(self) -> float:
        """When the present credentials run out, in seconds since the epoch; 0 where they do not, or are not known."""

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out. Raise CredentialsError for want of them."""

    async def server_time(self) -> float:
        """Return what time it is there, in seconds since the epoch. Raise StoreError where it does not say."""
