"""Index against tree against store: every asset is looked up on both sides, and what differs is said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from index.asset import RelPath, printable
from index.errors import UnknownAssetError
from index.lifecycle import HOT, State
from tiering.answers import Difference, VerifyProgress, VerifyReport
from tiering.evidence import is_as_proven, read_sha256
from tiering.metadata import Passport
from tiering.store import NotFoundError, StoreError
from tiering.tree import FileError, MissingError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from index.asset import Asset
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
        found: list[Difference] = []

        async def compare(asset: Asset) -> None:
            said = [await self._compare_store(asset, deep=deep), await self._compare_disk(asset, deep=deep)]
            differs = [difference for difference in said if difference is not None]
            if differs and await self._is_as_it_was(asset):
                found.extend(differs)

        await for_each(assets, compare, at_once=AT_ONCE, name="verify")
        return found

    async def _compare_store(self, asset: Asset, *, deep: bool) -> Difference | None:
        proof = asset.proof
        if proof is None:
            return None
        try:
            info = await self._store.head(proof.key)
            if not is_as_proven(info, proof):
                return Difference(
                    path=asset.path, kind="mismatched", detail=f"{proof.key} is another object than proven"
                )
            if deep and await read_sha256(self._store, proof.key, etag=proof.etag) != proof.sha256:
                return Difference(path=asset.path, kind="corrupt", detail=f"{proof.key} was read back and is wrong")
        except NotFoundError:
            return Difference(path=asset.path, kind="missing", detail=f"the store has no {proof.key}")
        except StoreError as error:
            return Difference(path=asset.path, kind="unknown", detail=str(error))
        return None

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

    async def _is_as_it_was(self, asset: Asset) -> bool:
        """Whether a difference is one: an asset that moved while it was looked at differs from what it was, and may."""
        try:
            now = await self._catalog.get(asset.id)
        except UnknownAssetError:
            return False
        return (now.state, now.generation, now.proof) == (asset.state, asset.generation, asset.proof)

    async def _unreferenced(self) -> tuple[list[Difference], list[str]]:
        """List what the store has and no asset points to: older objects of ours, and objects of nobody we know."""
        strays: list[Difference] = []
        superseded: list[str] = []
        async for page in self._store.list():
            known = await self._catalog.known_keys([info.key for info in page])
            for info in page:
                kind, detail = ("known", "") if info.key in known else await self._judge(info)
                if kind == "superseded":
                    superseded.append(info.key)
                elif kind != "known":
                    strays.append(Difference(path=RelPath(info.key), kind=kind, detail=detail))
        return strays, superseded

    async def _judge(self, info: ObjectInfo) -> tuple[str, str]:
        """Return what an object is that is no asset's proof, and what is to be said of it."""
        try:
            head = await self._store.head(info.key)
        except NotFoundError:
            return "known", ""
        except StoreError as error:
            return "unknown", str(error)
        passport = Passport.from_metadata(head.metadata or {})
        if passport is None:
            return "orphan", "no asset has this object"
        try:
            asset = await self._catalog.get(passport.id)
        except UnknownAssetError:
            return "orphan", f"it is of an asset that the index does not know: {printable(passport.path)}"
        if asset.state is State.GONE or (asset.proof is not None and passport.generation < asset.proof.generation):
            return "superseded", ""
        # As new as what the index knows, or newer: it was sent a moment ago, and its proof is still to be written.
        return "known", ""
