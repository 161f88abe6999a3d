"""The layout: which object key an asset has, and which path a key stands for.

A layout never renders what a store would fold or refuse: an empty component, `.`, `..`, a leading `/`, a backslash, a
control character, bytes that are not UTF-8, a component above 255 bytes or a key above 1,024. What is cut to fit ends
in `~` and a hash of the whole, and can only be parsed with the object's metadata.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote_to_bytes

from index.asset import RelPath, is_asset_path, path_from_bytes, path_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPONENT_BYTES: Final = 255
KEY_BYTES: Final = 1024
RESERVED: Final = ".tierd/"
"""What tierd keeps for itself in the store begins so, and is never an asset."""

_CUT: Final = re.compile(r"~[0-9a-f]{16}\Z")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f%\\\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""Spelled out, because what Python calls printable grows with every Unicode, and keys must not change with it."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._/-]{1,255}")
"""Most paths: nothing to escape, nothing to cut."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a key is rendered from: the path, what people said, and what is known of the content.

    `md5` is the whole content's, in hexadecimal; it and `mtime_ns` are None where they are not known.
    """

    path: RelPath
    type: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    md5: str | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a key says: the path, or only the file's name, or neither; and what the asset means."""

    path: RelPath | None = None
    file: str | None = None
    type: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


class Layout(Protocol):
    """A rule that renders what is known of an asset to a key, and parses it back."""

    name: str
    needs_md5: bool
    """Whether a key may need the MD5 of the whole content."""

    def keys_for(self, subject: Subject) -> tuple[str, ...]:
        """Return the key, without the store's prefix, and the one to take where that is another asset's.

        The last is never that of two paths. None at all where only the content can tell, and is not known.
        """

    def parse(self, key: str) -> Parsed | None:
        """Return what the key says; None where it is no asset's, or only the object's metadata can tell."""


class MirrorLayout:
    """The key is the relative path, escaped where a store would fold or refuse it.

    `key_bytes` is what the store's prefix leaves of the 1,024 that a key may have.
    """

    name = "mirror"
    needs_md5 = False

    def __init__(self, *, key_bytes: int = KEY_BYTES) -> None:
        self._key_bytes = key_bytes

    def keys_for(self, subject: Subject) -> tuple[str, ...]:
        """See Layout."""
        return (self.key_for(subject.path),)

    def parse(self, key: str) -> Parsed | None:
        """See Layout."""
        path = self.path_of(key)
        return None if path is None else Parsed(path=path)

    def key_for(self, path: RelPath) -> str:
        """Return the key. Never the same one for two paths."""
        if len(path) <= self._key_bytes and _PLAIN.fullmatch(path):
            return path
        parts = [(_escape(part), part) for part in path.split("/")]
        key = "/".join(_fit(escaped, part, COMPONENT_BYTES) for escaped, part in parts)
        return key if len(key.encode()) <= self._key_bytes else self._fit_whole(key, path)

    def path_of(self, key: str) -> RelPath | None:
        """Return the path that renders to this key; None where only the object's metadata can tell."""
        if any(_CUT.search(part) for part in key.split("/")):
            return None
        path = path_from_bytes(unquote_to_bytes(key))
        # A key that we never render, such as `a%2Fb`, is somebody's own and stands for no path.
        return path if is_asset_path(path) and self.key_for(path) == key else None

    def _fit_whole(self, key: str, path: RelPath) -> str:
        mark = _mark(path)
        above, slash, name = _cut(key, self._key_bytes - len(mark)).rpartition("/")
        return above + slash + _cut(name, COMPONENT_BYTES - len(mark)) + mark


def _escape(part: str) -> str:
    """Escape what a store folds or refuses, and a name that would look like one of our cuts."""
    escaped = _UNSAFE.sub(lambda char: _percent(char[0]), part)
    return _CUT.sub(lambda cut: "%7E" + cut[0][1:], escaped)


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in path_to_bytes(char))


def _fit(text: str, original: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    mark = _mark(original)
    return _cut(text, limit - len(mark)) + mark


def _mark(original: str) -> str:
    return "~" + hashlib.sha256(path_to_bytes(original)).hexdigest()[:16]


def _cut(text: str, size: int) -> str:
    """Keep at most `size` bytes; a character or an escape that would be cut in half is dropped whole."""
    head = text.encode()[:size].decode("utf-8", "ignore")
    return re.sub(r"%[0-9A-F]?\Z", "", head)
