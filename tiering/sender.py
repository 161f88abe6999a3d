"""How an asset's bytes get into the store, and what proves that they are right there.

Four ways, the cheapest first: the store has them already (adopt), it has them at another key (copy), one request (put),
or parts (multipart). None overwrites an object that tierd does not know: the first write is create-only, a later one
replaces exactly the object that it knows.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from index.asset import Proof, ProofMethod, printable
from tiering.classes import Classes
from tiering.evidence import copied, is_as_proven, read_sha256
from tiering.keys import Subject
from tiering.label import Label, fitting
from tiering.metadata import Passport
from tiering.multipart import fitting_part_size
from tiering.store import (
    Absent,
    ArchivedError,
    Attributes,
    CorruptError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    Unchanged,
)
from tiering.vocabulary import MeaningError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from index.asset import Asset
    from tiering.drive import Here
    from tiering.keys import Layout
    from tiering.lanes import Lanes
    from tiering.leftovers import Leftovers
    from tiering.multipart import Multipart
    from tiering.pacing import Bandwidth, ByteBudget
    from tiering.probe import Capabilities
    from tiering.source import Digests, Source
    from tiering.store import Condition, ObjectInfo, Objects
    from tiering.turns import ThreadTurns, Turns

CONFLICTS_MOST: Final = 3
"""How often an object may turn out to be another one than expected before the asset waits for a person."""

_NO_CLASSES: Final = Classes()


class ForeignObjectError(RefusedError):
    """Somebody else's object is at the key."""

    code = "conflict"


class TakenError(Exception):
    """The key is another asset's, and there is one more to try."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """From how many bytes on a file goes in parts, and how large a part is."""

    multipart_above: int
    part_size: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A proven remote copy: `result` is `sent`, `adopted` or `copied`."""

    proof: Proof
    result: str
    sent_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """One content on its way to one key, the first of `keys`: `body` is None where it goes in parts."""

    source: Source
    keys: tuple[str, ...]
    digests: Digests
    attributes: Attributes
    body: bytes | None

    @property
    def asset(self) -> Asset:
        """The asset whose content it is."""
        return self.source.asset

    @property
    def key(self) -> str:
        """The key to which it goes."""
        return self.keys[0]

    @property
    def at_next_key(self) -> Parcel:
        """The same content on its way to the next key."""
        return replace(self, keys=self.keys[1:])


@dataclass(frozen=True, slots=True)
class Copy:
    """The object that holds the content, what proves that it does, and how it came there."""

    info: ObjectInfo
    method: ProofMethod
    result: str
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Means:
    """What an upload may have to wait for: threads, memory, and its turn at a key.

    Two assets that mean the same would both find a key free, and the second overwrite the first.
    """

    lanes: Lanes | Here
    budget: ByteBudget | Here
    turns: Turns | ThreadTurns


