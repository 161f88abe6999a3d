"""Has the remote copy follow what is said of its asset: to the key that its layout renders now, with its label.

It is copied within the store, and proven like an upload, before the index goes by it; the object before is superseded,
and stays. The intent is committed first: a copy of which nobody hears is of a generation that nothing else will have.
An object is copied onto itself only where its ETag is the MD5 of its bytes, and so stays: else the file is uploaded
anew, which a cold asset waits for until it is back on disk.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from index.asset import Proof, ProofMethod, printable
from index.changes import Change
from index.errors import IndexFullError, StaleTransitionError, UnknownAssetError
from index.lifecycle import Event, State
from tiering.evidence import copied, is_as_proven, read_sha256
from tiering.keys import Subject
from tiering.label import Label, fitting
from tiering.metadata import Passport
from tiering.rollout import EVERYTHING, Rollout
from tiering.store import (
    ArchivedError,
    Attributes,
    CorruptError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    StoreError,
)
from tiering.vocabulary import MeaningError
from tiering.workers import for_each

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from index.asset import Asset, AssetId
    from index.catalog import Catalog
    from tiering.classes import Classes
    from tiering.keys import Layout
    from tiering.leftovers import Leftovers
    from tiering.prober import Prober
    from tiering.store import ObjectInfo, Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
PAGE: Final = 256
BUSY_SECONDS: Final = 5.0
"""When what a mover had in hand is looked at again."""
WAITING_SECONDS: Final = 600.0
"""When what must first be back on disk, or what the store refuses, is looked at again."""
TROUBLE_SECONDS: Final = 30.0
MOST_REASONS: Final = 10_000
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_MD5_OR_PARTS: Final = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class Delay(NamedTuple):
    """When to look at a remote copy again, in seconds, None for never; `why` it does not follow by itself till then."""

    seconds: float | None
    why: str = ""


ITS_OWN: Final = (
    StaleTransitionError,
    UnknownAssetError,
    NotFoundError,
    PreconditionError,
    ArchivedError,
    RefusedError,
    CorruptError,
    MeaningError,
)
"""What one asset's trouble is: no reason to leave all others."""
_DONE: Final = Delay(None)
_BUSY: Final = Delay(BUSY_SECONDS)


