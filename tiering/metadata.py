"""What travels with an object, so that the index can be rebuilt from the bucket alone."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from index.asset import AssetId, RelPath, is_asset_path, path_from_bytes, path_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from index.asset import Asset

PATH_BYTES: Final = 1700
"""S3 takes 2 KiB of user metadata in all; this is what the other entries leave for the path."""

_BASE64: Final = "base64:"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class Passport:
    """What an object says about the asset that it is a copy of. `mode` is the permission bits.

    `replaces` is the SHA-256 of the content that was proven when this one was sent: what comes after what. `host` is
    the name of the cache root from which it was sent.
    """

    id: AssetId
    generation: int
    path: RelPath
    sha256: str
    mtime_ns: int
    mode: int
    replaces: str | None = None
    host: str | None = None

    def is_from_elsewhere(self, host: str) -> bool:
        """Whether another host wrote the object. Where none is named, it is taken for the one who asks."""
        return self.host is not None and self.host != host

    def is_earlier_of(self, asset: Asset, host: str) -> bool:
        """Whether this host wrote it of the very asset, and not of a later generation."""
        is_older = self.id == asset.id and self.generation <= asset.generation
        return is_older and not self.is_from_elsewhere(host)

    def to_metadata(self) -> dict[str, str]:
        """Return the ASCII entries that travel with the object. Raise ValueError where the path is too long."""
        entries = {
            "tierd-id": self.id,
            "tierd-generation": str(self.generation),
            "tierd-path": encode_path(self.path),
            "tierd-sha256": self.sha256,
            "tierd-mtime-ns": str(self.mtime_ns),
            "tierd-mode": f"{self.mode:o}",
        }
        later = {"tierd-replaces": self.replaces, "tierd-host": self.host}
        return entries | {name: value for name, value in later.items() if value is not None}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Passport | None:
        """Read the entries back; None where the object is not one of ours, or they are not whole.

        Anybody can write metadata: what comes out names a file beneath the root, and fits into the index.
        """
        try:
            return cls(
                id=AssetId(_matching(_ID, metadata["tierd-id"])),
                generation=_within(int(metadata["tierd-generation"]), 0, _INT64),
                path=decode_path(metadata["tierd-path"]),
                sha256=_matching(_SHA256, metadata["tierd-sha256"]),
                mtime_ns=_within(int(metadata["tierd-mtime-ns"]), -_INT64, _INT64),
                mode=_within(int(metadata["tierd-mode"], 8), 0, 0o10000),
                replaces=_matching(_SHA256, metadata["tierd-replaces"]) if "tierd-replaces" in metadata else None,
                host=metadata.get("tierd-host"),
            )
        except (KeyError, ValueError):
            return None


def largest_entries(path: RelPath) -> dict[str, str]:
    """Return the entries that an object of this path has at most. A path that is too long is left out."""
    try:
        encode_path(path)
    except ValueError:
        path = RelPath("")
    return Passport(AssetId("0" * 32), _INT64 - 1, path, "0" * 64, -_INT64, 0o7777, "0" * 64, "0" * 32).to_metadata()


def encode_path(path: RelPath) -> str:
    """Return the path in ASCII: percent-encoded where that reads well, base64 where it would only be long."""
    raw = path_to_bytes(path)
    text = quote_from_bytes(raw, safe="/!$&'()+,-.=@_~")
    if len(text) > len(raw) * 3 // 2:
        text = _BASE64 + base64.urlsafe_b64encode(raw).decode()
    if len(text) > PATH_BYTES:
        raise ValueError(f"the path takes {len(text)} bytes of object metadata, {PATH_BYTES} are left for it")
    return text


def decode_path(text: str) -> RelPath:
    """Undo encode_path. Raise ValueError where the text is not one."""
    if text.startswith(_BASE64):
        path = path_from_bytes(base64.b64decode(text[len(_BASE64) :], altchars=b"-_", validate=True))
    else:
        path = path_from_bytes(unquote_to_bytes(text))
    if not is_asset_path(path):
        raise ValueError(f"{text!a} is not a path relative to the cache root")
    return path


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text!a} is not of the form {pattern.pattern}")
    return text


def _within(number: int, least: int, above: int) -> int:
    if not least <= number < above:
        raise ValueError(f"{number} is out of range")
    return number
