"""What a listing asks for, and where its pages meet: values, and cursors as clients may see them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from index.asset import path_to_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from index.asset import Asset
    from index.lifecycle import State

_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]+")
_CHECK_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which assets: those that fulfil everything that is given. Tombstones only where their state is asked for.

    `text` is words, each of which begins one in the path or in the values of fields and tags; upper and lower case and
    accents are the same. `campaign` is a field or a tag of that name. Sizes are bytes, and inclusive; `modified` is
    when the content was made, `accessed` when it was last asked for, both in seconds since the epoch, and inclusive.
    """

    states: Collection[State] = ()
    type: str | None = None
    campaign: str | None = None
    text: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    pinned: bool | None = None
    min_size: int | None = None
    max_size: int | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    accessed_after: float | None = None
    accessed_before: float | None = None


class Key(StrEnum):
    """What a listing may be sorted by; the path breaks ties."""

    PATH = "path"
    SIZE = "size"
    MTIME = "mtime"
    LAST_ACCESS = "last_access"


@dataclass(frozen=True, slots=True)
class Order:
    """In which order."""

    key: Key = Key.PATH
    descending: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.key}"


BY_PATH: Final = Order()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the last asset's path, and what it was sorted by if that is not the path."""

    path: bytes
    value: float = 0.0


def position_of(asset: Asset, order: Order) -> Position:
    """Return where a page ends whose last asset this is."""
    path = path_to_bytes(asset.path)
    match order.key:
        case Key.PATH:
            return Position(path)
        case Key.SIZE:
            return Position(path, asset.size)
        case Key.LAST_ACCESS:
            return Position(path, asset.last_access)
        case Key.MTIME:
            return Position(path, _mtime_ns(asset))


def _mtime_ns(asset: Asset) -> int:
    if asset.fingerprint is not None:
        return asset.fingerprint.mtime_ns
    return asset.proof.mtime_ns if asset.proof is not None else 0


def cursor_of(position: Position, order: Order) -> str:
    """Return where a page ended, as clients may see it."""
    raw = position.path if order.key is Key.PATH else json.dumps(position.value).encode() + b"/" + position.path
    return base64.urlsafe_b64encode(_check(raw, order) + raw).rstrip(b"=").decode()


def position_at(cursor: str, order: Order) -> Position:
    """Return where a page of this order ended. Raise ValueError for what is no cursor of ours, or of another order."""
    if _CURSOR.fullmatch(cursor):
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except binascii.Error:
            raw = b""
        check, raw = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(raw, order):
            return _position(raw, order)
    raise ValueError(f"{cursor!r} is no cursor of a list sorted by {order}; begin again without one")


def _position(raw: bytes, order: Order) -> Position:
    if order.key is Key.PATH:
        return Position(raw)
    value, _, path = raw.partition(b"/")
    return Position(path, json.loads(value))


def _check(raw: bytes, order: Order) -> bytes:
    return zlib.crc32(f"cursor {order} ".encode() + raw).to_bytes(_CHECK_BYTES, "big")
