"""What may happen to a row of the index, as values, and what it leaves behind.

`lifecycle.advance` says which state follows an event; `outcome` says what else becomes of the asset. Both are pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, Unpack

from index.asset import printable
from index.errors import StaleTransitionError
from index.lifecycle import Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from index.asset import Asset, AssetId, Failure, Proof, RelPath, Sighting


class Brought(TypedDict, total=False):
    """What a change may bring with it: see Change."""

    path: RelPath | None
    sighting: Sighting | None
    sha256: str | None
    content_type: str | None
    proof: Proof | None
    failure: Failure | None
    due_at: float | None
    overwrite: bool | None
    purge: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event about one asset, and what it brings. Applies only while the asset is in `state` and of `generation`.

    `path`: it moved there. `sighting`: the local file as seen now. `due_at`: when a `new` asset may be claimed.
    What is None stays as the event leaves it.
    """

    id: AssetId
    state: State
    generation: int
    event: Event
    path: RelPath | None = None
    sighting: Sighting | None = None
    sha256: str | None = None
    content_type: str | None = None
    proof: Proof | None = None
    failure: Failure | None = None
    due_at: float | None = None
    overwrite: bool | None = None
    purge: bool | None = None
    reason: str = ""

    @classmethod
    def about(cls, asset: Asset, event: Event, **what: Unpack[Brought]) -> Change:
        """Return a change to the asset as it is known here and now."""
        return cls(id=asset.id, state=asset.state, generation=asset.generation, event=event, **what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What a scan found. `discovered` are (file, when it may be claimed), `refreshed` are files that did not change.

    `seen_after` is a time before any of them was looked at: what was removed since then is not there because of them.
    `misplaced` are assets whose remote copy is to follow them to another key, once all else is believed.
    """

    discovered: Sequence[tuple[Sighting, float]] = ()
    seen_after: float | None = None
    changes: Sequence[Change] = ()
    refreshed: Sequence[tuple[AssetId, Sighting]] = ()
    misplaced: Sequence[AssetId] = ()


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An asset as its object in the store describes it, for an index that does not know it.

    `replaces` is the SHA-256 of the content that was proven when this one was sent; `elsewhere`: another host sent it.
    """

    id: AssetId
    path: RelPath
    proof: Proof
    content_type: str | None
    replaces: str | None = None
    elsewhere: bool = False
    type: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, Any]:
        """What people said of the asset; nothing where the object does not tell."""
        if self.type is None and not self.fields and not self.tags:
            return {}
        return {"type": self.type, "fields": self.fields, "tags": self.tags}


def succeeds(found: FoundObject, known: Asset) -> bool:
    """Whether an object holds a later content than the one that was proven of the asset.

    It counts higher; or it lies where that one lay and says that it was sent in its place; or it lies there and another
    host sent it: whoever writes at a key of ours must have known what he replaced. Of hosts that take turns, and of an
    index that counted on since, generations alone do not tell.
    """
    if found.id == known.id and known.generation < found.proof.generation:
        return True
    proof = known.proof
    if proof is None or proof.key != found.proof.key or proof.etag == found.proof.etag:
        return False
    return found.elsewhere or (found.id == known.id and proof.sha256 == found.replaces)


def last_use(sighting: Sighting, *, now: float) -> float:
    """Return when the file was last handled. A file copied in with an old access time was handled when it arrived."""
    return min(max(sighting.atime_ns, sighting.ctime_ns) / 1e9, now)


def outcome(asset: Asset, change: Change, *, now: float) -> Asset:
    """Return the asset as the change leaves it.

    Raise StaleTransitionError where the change is about another state or generation, IllegalTransitionError where the
    lifecycle has no such edge, ValueError where it is about another asset: the last two are bugs.
    """
    if asset.id != change.id:
        raise ValueError(f"a change to {change.id} cannot be made to {asset.id}")
    if (asset.state, asset.generation) != (change.state, change.generation):
        raise StaleTransitionError(
            f"{printable(asset.path)}: {change.event} is about generation {change.generation} while {change.state},"
            f" but it is {asset.state} and of generation {asset.generation}; read it again"
        )
    state = advance(asset.state, change.event)
    effect = _EFFECTS.get(change.event)
    after = {} if effect is None else effect(asset, change, now)
    return replace(asset, **after | _brought(change), state=state)


class _Effect(Protocol):
    def __call__(self, asset: Asset, change: Change, now: float, /) -> dict[str, Any]: ...


