"""What people say about an asset: register it, describe it, remove it from both tiers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from index.asset import printable
from index.changes import Change
from index.errors import IndexFullError, StaleTransitionError
from index.lifecycle import HOT, IN_FLIGHT, Event, State
from tiering.demoter import bring_back
from tiering.label import Label, check_tags, fitting
from tiering.metadata import largest_entries
from tiering.outcome import ConflictError, IgnoredError
from tiering.rehash import rehash
from tiering.store import NotFoundError, PreconditionError, StoreError
from tiering.trash import Safety, discard, move_to_trash, recheck, trashed_sha256
from tiering.tree import ChangedError, FileError, MissingError
from tiering.unbroken import unbroken
from tiering.vocabulary import checked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from index.asset import Asset, AssetId, RelPath
    from index.catalog import Catalog
    from tiering.store import Store
    from tiering.tree import Tree
    from tiering.turns import Turns

log = logging.getLogger(__name__)

PAGE: Final = 1000
RETRY_SECONDS: Final = 30.0


class Registry:
    """Changes what is known of an asset, and ends assets."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        store: Store,
        *,
        turns: Turns,
        find: Callable[[RelPath], Awaitable[Asset]],
        recall: Callable[[AssetId], Awaitable[None]],
    ) -> None:
        """`recall` waits until no demotion of the asset is under way."""
        self._catalog = catalog
        self._tree = tree
        self._store = store
        self._turns = turns
        self._find = find
        self._recall = recall
        self._to_purge = asyncio.Event()

    async def register(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str] | None, tags: Mapping[str, str] | None
    ) -> Asset:
        """Take a file in at once, and set what is given.

        Raise IgnoredError for a name that is no asset's, MeaningError where the type says otherwise.
        """
        if self._tree.is_ignored(path):
            raise IgnoredError(f"{printable(path)} has a name that [cache] ignore leaves out", hint="rename the file")
        asset = await self._find(path)
        return await self.describe(
            path,
            type=asset.type if type is None else type,
            fields=asset.fields if fields is None else fields,
            tags=asset.tags if tags is None else tags,
        )

    async def describe(
        self, path: RelPath, *, type: str | None, fields: Mapping[str, str], tags: Mapping[str, str]
    ) -> Asset:
        """Set type, fields and tags to exactly this. Raise MeaningError where the type says otherwise."""
        fields = checked(type, fields)
        check_tags(tags)
        asset = await self._find(path)
        fitting(largest_entries(asset.path), Label(type, fields, tags))
        return await self._catalog.describe(asset.id, type=type, fields=fields, tags=tags)

    async def remove(self, path: RelPath) -> Asset:
        """Remove an asset from both tiers. Raise ConflictError where somebody uses or moves it.

        The local copy is out of reach before the tombstone is committed, so that no scan can find it again; the remote
        one is removed after that, by whichever run of the daemon gets to it.
        """
        asset = await self._find(path)
        await self._recall(asset.id)
        async with self._turns.take(asset.id):
            asset = await unbroken(self._remove(await self._catalog.get(asset.id)))
        self._to_purge.set()
        return asset

    async def _remove(self, asset: Asset) -> Asset:
        if asset.state in IN_FLIGHT:
            raise ConflictError(f"{printable(asset.path)} is {asset.state}", hint="try again in a moment")
        if asset.state in HOT:
            await self._take_away(asset)
        asset = await self._bury(asset)
        await self._discard(asset)
        return asset

    async def _discard(self, asset: Asset) -> None:
        try:
            await asyncio.to_thread(discard, self._tree, asset.id)
        except FileError as error:
            log.warning("removed, but its copy stays in the trash until the next start: %s", error)

    async def _bury(self, asset: Asset) -> Asset:
        try:
            return await self._catalog.apply(_removal(asset), patient=False)
        except IndexFullError:
            await asyncio.to_thread(bring_back, self._tree, asset)
            raise
        except StaleTransitionError:
            now = await self._catalog.get(asset.id)
        match now.state:
            case State.GONE:
                return now
            case State.COLD:
                # A scan saw first that the file is not at its name any more.
                return await self._catalog.apply(_removal(now))
            case _:
                await asyncio.to_thread(bring_back, self._tree, now)
                raise ConflictError(f"{printable(now.path)} is {now.state}", hint="try again in a moment")

    async def _take_away(self, asset: Asset) -> None:
        try:
            asset = await self._looked_at(asset)
            if await asyncio.to_thread(move_to_trash, self._tree, asset) is Safety.GRACE:
                await asyncio.to_thread(_require_meant, self._tree, asset)
        except MissingError:
            return
        except FileError as error:
            raise ConflictError(
                str(error), hint="close the file, or let the daemon see its change, and try again"
            ) from error

    async def _looked_at(self, asset: Asset) -> Asset:
        """Return the asset with the ctime that its file must still have when it goes.

        What was proven is what a person named: where the file was touched since, it is read again. Of what was never
        proven the present content goes, and nothing that is written after it was looked at.
        """
        seen = await asyncio.to_thread(self._tree.sight_settled, asset.path)
        if asset.state is State.REPLICATED and seen.ctime_ns != asset.ctime_ns:
            return await rehash(self._catalog, self._tree, asset, settle=0.0)
        return replace(asset, ctime_ns=seen.ctime_ns)

    def purge_soon(self) -> None:
        """Remove the remote copies of tombstones now."""
        self._to_purge.set()

    async def run(self) -> None:
        """Remove the remote copies of tombstones, for ever; also those that an earlier run left."""
        while True:
            self._to_purge.clear()
            retry = await self._purge_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(retry):
                    await self._to_purge.wait()

    async def _purge_all(self) -> float | None:
        """Return when to try again, in seconds; None where nothing is left to do."""
        while tombstones := await self._catalog.to_purge(limit=PAGE):
            for asset in tombstones:
                try:
                    await self._purge(asset)
                except StoreError as error:
                    log.warning(
                        "remote copy not removed yet: %s (%s)", printable(asset.path), error, extra={"asset": asset.id}
                    )
                    return RETRY_SECONDS
        return None

    async def _purge(self, asset: Asset) -> None:
        """Remove exactly the object that was proven: another one at its key is somebody's."""
        if asset.proof is not None:
            try:
                await self._store.delete(asset.proof.key, etag=asset.proof.etag)
            except (NotFoundError, PreconditionError) as error:
                log.info("remote copy left alone: %s (%s)", printable(asset.path), error, extra={"asset": asset.id})
        await self._catalog.purged(asset.id)


def _require_meant(tree: Tree, asset: Asset) -> None:
    """Put back what its owner wrote while it was taken away: where no file lease can be had, nothing kept him off.

    Raise ChangedError then, or what looking at it raises.
    """
    try:
        recheck(tree, asset)
        if asset.state is State.REPLICATED and trashed_sha256(tree, asset) != asset.sha256:
            raise ChangedError(asset.path, "was written while it was taken away")
    except FileError:
        bring_back(tree, asset)
        raise


def _removal(asset: Asset) -> Change:
    return Change.about(asset, Event.REMOVED, purge=asset.proof is not None)