class Rekeyer:
    """Works off the marks that the catalog keeps."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        layout: Layout,
        *,
        classes: Classes,
        prober: Prober,
        alone_at: Callable[[str], AbstractAsyncContextManager[None]],
        leftovers: Leftovers,
        host: str,
        clock: Callable[[], float],
        rollout: Rollout = EVERYTHING,
    ) -> None:
        """`alone_at` keeps everybody else from writing at a key."""
        self._catalog = catalog
        self._store = store
        self._layout = layout
        self._classes = classes
        self._prober = prober
        self._alone_at = alone_at
        self._leftovers = leftovers
        self._host = host
        self._clock = clock
        self.rollout = rollout
        self.held: set[AssetId] = set()
        """Those whose remote copy is to follow, and waits for something else to happen first."""
        self.reasons: dict[AssetId, str] = {}
        """Why remote copies stay where they are, of the first of them."""
        self.trouble = ""
        """Why nothing follows at present, such as a store that does not answer."""

    def is_misplaced(self, asset: Asset) -> bool:
        """Whether its remote copy is at no key that it may have."""
        if asset.proof is None:
            return False
        keys = self._layout.keys_for(subject_of(asset, asset.proof))
        return bool(keys) and asset.proof.key not in keys

    async def run(self) -> None:
        """Let remote copies follow, for ever; also those that an earlier run left."""
        while True:
            self._catalog.misplaced.clear()
            try:
                pause = await self.place_all()
                self.trouble = ""
            except (StoreError, IndexFullError) as error:
                pause = TROUBLE_SECONDS
                self.trouble = str(error)
                log.warning("remote copies do not follow what is said of their assets yet: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._catalog.misplaced.wait()

    async def place_all(self) -> float | None:
        """Go through all marks once; return when to do so again, in seconds, None where nothing is left.

        Raise what the store raises.
        """
        pauses: set[float] = set()

        async def place(marked: tuple[Asset, int]) -> None:
            asset, version = marked
            delay = await self._follow(asset)
            self._note(asset.id, delay)
            if delay.seconds is None:
                await self._catalog.placed(asset.id, version)
            else:
                pauses.add(delay.seconds)

        after = ""
        # What the store has, and can do, is learnt first: until then an object may be one that the index will know.
        while self._prober.capabilities is not None:
            page = await self._catalog.to_place(after=after, limit=PAGE)
            if not page:
                return min(pauses, default=None)
            await for_each(page, place, at_once=AT_ONCE, name="rekey")
            after = page[-1][0].id
        return BUSY_SECONDS

    def _note(self, asset_id: AssetId, delay: Delay) -> None:
        if delay.why and delay.seconds is not None:
            self.held.add(asset_id)
        else:
            self.held.discard(asset_id)
        self.reasons.pop(asset_id, None)
        if delay.why and len(self.reasons) < MOST_REASONS:
            self.reasons[asset_id] = delay.why

    async def _follow(self, asset: Asset) -> Delay:
        """Have one remote copy follow; return when to look at it again."""
        if asset.state is State.GONE:
            return _DONE
        if asset.state in {State.STUCK, State.DAMAGED}:
            return Delay(WAITING_SECONDS, f"it is {asset.state}")
        if asset.state not in {State.REPLICATED, State.COLD} or asset.proof is None:
            return _BUSY
        keys = self._layout.keys_for(subject_of(asset, asset.proof))
        if (obstacle := self._obstacle(asset, asset.proof, keys)) is not None:
            return Delay(WAITING_SECONDS, obstacle)
        try:
            return await self._place(keys, asset, asset.proof)
        except ITS_OWN as error:
            return _postponed(asset, error)

    def _obstacle(self, asset: Asset, proof: Proof, keys: tuple[str, ...]) -> str | None:
        if not self.rollout.covers(asset.path):
            return "it is not among the assets that [store] mode lets into the store"
        if asset.state is State.COLD and proof.key in keys and not self._stays_same(proof):
            return "it must be back on disk first"
        return None

    async def _place(self, keys: tuple[str, ...], asset: Asset, proof: Proof) -> Delay:
        if not keys:
            return _DONE
        there = await self._store.head(proof.key)
        if not is_as_proven(there, proof):
            raise PreconditionError(f"{proof.key} is another object than was proven", key=proof.key)
        if proof.key not in keys:
            return await self._move_to_one_of(keys, asset, there)
        if Label.from_metadata(there.metadata or {}) != _label(asset):
            await self._relabel(asset, proof, there)
        return _DONE

    async def _relabel(self, asset: Asset, proof: Proof, there: ObjectInfo) -> None:
        if self._stays_same(proof):
            async with self._alone_at(proof.key):
                await self._copy(asset, proof.key, there)
        else:
            change = Change.about(asset, Event.CHANGED, due_at=self._clock(), reason="something else is said of it")
            await self._catalog.apply(change, patient=False)

    def _stays_same(self, proof: Proof) -> bool:
        """Whether the object has the same ETag after it was copied onto itself."""
        able = self._prober.capabilities
        return able is not None and able.etag_is_md5 and _MD5.fullmatch(proof.etag) is not None

    async def _move_to_one_of(self, keys: tuple[str, ...], asset: Asset, there: ObjectInfo) -> Delay:
        try:
            for key in keys:
                async with self._alone_at(key):
                    if await self._is_free(key, asset):
                        await self._copy(asset, key, there)
                        return _DONE
        except PreconditionError:
            await self._rename_in_place(asset, there)
            raise
        await self._rename_in_place(asset, there)
        where = printable(asset.path), there.key, keys[-1]
        log.warning("the remote copy of %s stays at %s: another object is at %s", *where)
        return Delay(None, f"another object is at {keys[-1]}")

    async def _rename_in_place(self, asset: Asset, there: ObjectInfo) -> None:
        """Have the object say at least which file it is, so that no other is taken for it where the index is lost."""
        passport = Passport.from_metadata(there.metadata or {})
        is_known = passport is not None and passport.path == asset.path
        if not is_known and asset.proof is not None and self._stays_same(asset.proof):
            async with self._alone_at(there.key):
                await self._copy(asset, there.key, there)

    async def _is_free(self, key: str, asset: Asset) -> bool:
        """Whether nothing is there, or only an earlier object of this asset or another, which nobody needs.

        Raise PreconditionError where that is still needed, and not for long.
        """
        try:
            head = await self._store.head(key)
        except NotFoundError:
            return True
        passport = Passport.from_metadata(head.metadata or {})
        is_ours = passport is not None and passport.is_earlier_of(asset, self._host)
        return is_ours or await self._leftovers.is_one(head)

    async def reclassify(self, asset: Asset, storage_class: str) -> None:
        """Have a remote copy change its storage class where it is. Raise as the store and the catalog do."""
        proof = asset.proof
        if proof is None or not self.rollout.covers(asset.path):
            return
        async with self._alone_at(proof.key):
            there = await self._store.head(proof.key)
            if not is_as_proven(there, proof):
                raise PreconditionError(f"{proof.key} is another object than was proven", key=proof.key)
            await self._copy(asset, proof.key, there, storage_class)

    @property
    def is_ready(self) -> bool:
        """Whether it is known what the store has, and what it can do."""
        return self._prober.capabilities is not None

    def keeps_etag(self, proof: Proof) -> bool:
        """Whether the object has the same ETag after it was copied onto itself, in the parts that it may have."""
        able = self._prober.capabilities
        return able is not None and able.etag_is_md5 and _MD5_OR_PARTS.fullmatch(proof.etag) is not None

    async def _copy(self, asset: Asset, key: str, there: ObjectInfo, storage_class: str | None = None) -> None:
        entries = fitting(_passport(asset, there, self._host).to_metadata(), _label(asset))
        reason = f"to {key}" if storage_class is None else f"to {storage_class}"
        asset = await self._catalog.apply(Change.about(asset, Event.MISPLACED, reason=reason), patient=False)
        proof = asset.proof
        if proof is None:
            return
        entries |= {"tierd-generation": str(asset.generation)}
        kind = asset.content_type or there.content_type or Attributes().content_type
        age = self._clock() - there.modified
        chosen = storage_class or self._classes.choose(asset.type, kind, proof.size, age=age)
        attributes = Attributes(kind, entries, asset.tags, chosen)
        info = await self._store.copy(proof.key, key, attributes, etag=proof.etag)
        method = await self._prove(proof, info)
        new = replace(proof, key=key, etag=info.etag, method=method, at=self._clock())
        await self._catalog.apply(Change.about(asset, Event.REKEYED, proof=new, reason=f"from {proof.key}"))

    async def _prove(self, proof: Proof, info: ObjectInfo) -> ProofMethod:
        """Return what proves that the copy holds the content. Raise CorruptError where it does not."""
        if is_as_proven(info, proof):
            is_another = info.key != proof.key and proof.method is not ProofMethod.CLAIMED
            return copied(proof) if is_another else proof.method
        # Another ETag is another way to count, or other bytes.
        if info.size != proof.size or await read_sha256(self._store, info.key, etag=info.etag) != proof.sha256:
            raise CorruptError(f"{info.key} is not the copy that it should be", key=info.key)
        return ProofMethod.READ_BACK


def subject_of(asset: Asset, proof: Proof) -> Subject:
    """Return what the key of a remote copy is rendered from."""
    md5 = proof.etag if proof.method is ProofMethod.ETAG_MD5 and _MD5.fullmatch(proof.etag) else None
    return Subject(asset.path, asset.type, asset.fields, asset.content_type, md5, proof.mtime_ns)


def _postponed(asset: Asset, error: Exception) -> Delay:
    """Return when to try again what failed for this one asset."""
    match error:
        case StaleTransitionError() | UnknownAssetError():
            return _BUSY
        case NotFoundError() | PreconditionError():
            # What became of its object is for others to find out.
            return Delay(BUSY_SECONDS, str(error))
        case ArchivedError() | RefusedError():
            # Perhaps it will, once it was brought out of its archive.
            log.warning("the remote copy of %s does not follow yet: %s", printable(asset.path), error)
            return Delay(WAITING_SECONDS, str(error))
        case _:
            log.warning("the remote copy of %s stays as it is: %s", printable(asset.path), error)
            return Delay(None, str(error))


def _label(asset: Asset) -> Label:
    return Label(asset.type, asset.fields, asset.tags)


def _passport(asset: Asset, there: ObjectInfo, host: str) -> Passport:
    """Return what the copy says of the asset: as the object does, but for where its file is now."""
    proof = asset.proof
    before = Passport.from_metadata(there.metadata or {})
    if proof is None or (before is not None and before.id != asset.id):
        raise CorruptError(f"{there.key} says that it is another asset's", key=there.key)
    return Passport(asset.id, asset.generation, asset.path, proof.sha256, proof.mtime_ns, proof.mode, host=host)
