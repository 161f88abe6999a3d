"""Request targets, taken to the byte: what was sent is what is meant.

Libraries fold `//`, `.`, `..` and `%2F` in a URL before anybody can object. A path here is the exact bytes of a file's
name, so the raw target is decoded by this file and by nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from daemon.problem import ApiError
from index.asset import RelPath, path_from_bytes, path_to_bytes

if TYPE_CHECKING:
    from os import PathLike

PATH_BYTES: Final = 4096

_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)


def split_target(raw: str) -> tuple[str, str]:
    """Return path and query of a request target, both still encoded."""
    if not raw.startswith("/"):
        raw = _AUTHORITY.sub("", raw, count=1) or "/"
    path, _, query = raw.partition("?")
    return path, query


def decode(text: str) -> bytes:
    """Return the bytes that a percent-encoded text stands for. Raise ApiError where an escape is malformed."""
    if _BAD_ESCAPE.search(text):
        raise bad_path("a % that does not begin an escape", hint="write % itself as %25")
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))


def path_of_href(href: str) -> RelPath:
    """Return the path that a percent-encoded text stands for. Raise ApiError (400) where it is none."""
    return checked_path(decode(href) if "%" in href else href.encode("utf-8", "surrogateescape"))


def path_of_text(text: str) -> RelPath:
    """Return the path that a text in a body stands for: percent-encoded, but as people type it.

    A `%` that begins no escape stands for itself, and bytes that are not UTF-8 may come as lone surrogates. Raise
    ApiError (400) where it is no path.
    """
    try:
        return checked_path(unquote_to_bytes(path_to_bytes(text)))
    except UnicodeEncodeError:
        raise bad_path("a surrogate that stands for no byte", hint="use \\udc80 to \\udcff") from None


def checked_path(raw: bytes) -> RelPath:
    """Return these bytes as a path beneath the root. Raise ApiError (400) where they cannot be one."""
    if not raw:
        raise bad_path("it is empty")
    if len(raw) > PATH_BYTES:
        raise bad_path(f"it is longer than {PATH_BYTES} bytes")
    if b"\0" in raw:
        raise bad_path("it has a NUL in it")
    if raw.startswith(b"/"):
        raise bad_path("it is absolute", hint="paths are relative to the cache root")
    if not {b"", b".", b".."}.isdisjoint(raw.split(b"/")):
        raise bad_path("one of its parts is empty, '.' or '..'")
    return path_from_bytes(raw)


def href_of(path: str | PathLike[str]) -> str:
    """Return the exact percent-encoded form: ASCII letters, digits, `-._~` and `/` stand for themselves."""
    return quote_from_bytes(path_to_bytes(str(path)), safe="/")


def bad_path(why: str, *, hint: str = "") -> ApiError:
    """Return the error for a path that cannot be one."""
    return ApiError(400, "bad-path", f"not a path below the cache root: {why}", hint=hint)
