"""Index against tree against store: every asset is looked up on both sides, and what differs is said."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from index.asset import RelPath
from index.lifecycle import HOT, State
from tiering.answers import Difference, VerifyProgress, VerifyReport
from tiering.metadata import Passport
from tiering.store import NotFoundError, StoreError
from tiering.tree import FileError, MissingError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from index.asset import Asset, Proof
    from index.catalog import Catalog
    from tiering.store import ObjectInfo, Store
    from tiering.tree import Tree

AT_ONCE: Final = 16
PAGE: Final = 256


class Verifier:
    """Compares and changes nothing; `deep` also reads every remote copy back and hashes every local one."""

    def __init__(self, catalog: Catalog, tree: Tree, store: Store) -> None:
        self._catalog = catalog
        self._tree = tree
        self._store = store

    async def verify(self, *, deep: bool) -> AsyncGenerator[VerifyProgress | VerifyReport, None]:
        """Yield progress page by page, the report last."""
        checked = size = 0
        differences: list[Difference] = []
        total = sum(count for state, count in self._catalog.totals.assets.items() if state is not State.GONE)
        after = ""
        while page := await self._catalog.in_states(list(State), limit=PAGE, after=after):
            after = page[-1].id
            assets = [asset for asset in page if asset.state is not State.GONE]
            differences += await self._compare_all(assets, deep=deep)
            checked += len(assets)
            size += sum(asset.size for asset in assets)
            yield VerifyProgress(checked=checked, total=total, bytes=size)
        strays, superseded = await self._unreferenced()
        report = VerifyReport(
            checked=checked, bytes=size, differences=(*differences, *strays), superseded=tuple(superseded)
        )
        yield report

    async def _compare_all(self, assets: Sequence[Asset], *, deep: bool) -> list[Difference]:
        todo = iter(assets)
        found: list[Difference] = []

        async def work() -> None:
            for asset in todo:
                said = [await self._compare_store(asset, deep=deep), await self._compare_disk(asset, deep=deep)]
                found.extend(difference for difference in said if difference is not None)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(AT_ONCE, len(assets))):
                workers.create_task(work(), name="verify")
        return found

    async def _compare_store(self, asset: Asset, *, deep: bool) -> Difference | None:
        proof = asset.proof
        if proof is None:
            return None
        try:
            info = await self._store.head(proof.key)
            if (info.etag, info.size) != (proof.etag, proof.size):
                return Difference(
                    path=asset.path, kind="mismatched", detail=f"{proof.key} is another object than proven"
                )
            if deep and await self._remote_sha256(proof) != proof.sha256:
                return Difference(path=asset.path, kind="corrupt", detail=f"{proof.key} was read back and is wrong")
        except NotFoundError:
            return Difference(path=asset.path, kind="missing", detail=f"the store has no {proof.key}")
        except StoreError as error:
            return Difference(path=asset.path, kind="unknown", detail=str(error))
        return None

    async def _remote_sha256(self, proof: Proof) -> str:
        sha256 = hashlib.sha256()
        async with self._store.get(proof.key, etag=proof.etag) as download:
            async for chunk in download.chunks():
                await asyncio.to_thread(sha256.update, chunk)
        return sha256.hexdigest()

    async def _compare_disk(self, asset: Asset, *, deep: bool) -> Difference | None:
        if asset.state not in HOT:
            return None
        try:
            seen = await asyncio.to_thread(self._tree.sight, asset.path)
            if seen.fingerprint != asset.fingerprint:
                return Difference(path=asset.path, kind="changed", detail="the file changed and is not yet taken in")
            if (
                deep
                and asset.sha256 is not None
                and await asyncio.to_thread(self._tree.sha256, asset.path) != asset.sha256
            ):
                return Difference(path=asset.path, kind="rotten", detail="the file is not what was uploaded")
        except MissingError:
            return Difference(path=asset.path, kind="vanished", detail="the file is not there")
        except FileError as error:
            return Difference(path=asset.path, kind="unknown", detail=error.reason)
        return None

    async def _unreferenced(self) -> tuple[list[Difference], list[str]]:
        """List what the store has and no asset points to: older objects of ours, and objects of nobody we know."""
        strays: list[Difference] = []
        superseded: list[str] = []
        async for page in self._store.list():
            known = await self._catalog.known_keys([info.key for info in page])
            for info in page:
                if info.key in known:
                    continue
                if await self._is_superseded(info):
                    superseded.append(info.key)
                else:
                    strays.append(Difference(path=RelPath(info.key), kind="orphan", detail="no asset has this object"))
        return strays, superseded

    async def _is_superseded(self, info: ObjectInfo) -> bool:
        try:
            head = await self._store.head(info.key)
        except StoreError:
            return False
        return Passport.from_metadata(head.metadata or {}) is not None
