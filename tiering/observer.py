"""What happened, told to whoever counts: the core never imports a metrics library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from index.asset import Asset


class Observer(Protocol):
    """Is told what happened, past tense, at once and on the event loop; must neither block nor raise."""

    def requested(self, result: str, size_bytes: int) -> None:
        """A request for an asset's bytes was answered: `hit`, `miss` or `error`."""

    def uploaded(self, asset: Asset, result: str, seconds: float, sent_bytes: int) -> None:
        """An upload ended: `sent`, `adopted`, `copied`, `changed`, `deferred` or `refused`."""

    def promoted(self, asset: Asset, result: str, seconds: float) -> None:
        """A promotion ended: `restored`, `deferred`, `damaged`, `overtaken` or `no-space`."""

    def demoted(self, asset: Asset, reason: str) -> None:
        """A local copy was removed, because of `watermark`, `age`, `request`, `space` or `replaced`."""

    def regretted(self, asset: Asset) -> None:
        """An asset that the policy had sent away was asked for again within its half-life."""

    def admitted(self, asset: Asset, decision: str) -> None:
        """A cold content was asked for: it is `promoted`, or `streamed` without that, where there is a choice."""

    def mismatched(self, asset: Asset) -> None:
        """A remote copy was found missing or wrong."""

    def overflowed(self) -> None:
        """The watcher lost events or had to be started again."""

    def reconciled(self, kind: str, found: int) -> None:
        """A scan found `found` files that the watcher had not reported: `created`, `changed`, `missing` or `moved`."""

    def stored(self, operation: str, result: str, seconds: float) -> None:
        """A request to the store ended: `ok` or the code of its error."""

    def fetched(self, size_bytes: int) -> None:
        """Bytes of an object came from the store."""

    def expired(self, asset: Asset) -> None:
        """A retention rule removed a cold asset from the store."""

    def told(self, result: str, count: int) -> None:
        """The queue told of `count` objects (`taken`, `ignored`), or had so many messages that were `malformed`."""

    def scrubbed(self, check: str, result: str) -> None:
        """The scrubber looked at a remote copy (`head`, `read-back`) or at a file (`hash`).

        `right`, `missing`, `mismatched`, `corrupt`, `rotten`, `changed` or `unknown`.
        """


class SilentObserver:
    """Counts nothing."""

    def requested(self, result: str, size_bytes: int) -> None:
        """See Observer."""

    def uploaded(self, asset: Asset, result: str, seconds: float, sent_bytes: int) -> None:
        """See Observer."""

    def promoted(self, asset: Asset, result: str, seconds: float) -> None:
        """See Observer."""

    def demoted(self, asset: Asset, reason: str) -> None:
        """See Observer."""

    def regretted(self, asset: Asset) -> None:
        """See Observer."""

    def admitted(self, asset: Asset, decision: str) -> None:
        """See Observer."""

    def mismatched(self, asset: Asset) -> None:
        """See Observer."""

    def overflowed(self) -> None:
        """See Observer."""

    def reconciled(self, kind: str, found: int) -> None:
        """See Observer."""

    def stored(self, operation: str, result: str, seconds: float) -> None:
        """See Observer."""

    def fetched(self, size_bytes: int) -> None:
        """See Observer."""

    def expired(self, asset: Asset) -> None:
        """See Observer."""

    def told(self, result: str, count: int) -> None:
        """See Observer."""

    def scrubbed(self, check: str, result: str) -> None:
        """See Observer."""
