"""What each interrupted state becomes after a start: the normal way to begin, there is no other repair.

The rule is pure: state and facts on disk in, event out. The facts are gathered and the leftovers cleared around it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from index.changes import Change
from index.errors import UnknownAssetError
from index.lifecycle import IN_FLIGHT, Event, State
from tiering.demoter import bring_back
from tiering.trash import discard, listing, trashed_sha256
from tiering.tree import FileError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.asset import Asset, AssetId, Sighting
    from index.catalog import Catalog
    from tiering.tree import Tree

log = logging.getLogger(__name__)

PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Facts:
    """What the disk shows: the file at the asset's path, whether it is the proven content, whether any may be left."""

    sighting: Sighting | None
    is_proven_content: bool
    may_be_left: bool


def verdict(asset: Asset, facts: Facts) -> Event:
    """Return what happened to an asset that a mover held when the process ended.

    1. It was on its way to the store: it is due again; what the store already has is adopted, not sent again.
    2. It was to leave the disk: if any local copy is left, it stays; if none is, it left.
    3. It was on its way back: it is back if the file is there and right, a new generation if its owner wrote another.
    """
    match asset.state:
        case State.UPLOADING | State.VERIFYING:
            return Event.DEFERRED
        case State.DEMOTING:
            return Event.SPARED if facts.may_be_left else Event.EVICTED
        case State.PROMOTING if facts.sighting is None:
            return Event.DEFERRED
        case State.PROMOTING:
            return Event.RESTORED if facts.is_proven_content else Event.CHANGED
        case _:
            raise ValueError(f"{asset.state} is not an interrupted state")


async def recover(catalog: Catalog, tree: Tree, *, clock: Callable[[], float]) -> int:
    """Bring every interrupted asset into a state of rest; return how many there were. Safe to repeat."""
    recovered = 0
    while interrupted := await catalog.in_states(IN_FLIGHT, limit=PAGE):
        for asset in interrupted:
            facts = await asyncio.to_thread(_facts, tree, asset)
            await catalog.apply(_change(asset, facts, now=clock()))
        recovered += len(interrupted)
    await _clear_trash(catalog, tree)
    return recovered


def _facts(tree: Tree, asset: Asset) -> Facts:
    """Look at the disk; a copy in the trash is given its name back first."""
    try:
        if asset.state is State.DEMOTING:
            bring_back(tree, asset)
        sighting = tree.sight(asset.path)
        proof = asset.proof if asset.state is State.PROMOTING and asset.is_proven else None
        proven = proof is not None and tree.sha256(asset.path) == proof.sha256
    except MissingError:
        return Facts(None, is_proven_content=False, may_be_left=False)
    except FileError:
        # A disk that does not answer says nothing about what is on it.
        return Facts(None, is_proven_content=False, may_be_left=True)
    return Facts(sighting, is_proven_content=proven, may_be_left=True)


def _change(asset: Asset, facts: Facts, *, now: float) -> Change:
    event = verdict(asset, facts)
    sighting = facts.sighting if event in {Event.RESTORED, Event.CHANGED} else None
    return Change.about(asset, event, sighting=sighting, due_at=now, reason="recovered after a stop")


async def _clear_trash(catalog: Catalog, tree: Tree) -> None:
    """What is left in the trash belongs to no demotion: it is discarded where it is not wanted or known to be cold.

    Everything else gets its name back: of a damaged asset it may be the last right copy there is.
    """
    for asset_id in await asyncio.to_thread(listing, tree):
        asset = await _known(catalog, asset_id)
        if asset is None:
            log.error("the trash holds a file of an asset that the index does not know; it is kept: %s", asset_id)
        else:
            await asyncio.to_thread(_clear, tree, asset)


def _clear(tree: Tree, asset: Asset) -> None:
    try:
        if asset.state is State.GONE or (asset.state is State.COLD and _is_proven(tree, asset)):
            discard(tree, asset.id)
        else:
            bring_back(tree, asset)
    except FileError as error:
        log.warning("left in the trash until the next start: %s", error)


def _is_proven(tree: Tree, asset: Asset) -> bool:
    return asset.proof is not None and trashed_sha256(tree, asset) == asset.proof.sha256


async def _known(catalog: Catalog, asset_id: AssetId) -> Asset | None:
    try:
        return await catalog.get(asset_id)
    except UnknownAssetError:
        return None
