"""What `tierd upload` does where no daemon runs: it takes in the files that it was given, no others, and sends them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.alone import alone
from daemon.cli_options import outcome_of
from daemon.cli_upload import SAFE, Batches, Step, copy_in
from daemon.instance import hold_lock
from daemon.wire import TierdError
from index.asset import RelPath
from index.catalog import Catalog
from index.changes import Change
from index.errors import StaleTransitionError, UnknownAssetError
from index.lifecycle import Event, State
from tiering.tree import FileError, Tree
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daemon.alone import Ground
    from daemon.app import Parts
    from daemon.settings import Settings
    from index.asset import Asset

BUSY_SECONDS: Final = 30.0
"""How long a file that is being written is waited for."""

Result = dict[str, Any]


def kept(settings: Settings, steps: Sequence[Step]) -> list[Step]:
    """Return what is to be uploaded: of what was found in directories, all that the configuration does not ignore."""
    tree = Tree(settings.cache.root, ignored=settings.cache.ignore)
    return [step for step in steps if step.is_named or not tree.is_ignored(RelPath(step.path))]


async def upload_alone(
    on: Ground, steps: Sequence[Step], batches: Batches, *, force: bool, tell: Callable[[Result], None]
) -> list[Result]:
    """Have all files safe in the store, batch by batch; `tell` is told of each. Raise as `alone.finish` expects it."""
    async with alone(on) as parts:
        if await parts.discovery.is_due():
            # Files are seen before the objects that they may have: else they were taken for written anew.
            await parts.reconciler.look_once()
            await parts.discovery.finish()
        await parts.prober.ask()
        errand = Errand(parts, force=force)
        results: list[Result] = []
        wanted = batches.wanted(steps, await errand.safe())[: batches.limit]
        for start in range(0, len(wanted), batches.size):
            for result in await errand.upload(wanted[start : start + batches.size]):
                tell(result)
                results.append(result)
    return results


async def safe_paths(index: Path) -> frozenset[str]:
    """Return the paths of what is in the store by this index, if there is one. Raise AlreadyRunningError."""
    if not await asyncio.to_thread(index.exists):
        return frozenset()
    with hold_lock(Path(f"{index}.lock")):
        catalog = await Catalog.open(index)
        try:
            return await _safe(catalog)
        finally:
            await catalog.close()


async def _safe(catalog: Catalog) -> frozenset[str]:
    found: set[str] = set()
    after = ""
    while page := await catalog.in_states([State(each) for each in SAFE], limit=1000, after=after):
        found.update(asset.path for asset in page)
        after = page[-1].id
    return frozenset(found)


class Errand:
    """Uploads by the parts of a daemon that does nothing by itself. `force`: foreign objects are replaced."""

    def __init__(self, parts: Parts, *, force: bool) -> None:
        self._parts = parts
        self._force = force

    async def safe(self) -> frozenset[str]:
        """Return the paths of what is in the store."""
        return await _safe(self._parts.catalog)

    async def upload(self, steps: Sequence[Step]) -> list[Result]:
        """Have these safe, some at once; return what became of each, in their order."""
        results: dict[str, Result] = {}

        async def send(step: Step) -> None:
            try:
                results[step.path] = await self._send(step)
            except (FileError, StaleTransitionError, UnknownAssetError) as error:
                results[step.path] = outcome_of(step.path, "failed", reason=str(error))
            except TierdError as error:
                results[step.path] = outcome_of(step.path, "refused", reason=error.message)

        at_once = self._parts.settings.upload.concurrency
        await for_each({step.path: step for step in steps}.values(), send, at_once=at_once, name="upload")
        return [results[step.path] for step in steps]

    async def _send(self, step: Step) -> Result:
        if not self._parts.planner.rollout.covers(RelPath(step.path)):
            return outcome_of(step.path, "failed", reason=self._parts.planner.rollout.reason)
        if not step.is_inside:
            await asyncio.to_thread(copy_in, step.source, self._parts.settings.cache.root / step.path)
        asset = await self._parts.reconciler.take_in(RelPath(step.path))
        if asset.state is State.STUCK:
            asset = await self._retry(asset, overwrite=False)
        asset = await self._settle(asset)
        if self._force and asset.state is State.STUCK:
            asset = await self._settle(await self._retry(asset, overwrite=True))
        is_safe = asset.state in SAFE
        reason = asset.failure.message if asset.failure is not None and not is_safe else ""
        return outcome_of(step.path, "done" if is_safe else "failed", reason=reason, state=asset.state, size=asset.size)

    async def _retry(self, asset: Asset, *, overwrite: bool) -> Asset:
        change = Change.about(asset, Event.RETRIED, overwrite=overwrite, due_at=time.time())
        return await self._parts.catalog.apply(change)

    async def _settle(self, asset: Asset) -> Asset:
        """Upload it, and again where its writer was not done."""
        until = time.monotonic() + BUSY_SECONDS
        while asset.state is State.NEW:
            claimed = await self._parts.catalog.apply(Change.about(asset, Event.CLAIMED))
            await self._parts.uploader.upload(claimed)
            asset = await self._parts.catalog.get(asset.id)
            failure = asset.failure
            if asset.state is State.NEW and failure is not None:
                if failure.code != "busy" or time.monotonic() > until:
                    break
                await asyncio.sleep(max(0.0, (failure.retry_at or 0.0) - time.time()))
        return asset