class Sender:
    """Brings one asset's content to the store and returns the proof."""

    def __init__(
        self,
        store: Objects,
        layout: Layout,
        multipart: Multipart,
        leftovers: Leftovers,
        *,
        sizes: Sizes,
        means: Means,
        bandwidth: Bandwidth,
        clock: Callable[[], float],
        classes: Classes = _NO_CLASSES,
    ) -> None:
        self._store = store
        self._classes = classes
        self._layout = layout
        self._multipart = multipart
        self._leftovers = leftovers
        self._sizes = sizes
        self._means = means
        self._bandwidth = bandwidth
        self._clock = clock

    async def send(self, source: Source, able: Capabilities) -> Sent:
        """Make sure that the store holds the content, and prove it.

        Raise AlteredError or NotYetError where the file is not what was claimed, and what the store raises:
        ForeignObjectError where somebody else's object is in the way.
        """
        async with self._parcel(source) as parcel:
            try:
                copy = await self._deliver_somewhere(parcel, able)
            except CorruptError:
                # Where the file changed meanwhile, that is what happened, and not a fault of the store.
                await self._means.lanes.run(source.confirm)
                raise
            await self._means.lanes.run(source.finish)
        return Sent(self._proof(parcel, copy), copy.result, copy.sent_bytes, parcel.digests.content_type)

    @asynccontextmanager
    async def _parcel(self, source: Source) -> AsyncIterator[Parcel]:
        """Hold the content of a small file in memory, within the budget; of a large one only the digests."""
        size = source.size
        if size > self._sizes.multipart_above:
            await asyncio.to_thread(source.open)
            part_size = fitting_part_size(size, self._sizes.part_size)
            digests = await asyncio.to_thread(source.hash_parts, part_size, with_md5=self._layout.needs_md5)
            yield self._address(source, digests, None)
            return
        async with self._means.budget.take(size):
            body, digests = await self._means.lanes.run(source.open_and_read)
            yield self._address(source, digests, body)

    def _address(self, source: Source, digests: Digests, body: bytes | None) -> Parcel:
        asset = source.asset
        sighting = source.sighting
        passport = Passport(
            asset.id,
            asset.generation,
            asset.path,
            digests.sha256,
            sighting.fingerprint.mtime_ns,
            sighting.mode,
            replaces=asset.proof.sha256 if asset.proof is not None else None,
            host=self._leftovers.host,
        )
        try:
            entries = fitting(passport.to_metadata(), Label(asset.type, asset.fields, asset.tags))
        except (ValueError, MeaningError) as error:
            raise RefusedError(str(error), hint="shorten the names of the file or of its directories") from error
        storage_class = self._classes.choose(asset.type, digests.content_type, source.size)
        attributes = Attributes(digests.content_type, entries, asset.tags, storage_class)
        return Parcel(source, self._keys(source, digests), digests, attributes, body)

    def _keys(self, source: Source, digests: Digests) -> tuple[str, ...]:
        """Return the keys that the asset may have. One that has its second key keeps it."""
        asset = source.asset
        subject = Subject(
            asset.path,
            asset.type,
            asset.fields,
            content_type=digests.content_type,
            md5=digests.md5,
            mtime_ns=source.sighting.fingerprint.mtime_ns,
        )
        keys = self._layout.keys_for(subject)
        at = keys.index(asset.proof.key) if asset.proof is not None and asset.proof.key in keys else 0
        return keys[at:]

    async def _deliver_somewhere(self, parcel: Parcel, able: Capabilities) -> Copy:
        while True:
            try:
                async with self._means.turns.take(parcel.key):
                    return await self._deliver(parcel, able)
            except TakenError:
                parcel = parcel.at_next_key

    async def _deliver(self, parcel: Parcel, able: Capabilities) -> Copy:
        reused = await self._reuse(parcel, able)
        if reused is not None:
            return reused
        condition = _first_condition(parcel)
        for _ in range(CONFLICTS_MOST):
            try:
                return await self._write(parcel, condition, able)
            except PreconditionError:
                there = await self._look(parcel.key)
                adopted = await self._adopt(parcel, there, able) if there is not None else None
                if adopted is not None:
                    return adopted
                condition = await self._next_condition(parcel, there)
        raise ForeignObjectError(f"the object {parcel.key} keeps changing while it is written", key=parcel.key)

    async def _reuse(self, parcel: Parcel, able: Capabilities) -> Copy | None:
        """Use the proven copy of the same content: where it is, or copied to the asset's present key.

        It is copied also where it lacks what people have said since.
        """
        proof = parcel.asset.proof
        if proof is None or proof.sha256 != parcel.digests.sha256:
            return await self._copy_of_twin(parcel, able)
        there = await self._look(parcel.key)
        if proof.key != parcel.key:
            # An earlier object of the same asset is superseded, whatever it holds.
            is_free = there is None or self._leftovers.is_earlier(there, parcel.asset)
            return await self._copy(parcel, proof, able) if is_free else None
        if there is None or not is_as_proven(there, proof):
            return None
        if not _is_labelled(there, parcel):
            return await self._copy(parcel, proof, able)
        method = await self._prove(parcel, there, able) if proof.method is ProofMethod.CLAIMED else proof.method
        return Copy(there, method, "adopted") if method is not None else None

    async def _copy_of_twin(self, parcel: Parcel, able: Capabilities) -> Copy | None:
        """Copy a large content that another asset has in the store: a file that was moved is not sent again."""
        proof = None
        if parcel.body is None:
            proof = await self._leftovers.twin_of(parcel.asset, parcel.digests.sha256)
        there = None if proof is None else await self._look(parcel.key)
        if proof is None or (there is not None and not self._leftovers.is_earlier(there, parcel.asset)):
            return None
        try:
            copy = await self._copy(parcel, proof, able)
        except RefusedError:
            return None  # Who may write need not be allowed to copy.
        if copy is not None:
            await self._multipart.abandon(parcel.asset)
        return copy

    async def _copy(self, parcel: Parcel, proof: Proof, able: Capabilities) -> Copy | None:
        try:
            info = await self._store.copy(proof.key, parcel.key, parcel.attributes, etag=proof.etag)
        except (NotFoundError, PreconditionError, ArchivedError):
            return None
        # Another ETag than the proven one is another way to count, or other bytes: then it must prove itself.
        is_known = is_as_proven(info, proof) and proof.method is not ProofMethod.CLAIMED
        method = copied(proof) if is_known else await self._prove(parcel, info, able)
        return Copy(info, method, "copied") if method is not None else None

    async def _adopt(self, parcel: Parcel, there: ObjectInfo, able: Capabilities) -> Copy | None:
        """Take what is there for ours where it is proven to hold the content; None where it only says so.

        None as well where it would not be taken for the present one by an index that is rebuilt.

        Raise TakenError where it is another asset's: two never share an object where each can have its own.
        """
        if len(parcel.keys) > 1 and _is_anothers(there, parcel.asset):
            raise TakenError
        if self._is_outdated(there, parcel) or (
            _is_anothers(there, parcel.asset) and await self._is_known(there, parcel)
        ):
            return None
        method = await self._prove(parcel, there, able) if _holds(there, parcel.digests) else None
        if method is None:
            return None
        if parcel.body is None:
            await self._multipart.abandon(parcel.asset)
        return Copy(there, method, "adopted")

    async def _is_known(self, there: ObjectInfo, parcel: Parcel) -> bool:
        """Whether the index knows it for another asset's, needed or not."""
        is_left = await self._leftovers.is_one(there)
        return is_left or await self._leftovers.needed_by(there.key, parcel.asset) is not None

    async def _write(self, parcel: Parcel, condition: Condition, able: Capabilities) -> Copy:
        is_kept = able.if_match if isinstance(condition, Unchanged) else able.create_only
        if parcel.body is None or not is_kept:
            await self._check_first(parcel, condition)
        if parcel.body is None:
            info, sent_bytes = await self._multipart.send(
                parcel.source, parcel.key, parcel.digests, parcel.attributes, condition
            )
        else:
            if parcel.asset.generation > 1:
                # An older generation may have been a large file, and its upload broken off.
                await self._multipart.abandon(parcel.asset)
            await self._bandwidth.take(len(parcel.body))
            info = await self._store.put(parcel.key, parcel.body, parcel.attributes, condition)
            sent_bytes = len(parcel.body)
        were_checked = parcel.digests.multipart and able.checks_md5 and _is_this(info, parcel)
        method = ProofMethod.PART_MD5 if were_checked else await self._prove(parcel, info, able)
        if method is None:
            raise CorruptError(f"{parcel.key} is not in the store what was sent", key=parcel.key)
        return Copy(info, method, "sent", sent_bytes)

    async def _next_condition(self, parcel: Parcel, there: ObjectInfo | None) -> Condition:
        """Say what may be replaced, now that another object was found than expected.

        1. Nothing is there any more: create it.
        2. An object of this very asset, older, or torn by a change in mid-upload: replace it.
        3. What an asset of ours left here when it was renamed, and does not need any more: replace it.
        4. What is the only remote copy of another asset of ours stays, whatever a person said.
        5. A person said that it may be overwritten: replace it.
        6. Anything else is somebody's, and stays.
        """
        if there is None:
            return Absent()
        if self._leftovers.is_earlier(there, parcel.asset) or await self._leftovers.is_one(there):
            return Unchanged(there.etag)
        await self._require_unneeded(parcel.key, parcel.asset)
        if parcel.asset.overwrite:
            return Unchanged(there.etag)
        whose = "another host's" if self._leftovers.is_another_hosts(there) else "another"
        raise ForeignObjectError(
            f"{whose} object is at the key {parcel.key}",
            key=parcel.key,
            hint="look at it; `tierd retry --overwrite` replaces it, renaming the local file avoids it",
        )

    async def _require_unneeded(self, key: str, asset: Asset) -> None:
        owner = await self._leftovers.needed_by(key, asset)
        if owner is not None:
            raise ForeignObjectError(
                f"the object {key} is the only copy in the store of {printable(owner.path)}",
                key=key,
                hint="it is never overwritten; rename the local file, or remove that asset with `tierd rm`",
            )

    async def require_overwritable(self, asset: Asset) -> None:
        """Raise ForeignObjectError where what is at the asset's key must not be overwritten, whoever says so.

        As far as that can be told without its content.
        """
        subject = Subject(asset.path, asset.type, asset.fields, content_type=asset.content_type)
        for key in self._layout.keys_for(subject)[-1:]:
            await self._require_unneeded(key, asset)

    async def _check_first(self, parcel: Parcel, condition: Condition) -> None:
        """Look before a long upload, and wherever the store would not look for us."""
        there = await self._look(parcel.key)
        expected = condition.etag if isinstance(condition, Unchanged) else None
        if (there.etag if there is not None else None) != expected:
            raise PreconditionError(f"{parcel.key} is not what was expected", key=parcel.key)

    def _is_outdated(self, there: ObjectInfo, parcel: Parcel) -> bool:
        """Whether it is an earlier object of the asset, while a later one, which would win, is at another key."""
        proof = parcel.asset.proof
        if not self._leftovers.is_earlier(there, parcel.asset):
            return False
        is_elsewhere = proof is not None and proof.key != parcel.key
        return (is_elsewhere and not _is_this(there, parcel)) or not _is_labelled(there, parcel)

    async def _look(self, key: str) -> ObjectInfo | None:
        try:
            return await self._store.head(key)
        except NotFoundError:
            return None

    async def _prove(self, parcel: Parcel, info: ObjectInfo, able: Capabilities) -> ProofMethod | None:
        """Return what proves that the object holds the content; None where it does not."""
        digests = parcel.digests
        if info.size != digests.size:
            return None
        if able.etag_is_md5 and info.etag == digests.etag:
            return ProofMethod.PART_MD5 if digests.multipart else ProofMethod.ETAG_MD5
        # Any other ETag says nothing: with encryption by KMS, none is an MD5.
        return (
            ProofMethod.READ_BACK
            if await read_sha256(self._store, info.key, etag=info.etag) == digests.sha256
            else None
        )

    def _proof(self, parcel: Parcel, copy: Copy) -> Proof:
        sighting = parcel.source.sighting
        return Proof(
            key=copy.info.key,
            etag=copy.info.etag,
            size=copy.info.size,
            sha256=parcel.digests.sha256,
            generation=parcel.asset.generation,
            mtime_ns=sighting.fingerprint.mtime_ns,
            mode=sighting.mode,
            method=copy.method,
            at=self._clock(),
        )


