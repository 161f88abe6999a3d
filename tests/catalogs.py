"""What the tests of the catalog share: files as a scan would have seen them, and assets driven to a state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samples import NOW, a_proof

from index.asset import Asset, Failure, Fingerprint, Proof, RelPath, Sighting
from index.changes import Change, Observations
from index.lifecycle import Event, State

if TYPE_CHECKING:
    from index.catalog import Catalog

A_FAILURE = Failure("refused", "no", 3, None)

WAYS: dict[State, tuple[Event, ...]] = {
    State.NEW: (),
    State.UPLOADING: (Event.CLAIMED,),
    State.VERIFYING: (Event.CLAIMED, Event.SENT),
    State.REPLICATED: (Event.CLAIMED, Event.SENT, Event.VERIFIED),
    State.DEMOTING: (Event.CLAIMED, Event.SENT, Event.VERIFIED, Event.CHOSEN),
    State.COLD: (Event.CLAIMED, Event.SENT, Event.VERIFIED, Event.CHOSEN, Event.EVICTED),
    State.PROMOTING: (Event.CLAIMED, Event.SENT, Event.VERIFIED, Event.CHOSEN, Event.EVICTED, Event.WANTED),
    State.STUCK: (Event.REFUSED,),
    State.DAMAGED: (Event.CLAIMED, Event.SENT, Event.VERIFIED, Event.CHOSEN, Event.EVICTED, Event.MISMATCHED),
    State.GONE: (Event.LOST,),
}
"""How a new asset gets to each state."""


def a_sighting(path: str = "a.jpg", *, size: int = 1000, inode: int = 7, **changes: Any) -> Sighting:
    """Return a regular file that nobody has touched for long."""
    sighting = Sighting(
        path=RelPath(path),
        fingerprint=Fingerprint(size, 1_700_000_000_000_000_000, inode),
        ctime_ns=1_700_000_000_000_000_001,
        disk_bytes=-(-size // 4096) * 4096,
        mode=0o640,
        links=1,
        atime_ns=1_700_000_000_000_000_002,
    )
    return sighting._replace(**changes)


def proof_of(asset: Asset) -> Proof:
    """Return a proof of the present content."""
    return a_proof(key=f"k/{asset.id}", size=asset.size, generation=asset.generation)


def change(asset: Asset, event: Event, **what: Any) -> Change:
    """Return a change that brings what its event needs, if nothing else is given."""
    if event in {Event.CHANGED, Event.RESTORED}:
        what = {"sighting": a_sighting(asset.path)} | what
    if event is Event.VERIFIED:
        what = {"proof": proof_of(asset), "content_type": "image/jpeg"} | what
    if event is Event.REFUSED:
        what = {"failure": A_FAILURE} | what
    return Change.about(asset, event, **what)


async def discover(catalog: Catalog, path: str = "a.jpg", *, due_at: float = NOW, **what: Any) -> Asset:
    """Have a new file found."""
    await catalog.observe(Observations(discovered=[(a_sighting(path, **what), due_at)]))
    return await catalog.find(RelPath(path))


async def drive(catalog: Catalog, asset: Asset, *events: Event) -> Asset:
    """Have these things happen to the asset."""
    for event in events:
        asset = await catalog.apply(change(asset, event))
    return asset


async def bring_to(catalog: Catalog, state: State, path: str = "a.jpg", **what: Any) -> Asset:
    """Have a new file found, and brought to this state."""
    return await drive(catalog, await discover(catalog, path, **what), *WAYS[state])
