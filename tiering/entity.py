"""The entity tag: one name for one content, the same wherever an answer carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.asset import Asset, Fingerprint


def entity_tag(sha256: str | None, fingerprint: Fingerprint | None) -> str:
    """Return the content's SHA-256 if it is known, else a name made of the local file's fingerprint. No quotes."""
    if sha256 is not None:
        return sha256
    if fingerprint is None:
        return "unknown"
    return f"{fingerprint.size:x}-{fingerprint.mtime_ns:x}-{fingerprint.inode:x}"


def content_sha256(asset: Asset) -> str | None:
    """Return the SHA-256 of the present content, as far as it is known: of the local file, else of the remote copy."""
    if asset.fingerprint is not None:
        return asset.sha256
    return asset.proof.sha256 if asset.proof is not None and not asset.is_listed else None


def asset_tag(asset: Asset) -> str:
    """Return the entity tag of the asset's present content."""
    return entity_tag(content_sha256(asset), asset.fingerprint)
