"""URLs that CloudFront's viewers read by for a while, signed by a key that the distribution trusts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botocore.signers import CloudFrontSigner

from tiering.store import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_BITS: Final = 2048
_KEPT: Final = 4096
_KEY_HINT: Final = "name the private half of an RSA key of 2048 bits, as PEM and without a password, in [cdn] key_file"


class UrlSigner:
    """Signs URLs, each anew only when half of its time is over: who asks twice gets the same, which caches know."""

    def __init__(self, key_pair: str, key: RSAPrivateKey, *, seconds: float, clock: Callable[[], float]) -> None:
        """`key_pair` is the id that CloudFront gave the public half. A URL is good for half of `seconds` to all."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - as in `read_key`
        from cryptography.hazmat.primitives.hashes import SHA1  # noqa: PLC0415 - likewise

        # The only digest that CloudFront takes.
        self._signer = CloudFrontSigner(key_pair, lambda text: key.sign(text, PKCS1v15(), SHA1()))  # noqa: S303 - see above
        self._half = max(seconds / 2, 1.0)
        self._clock = clock
        self._known: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._turn = threading.Lock()
        """A page of them is signed by a thread."""

    def sign(self, url: str) -> tuple[str, int]:
        """Return a signed URL, and until when it is good, in seconds since the epoch."""
        until = int((self._clock() // self._half + 2) * self._half)
        with self._turn:
            signed = self._known.pop((url, until), None)
            if signed is None:
                end = datetime.fromtimestamp(until, UTC)
                signed = str(self._signer.generate_presigned_url(url, date_less_than=end))
            self._known[url, until] = signed
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return signed, until


def read_key(path: Path) -> RSAPrivateKey:
    """Return the key in a file. Raise RefusedError where there is none that CloudFront takes."""
    # It takes a moment to import, and hardly anybody needs it.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise RefusedError(f"the key {path} cannot be read: {error.strerror}", hint=_KEY_HINT) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Its own words stay here: they may have what was read in them.
        raise RefusedError(f"{path} has no key that can be used", hint=_KEY_HINT) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != _BITS:
        raise RefusedError(f"{path} has no RSA key of {_BITS} bits", hint=_KEY_HINT)
    return key
