"""The page: one self-contained document, and the headers that keep everything else out of it."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML: Final = "text/html; charset=utf-8"
_HOST: Final = re.compile(r"(127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d{1,5})?", re.ASCII)


@functools.cache
def document() -> bytes:
    """Return the page."""
    return Path(__file__).with_name("page.html").read_bytes()


@functools.cache
def headers() -> Mapping[str, str]:
    """Return what goes with it: only its own script runs, by its hash, and may ask only whom it came from."""
    policy = (
        f"default-src 'none'; script-src {_hash_of('script')}; style-src {_hash_of('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def is_loopback(host: str | None) -> bool:
    """Whether a request names this host by a loopback address: another name may be a foreign page's, bound anew."""
    return host is not None and _HOST.fullmatch(host) is not None


def _hash_of(tag: str) -> str:
    """Return the one source of this kind that the policy allows."""
    text = document().partition(f"<{tag}>".encode())[2].partition(f"</{tag}>".encode())[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
