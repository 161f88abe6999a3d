"""What signs the URLs of assets, where the configuration has a key for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiering.stores.cloudfront_urls import UrlSigner, read_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.settings import Cdn


def signer(cdn: Cdn, *, clock: Callable[[], float]) -> UrlSigner | None:
    """Return it, or None. Raise RefusedError where its key cannot be read."""
    if cdn.key_pair is None or cdn.key_file is None:
        return None
    return UrlSigner(cdn.key_pair, read_key(cdn.key_file), seconds=cdn.signed_for.total_seconds(), clock=clock)
