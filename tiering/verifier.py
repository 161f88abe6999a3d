"""Index against tree against store: every asset is looked up on both sides, and what differs is said."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from index.errors import UnknownAssetError
from index.lifecycle import HOT, State
from tiering.answers import Difference, VerifyProgress, VerifyReport
from tiering.evidence import examine
from tiering.store import StoreError
from tiering.strays import Strays, is_settled
from tiering.tree import FileError, MissingError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.store import Store
    from tiering.strays import Page
    from tiering.tree import Tree

AT_ONCE: Final = 16
PAGE: Final = 256
ON_THE_WAY: Final = (State.DEMOTING, State.PROMOTING)
"""The states in which the file may be at its name or not."""

_SENTENCES: Final = {
    "missing": "the store has no {key}",
    "mismatched": "{key} is another object than proven",
    "corrupt": "{key} was read back and is wrong",
}
MOST_LISTED: Final = 10_000
"""So many differences are listed, and so many superseded keys; all are counted."""


@dataclass(slots=True)
class Tally:
    """What was looked at so far, and what differs."""

    total: int
    checked: int = 0
    bytes: int = 0
    files: int = 0
    objects: int = 0
    superseded_count: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)

    def note(self, differences: Sequence[Difference]) -> None:
        """Count all, and keep the first of them."""
        self.counts.update(difference.kind for difference in differences)
        self.differences += differences[: MOST_LISTED - len(self.differences)]

    def note_page(self, page: Page) -> None:
        """Note what no asset stands for."""
        self.note(page.differences)
        self.superseded_count += len(page.superseded)
        self.superseded += page.superseded[: MOST_LISTED - len(self.superseded)]

    def progress(self) -> VerifyProgress:
        """Return how far it is."""
        return VerifyProgress(
            checked=self.checked, total=self.total, bytes=self.bytes, files=self.files, objects=self.objects
        )

    def report(self) -> VerifyReport:
        """Return how it ended."""
        return VerifyReport(
            checked=self.checked,
            bytes=self.bytes,
            files=self.files,
            objects=self.objects,
            counts=dict(sorted(self.counts.items())),
            differences=tuple(self.differences),
            superseded_count=self.superseded_count,
            superseded=tuple(self.superseded),
        )


class Verifier:
    """Compares and changes nothing; `deep` also reads every remote copy back and hashes every local one."""

    def __init__(self, catalog: Catalog, tree: Tree, store: Store, *, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._tree = tree
        self._store = store
        self._clock = clock
        self._strays = Strays(catalog, tree, store, clock=clock)

    async def verify(self, *, deep: bool) -> AsyncGenerator[VerifyProgress | VerifyReport, None]:
        """Yield progress page by page, the report last."""
        tally = Tally(sum(count for state, count in self._catalog.totals.assets.items() if state is not State.GONE))
        after = ""
        while page := await self._catalog.in_states(list(State), limit=PAGE, after=after):
            after = page[-1].id
            assets = [asset for asset in page if asset.state is not State.GONE]
            tally.note(await self._compare_all(assets, deep=deep))
            tally.checked += len(assets)
            tally.bytes += sum(asset.size for asset in assets)
            yield tally.progress()
        async for found in self._strays.files():
            tally.note_page(found)
            tally.files += found.looked_at
            yield tally.progress()
        tally.note_page(await self._strays.trashed())
        async for found in self._strays.objects():
            tally.note_page(found)
            tally.objects += found.looked_at
            yield tally.progress()
        yield tally.report()

    async def _compare_all(self, assets: Sequence[Asset], *, deep: bool) -> list[Difference]:
        found: list[Difference] = []

        async def compare(asset: Asset) -> None:
            said = [await self._compare_store(asset, deep=deep), await self._compare_disk(asset, deep=deep)]
            differs = [difference for difference in said if difference is not None]
            if not differs and asset.state is State.DAMAGED:
                why = asset.failure.message if asset.failure else "its remote copy was missing or wrong"
                differs = [Difference(path=asset.path, kind="damaged", detail=f"{why}; `tierd retry` tries again")]
            if differs and await self._is_as_it_was(asset):
                found.extend(differs)

        await for_each(assets, compare, at_once=AT_ONCE, name="verify")
        return found

    async def _compare_store(self, asset: Asset, *, deep: bool) -> Difference | None:
        proof = asset.proof
        if proof is None:
            return None
        try:
            found = await examine(self._store, proof, deep=deep)
        except StoreError as error:
            return Difference(path=asset.path, kind="unknown", detail=str(error))
        said = _SENTENCES.get(found)
        return None if said is None else Difference(path=asset.path, kind=found, detail=said.format(key=proof.key))

    async def _compare_disk(self, asset: Asset, *, deep: bool) -> Difference | None:
        if asset.state in ON_THE_WAY:
            return None
        try:
            found = await self._look_at_file(asset, deep=deep)
        except MissingError:
            found = ("vanished", "the file is not there") if asset.state in HOT else None
        except FileError as error:
            found = "unknown", error.reason
        return None if found is None else Difference(path=asset.path, kind=found[0], detail=found[1])

    async def _look_at_file(self, asset: Asset, *, deep: bool) -> tuple[str, str] | None:
        """Return how the local file differs. A cold asset has none: one that is there is its owner's new one."""
        seen = await asyncio.to_thread(self._tree.sight, asset.path)
        if seen.fingerprint != asset.fingerprint:
            is_news = is_settled(seen, now=self._clock())
            return ("changed", "the file changed and is not yet taken in") if is_news else None
        if deep and asset.sha256 is not None and await asyncio.to_thread(self._tree.sha256, asset.path) != asset.sha256:
            if seen.ctime_ns == asset.ctime_ns:
                return "rotten", "the file is not what was uploaded"
            return "changed", "the file has other content under its old size and time, and is not yet taken in"
        return None

    async def _is_as_it_was(self, asset: Asset) -> bool:
        """Whether a difference is one: an asset that moved while it was looked at differs from what it was, and may."""
        try:
            now = await self._catalog.get(asset.id)
        except UnknownAssetError:
            return False
        return (now.state, now.generation, now.proof) == (asset.state, asset.generation, asset.proof)
