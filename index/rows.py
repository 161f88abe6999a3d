"""A row of the table `asset`, with its row of `warmth`, and the asset that both stand for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from index.asset import (
    Asset,
    AssetId,
    Failure,
    Fingerprint,
    Proof,
    ProofMethod,
    RelPath,
    path_from_bytes,
    path_to_bytes,
)
from index.errors import CorruptIndexError
from index.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = tuple[Any, ...]

COLUMNS: Final = (
    "id, path, state, generation, size, mtime_ns, inode, ctime_ns, disk_bytes, mode, links, sha256, content_type,"
    " proof_key, proof_etag, proof_size, proof_sha256, proof_generation, proof_mtime_ns, proof_mode, proof_method,"
    " proof_at, pinned, type, fields, tags, discovered_at, changed_at, due_at, last_access, access_count, promoted_at,"
    " failure_code, failure_message, failure_attempts, failure_retry_at, overwrite, purge, checked_at, heat, measured"
)
"""In the order that `asset_from` expects."""

KNOWN_COLUMNS: Final = (
    "id, path, state, generation, size, mtime_ns, inode, ctime_ns, disk_bytes, links, last_access,"
    " proof_key IS NOT NULL"
)
"""In the order that `known_from` expects."""

_STATES: Final[Mapping[str, State]] = {state.value: state for state in State}
_METHODS: Final[Mapping[str, ProofMethod]] = {method.value: method for method in ProofMethod}

_SIGN: Final = 1 << 63
_WORD: Final = 1 << 64


class Known(NamedTuple):
    """As much of an asset as a scan compares. `proven`: some content of it is known to be in the store."""

    id: AssetId
    path: RelPath
    state: State
    generation: int
    fingerprint: Fingerprint | None
    ctime_ns: int
    disk_bytes: int
    links: int
    last_access: float
    proven: bool


def asset_from(row: Row) -> Asset:
    """Return the asset. Raise CorruptIndexError where the row is not one that we wrote."""
    try:
        return Asset(
            id=row[0],
            path=path_from_bytes(row[1]),
            state=_STATES[row[2]],
            generation=row[3],
            fingerprint=_fingerprint(*row[4:7]),
            ctime_ns=row[7],
            disk_bytes=row[8],
            mode=row[9],
            links=row[10],
            sha256=row[11],
            content_type=row[12],
            proof=None if row[13] is None else _proof(row[13:22]),
            pinned=row[22] == 1,
            type=row[23],
            fields=_words(row[24]),
            tags=_words(row[25]),
            discovered_at=row[26],
            changed_at=row[27],
            due_at=row[28],
            # What has none lost its row of `warmth`.
            last_access=float(row[29]),
            access_count=row[30],
            promoted_at=row[31],
            failure=None if row[32] is None else Failure(*row[32:36]),
            overwrite=row[36] == 1,
            purge=row[37] == 1,
            checked_at=row[38],
            heat=row[39],
            measured=None if row[40] is None else _words(row[40]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CorruptIndexError(f"the row of asset {row[0]!r} makes no sense ({error!r})") from error


def known_from(row: Row) -> Known:
    """Return what a scan compares. Raise CorruptIndexError as asset_from does."""
    try:
        asset_id, path, state, generation, size, mtime_ns, inode, ctime_ns, disk_bytes, links, accessed, proven = row
        return Known(
            asset_id,
            path_from_bytes(path),
            _STATES[state],
            generation,
            _fingerprint(size, mtime_ns, inode),
            ctime_ns,
            disk_bytes,
            links,
            float(accessed),
            proven == 1,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CorruptIndexError(f"the row of asset {row[0]!r} makes no sense ({error!r})") from error


def columns_of(asset: Asset) -> dict[str, Any]:
    """Return the row of `asset` by column. That of `warmth` is written with accesses."""
    return {
        "id": asset.id,
        "path": path_to_bytes(asset.path),
        "state": asset.state.value,
        "generation": asset.generation,
        **fingerprint_columns(asset.fingerprint),
        "ctime_ns": clamped(asset.ctime_ns),
        "disk_bytes": asset.disk_bytes,
        "mode": asset.mode,
        "links": asset.links,
        "sha256": asset.sha256,
        "content_type": legible(asset.content_type),
        **_proof_columns(asset.proof),
        "pinned": int(asset.pinned),
        **description_columns(asset.type, asset.fields, asset.tags),
        "discovered_at": asset.discovered_at,
        "changed_at": asset.changed_at,
        "due_at": asset.due_at,
        "handled_at": asset.last_access,
        "promoted_at": asset.promoted_at,
        **_failure_columns(asset.failure),
        "overwrite": int(asset.overwrite),
        "purge": int(asset.purge),
        "checked_at": asset.checked_at,
        "measured": None if asset.measured is None else json.dumps(dict(asset.measured)),
    }


def fingerprint_columns(fingerprint: Fingerprint | None) -> dict[str, int | None]:
    """Return the three columns of a fingerprint."""
    if fingerprint is None:
        return {"size": None, "mtime_ns": None, "inode": None}
    return {
        "size": fingerprint.size,
        "mtime_ns": clamped(fingerprint.mtime_ns),
        "inode": signed(fingerprint.inode),
    }


def description_columns(type: str | None, fields: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str | None]:
    """Return the three columns of what people say about an asset."""
    return {
        "type": legible(type),
        "fields": json.dumps(dict(fields)) if fields else None,
        "tags": json.dumps(dict(tags)) if tags else None,
    }


def legible(text: str | None) -> str | None:
    """Return what SQLite can store of a text that came from elsewhere: surrogates become question marks."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def signed(number: int) -> int:
    """Return an unsigned 64-bit number, such as the inodes of some union file systems, as SQLite can store it."""
    return number - _WORD if number >= _SIGN else number


def clamped(number: int) -> int:
    """Return the nearest number that SQLite can store: a hostile time stamp must not stop a scan."""
    return number if -_SIGN <= number < _SIGN else max(-_SIGN, min(number, _SIGN - 1))


def _fingerprint(size: int | None, mtime_ns: int, inode: int) -> Fingerprint | None:
    if size is None:
        return None
    return Fingerprint(size, mtime_ns, inode if inode >= 0 else inode + _WORD)


def _proof(columns: Row) -> Proof:
    key, etag, size, sha256, generation, mtime_ns, mode, method, at = columns
    return Proof(key, etag, size, sha256, generation, mtime_ns, mode, _METHODS[method], at)


def _words(text: str | None) -> Mapping[str, str]:
    if text is None:
        return {}
    words: dict[str, str] = json.loads(text)
    return words


def _proof_columns(proof: Proof | None) -> dict[str, Any]:
    return {
        "proof_key": proof.key if proof else None,
        "proof_etag": proof.etag if proof else None,
        "proof_size": proof.size if proof else None,
        "proof_sha256": proof.sha256 if proof else None,
        "proof_generation": proof.generation if proof else None,
        "proof_mtime_ns": clamped(proof.mtime_ns) if proof else None,
        "proof_mode": proof.mode if proof else None,
        "proof_method": proof.method.value if proof else None,
        "proof_at": proof.at if proof else None,
    }


def _failure_columns(failure: Failure | None) -> dict[str, Any]:
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": legible(failure.message) if failure else None,
        "failure_attempts": failure.attempts if failure else None,
        "failure_retry_at": failure.retry_at if failure else None,
    }
