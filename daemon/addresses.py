"""What objects are called where others look for them: their whole keys, and their URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from tiering.stores.cloudfront_urls import UrlSigner


@dataclass(frozen=True, slots=True)
class Addresses:
    """`store_url` is where keys are, prefix included; `public_url` by which others read them, where there is one.

    `signer` signs such URLs where nobody can read without.
    """

    store_url: str
    public_url: str | None = None
    signer: UrlSigner | None = None

    def url(self, key: str) -> str:
        """Return the URL of an object."""
        if self.public_url is not None:
            return f"{self.public_url}/{_quoted(key)}"
        return f"{self.store_url.rstrip('/')}/{key}"

    def signed_url(self, key: str) -> tuple[str, int | None]:
        """Return the URL by which an object can be read, and until when; None where that does not end."""
        return (self.url(key), None) if self.signer is None else self.signer.sign(self.url(key))

    def whole_key(self, key: str) -> str:
        """Return the key with the store's prefix."""
        parts = urlsplit(self.store_url)
        prefix = parts.path.strip("/") if parts.netloc else ""
        return f"{prefix}/{key}" if prefix else key

    def viewers_path(self, key: str) -> str:
        """Return the path by which viewers of a content delivery network ask for an object."""
        if self.public_url is None:
            return f"/{_quoted(self.whole_key(key))}"
        return f"{urlsplit(self.public_url).path}/{_quoted(key)}"


def _quoted(key: str) -> str:
    # An asterisk would stand for anything.
    return quote(key, safe="/~")