def _first_condition(parcel: Parcel) -> Condition:
    """Create only, unless a copy of ours is known to be at this very key."""
    proof = parcel.asset.proof
    return Unchanged(proof.etag) if proof is not None and proof.key == parcel.key else Absent()


def _is_labelled(there: ObjectInfo, parcel: Parcel) -> bool:
    """Whether the object says what people say of the asset."""
    return Label.from_metadata(there.metadata or {}) == Label.from_metadata(parcel.attributes.metadata)


def _is_anothers(there: ObjectInfo, asset: Asset) -> bool:
    passport = Passport.from_metadata(there.metadata or {})
    return passport is not None and passport.id != asset.id


def _is_this(info: ObjectInfo, parcel: Parcel) -> bool:
    """Whether an object is the one that is made here, and not one that was at its key before."""
    passport = Passport.from_metadata(info.metadata or {})
    sent = Passport.from_metadata(parcel.attributes.metadata)
    return info.size == parcel.digests.size and passport is not None and passport == sent


def _holds(there: ObjectInfo, digests: Digests) -> bool:
    """Whether the object seems to hold this content already, so that proving it is worth the trouble."""
    claimed = (there.metadata or {}).get("tierd-sha256")
    return there.size == digests.size and (there.etag == digests.etag or claimed == digests.sha256)