def _brought(change: Change) -> dict[str, Any]:
    given = {
        "path": change.path,
        "sha256": change.sha256,
        "content_type": change.content_type,
        "proof": change.proof,
        "due_at": change.due_at,
        "overwrite": change.overwrite,
        "purge": change.purge,
    }
    local = {} if change.sighting is None else local_columns(change.sighting)
    return local | {name: value for name, value in given.items() if value is not None}


def local_columns(sighting: Sighting) -> dict[str, Any]:
    """Return the fields of an asset that describe its local file."""
    return {
        "fingerprint": sighting.fingerprint,
        "ctime_ns": sighting.ctime_ns,
        "disk_bytes": sighting.disk_bytes,
        "mode": sighting.mode,
        "links": sighting.links,
    }


_NO_LOCAL_FILE: Final[Mapping[str, Any]] = {
    "fingerprint": None,
    "ctime_ns": 0,
    "disk_bytes": 0,
    "mode": 0,
    "links": 0,
    "sha256": None,
}


def _changed(asset: Asset, change: Change, now: float) -> dict[str, Any]:
    handled = asset.last_access if change.sighting is None else last_use(change.sighting, now=now)
    return {
        "generation": asset.generation + 1,
        "sha256": None,
        "content_type": None,
        "measured": None,
        "failure": None,
        "overwrite": False,
        "purge": False,
        "due_at": now,
        "changed_at": now,
        "last_access": max(asset.last_access, handled),
        # A file at the path of a tombstone is another file.
        "discovered_at": now if asset.state is State.GONE else asset.discovered_at,
    }


def _deferred(_asset: Asset, change: Change, now: float) -> dict[str, Any]:
    return {"failure": change.failure, "due_at": _retry_at(change, now)}


def _refused(_asset: Asset, change: Change, _now: float) -> dict[str, Any]:
    return {"failure": change.failure}


def _retried(_asset: Asset, _change: Change, now: float) -> dict[str, Any]:
    return {"failure": None, "due_at": now}


def _verified(_asset: Asset, change: Change, _now: float) -> dict[str, Any]:
    return {"sha256": change.proof.sha256 if change.proof else None, "failure": None, "overwrite": False}


def _restored(asset: Asset, _change: Change, now: float) -> dict[str, Any]:
    sha256 = asset.proof.sha256 if asset.proof else None
    return {"sha256": sha256, "failure": None, "promoted_at": now, "last_access": max(asset.last_access, now)}


def _mismatched(asset: Asset, change: Change, now: float) -> dict[str, Any]:
    failed = {"failure": change.failure, "due_at": _retry_at(change, now)}
    if asset.state is not State.REPLICATED:
        return failed
    # What was thought safe is not: it is unprotected from now on, and nothing that we believed of it counts.
    return failed | {"sha256": None, "proof": None, "changed_at": now}


def _evicted(asset: Asset, _change: Change, now: float) -> dict[str, Any]:
    # A mode changed after the upload is no new content, and must come back with the file all the same.
    proof = replace(asset.proof, mode=asset.mode) if asset.proof else None
    return {**_NO_LOCAL_FILE, "proof": proof, "checked_at": now}


def _vanished(asset: Asset, _change: Change, _now: float) -> dict[str, Any]:
    # The newest content that exists anywhere is the remote one: it is the present one now.
    proof = replace(asset.proof, generation=asset.generation) if asset.proof else None
    return {**_NO_LOCAL_FILE, "proof": proof, "failure": None, "checked_at": proof.at if proof else 0.0}


def _misplaced(asset: Asset, _change: Change, _now: float) -> dict[str, Any]:
    # The copy that follows is of a higher generation than the object that it is made of, and wins where the index is
    # lost; and whatever comes after it, even if nobody hears of that copy, is of a higher one still.
    generation = asset.generation + 1
    return {"generation": generation, "proof": replace(asset.proof, generation=generation) if asset.proof else None}


def _gone(_asset: Asset, _change: Change, now: float) -> dict[str, Any]:
    return {**_NO_LOCAL_FILE, "failure": None, "changed_at": now}


def _retry_at(change: Change, now: float) -> float:
    if change.failure is None or change.failure.retry_at is None:
        return now
    return change.failure.retry_at


_EFFECTS: Final[Mapping[Event, _Effect]] = {
    Event.CHANGED: _changed,
    Event.DEFERRED: _deferred,
    Event.REFUSED: _refused,
    Event.RETRIED: _retried,
    Event.VERIFIED: _verified,
    Event.RESTORED: _restored,
    Event.MISMATCHED: _mismatched,
    Event.EVICTED: _evicted,
    Event.VANISHED: _vanished,
    Event.LOST: _gone,
    Event.REMOVED: _gone,
    Event.MISPLACED: _misplaced,
}
