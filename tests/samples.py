"""Assets and paths as tests want them: valid from the start, altered where it matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from index.asset import Asset, AssetId, Fingerprint, Proof, ProofMethod, RelPath, path_from_bytes
from index.lifecycle import State

NOW = 1_800_000_000.0
"""A moment, in seconds since the epoch, long after everything that a sample has behind it."""
DAY = 86_400.0


def a_proof(**changes: Any) -> Proof:
    """Return the proof of a copy that was uploaded ten days before NOW."""
    proof = Proof(
        key="a.jpg",
        etag="e" * 32,
        size=1000,
        sha256="5" * 64,
        generation=1,
        mtime_ns=1,
        mode=0o644,
        method=ProofMethod.ETAG_MD5,
        at=NOW - 10 * DAY,
    )
    return replace(proof, **changes)


def an_asset(**changes: Any) -> Asset:
    """Return a replicated asset that was found and last used ten days before NOW."""
    asset = Asset(
        id=AssetId("a" * 32),
        path=RelPath("a.jpg"),
        state=State.REPLICATED,
        generation=1,
        fingerprint=Fingerprint(1000, 1, 7),
        ctime_ns=1,
        disk_bytes=4096,
        mode=0o644,
        links=1,
        sha256="5" * 64,
        content_type="image/jpeg",
        proof=a_proof(),
        pinned=False,
        type=None,
        discovered_at=NOW - 10 * DAY,
        last_access=NOW - 10 * DAY,
    )
    return replace(asset, **changes)


_HOSTILE_PARTS = (
    b"100%",
    b"%41",
    b"%2F",
    b"%7E0123456789abcdef",
    b"~0123456789abcdef",
    b"x~0123456789abcdef",
    b"~0123456789abcdef\n",
    b"a\\b",
    b" blank ",
    b"new\nline",
    b"...",
    b".hidden",
    b"base64:YQ==",
    "\u00e9\u2028\ufffe\uffff\x85".encode(),
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a surrogate, encoded as if it were a character
    b"n" * 255,
    b"%" * 255,
    "\u65e5".encode() * 85,
    b"n" * 238 + b"~0123456789abcdef",
)


def _is_name(raw: bytes) -> bool:
    return raw not in {b".", b".."} and b"/" not in raw and b"\0" not in raw


def names() -> st.SearchStrategy[bytes]:
    """Draw the names that a Linux file can have, rather hostile ones."""
    anything = st.binary(min_size=1, max_size=255)
    ordinary = st.text("abcXYZ019 ._-~%+#", min_size=1, max_size=20).map(str.encode)
    return st.one_of(ordinary, anything, st.sampled_from(_HOSTILE_PARTS)).filter(_is_name)


def paths(*, deepest: int = 6) -> st.SearchStrategy[RelPath]:
    """Draw relative paths, from one name to far more bytes than a key may have."""
    return st.lists(names(), min_size=1, max_size=deepest).map(lambda parts: path_from_bytes(b"/".join(parts)))
