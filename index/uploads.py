"""Multipart uploads under way: what must survive a crash so that only the missing parts are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import AssetId


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """One finished part; `number` counts from 1, `size` is in bytes."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """One multipart upload of one generation of an asset, with the parts that the store has acknowledged, in order."""

    asset_id: AssetId
    key: str
    upload_id: str
    part_size: int
    generation: int
    parts: tuple[UploadedPart, ...] = ()
