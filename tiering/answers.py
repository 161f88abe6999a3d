"""What the tiers answer to those who ask: frozen values, shaped for the questions and for nothing else.

Paths are relative to the cache root unless the name says otherwise; times are seconds since the epoch, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from index.asset import Asset, AssetId, RelPath, Sighting
    from index.lifecycle import State
    from index.listing import Query
    from tiering.leases import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An asset that was asked for by its name on disk. `ready` says that its bytes are at `location` now.

    `hit` says that they were there when it was asked; a lease goes with every ready one. `expected` is when one that
    comes out of an archive should be there, in seconds since the epoch.
    """

    asset: Asset
    hit: bool
    ready: bool
    location: str
    lease: Lease | None = None
    expected: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HotContent:
    """A local file, open for reading at `fd`, which is the receiver's to close; `sighting` is that of `fd`."""

    asset: Asset
    fd: int
    sighting: Sighting
    hit: bool


class Chunks(Protocol):
    """Bytes that arrive: iterate, and close it in any case."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return what to iterate over."""

    async def __anext__(self) -> bytes:
        """Return the next bytes."""

    async def aclose(self) -> None:
        """Stop reading. Safe to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdContent:
    """A whole asset on its way from the store. The last chunk comes only after the digest agreed.

    Iterating raises CorruptError or UnavailableError where it cannot be finished, ChangedError where its owner writes
    it meanwhile. `chunks` must be closed (aclose) by the receiver, whether it was read to its end or not.
    """

    asset: Asset
    size: int
    sha256: str
    mtime_ns: int
    chunks: Chunks


Content = HotContent | ColdContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """What an answer's head needs to know about a content that nobody moves for it. `etag` has no quotes."""

    asset: Asset
    etag: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which assets a command is about: these paths, or all that match the query. Exactly one of the two is given."""

    paths: tuple[RelPath, ...] | None = None
    query: Query | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a command for one path.

    `outcome` is `done`, `unchanged`, `planned`, `started`, `refused`, `failed` or `unknown`; `reason` says why.
    `state` is None and `size` 0 where there is no such asset. `regret`, where a demotion is only planned, is how many
    reads would miss the asset within a half-life, if it is asked for as before.
    """

    path: RelPath
    outcome: str
    reason: str = ""
    state: State | None = None
    size: int = 0
    regret: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen to an asset next, and why. `rank` counts from 0, the next to be demoted; None if it is not."""

    asset: Asset
    rank: int | None
    next: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits and what is under way."""

    waiting: int = 0
    uploading: int = 0
    promoting: int = 0
    oldest_unprotected_seconds: float = 0.0
    unprotected_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An asset on its way to the store (`upload`) or back (`promotion`): `moved` bytes of it went within `seconds`.

    `done` includes what an earlier run has sent.
    """

    path: RelPath
    direction: str
    size: int
    done: int
    moved: int
    seconds: float

    @property
    def bytes_per_second(self) -> float | None:
        """How fast it went so far; None before the first byte."""
        return self.moved / self.seconds if self.moved and self.seconds > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The local disk: `limit` is what may be used, `high` and `low` are parts of it.

    `full` says that not a byte is left, or that room was wanted and cannot be made still.
    """

    total: int
    free: int
    used: int
    limit: int
    high: float
    low: float
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdTier:
    """The store as last seen; `reason` says why it is not reachable."""

    url: str
    reachable: bool
    reason: str = ""
    capabilities: Mapping[str, bool | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeState:
    """Whether destructive work is frozen, why and since when, and how many files were missing."""

    engaged: bool = False
    reason: str = ""
    since: float | None = None
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubState:
    """How far both tiers were looked at again: every cold asset within `oldest_seconds`, up to now.

    `suspects` are cold assets that seem missing or wrong and wait for a second look; `doubt` says why the store is
    doubted as a whole. `read_back_at` and `hashed_at` are the last steps of these walks, None before the first.
    """

    oldest_seconds: float = 0.0
    suspects: int = 0
    doubt: str = ""
    read_back_at: float | None = None
    hashed_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """How far the roll-out has come; `outside` are assets that are on this disk only because it asks for that."""

    mode: str = "s3"
    percent: float = 100.0
    outside: int = 0
    outside_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at a glance, from memory. `faults` says why hot bytes cannot be served; empty when they can.

    `unwatched` names the directories of which no hint comes, for people; empty when there are none.
    `index_full`: there is no room for the index, or was none when something was last to be written.
    """

    assets: Mapping[State, int]
    bytes: Mapping[State, int]
    queue: Queue
    disk: Disk
    store: ColdTier
    brake: BrakeState
    scrub: ScrubState = field(default_factory=ScrubState)
    rollout: RolloutState = field(default_factory=RolloutState)
    index_full: bool = False
    faults: tuple[str, ...] = ()
    unwatched: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProgress:
    """How far a verification is: assets `checked` of `total`, then `files` on disk, then `objects` in the store."""

    checked: int
    total: int
    bytes: int
    files: int = 0
    objects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which the store, the disk and the index do not agree."""

    path: RelPath
    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found; `superseded` are the keys of objects that a higher generation has replaced.

    `counts`, by kind, and `superseded_count` are of all; the lists have the first of them.
    """

    checked: int
    bytes: int
    files: int = 0
    objects: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    superseded_count: int = 0
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainProgress:
    """What has no proven remote copy yet; `unprotected` includes what is stuck."""

    unprotected: int
    unprotected_bytes: int
    stuck: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """How a drain ended; `stuck` are those that wait for a person, `outside` is how many the roll-out leaves here."""

    done: bool
    unprotected: int
    unprotected_bytes: int
    stuck: tuple[RelPath, ...] = ()
    outside: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A remote copy that is to be at another key; `why` it is not, where it should be by now."""

    id: AssetId
    path: RelPath
    key: str
    to: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPlan:
    """What a migration would move: `moves` remote copies of so many `bytes`, and what it would not.

    `placed` are where they should be, `elsewhere` not where the layout to migrate from has them, `waiting` have no
    proven remote copy at rest, `unplaceable` those whose key only their content can tell, `outside` are left as they
    are by the roll-out. `collisions` of the moves find their key taken, and get the next one.
    """

    moves: int
    bytes: int
    placed: int
    elsewhere: int
    waiting: int
    unplaceable: int
    outside: int
    collisions: int
    examples: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationProgress:
    """How far a migration is: remote copies while it is `moving`, of `total`; objects while it is `pruning`."""

    phase: str
    done: int
    total: int | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """How a migration ended, or would begin. `failures` are the first of those that `failed`.

    `kept` superseded objects stay, since it is not sure that nobody needs them.
    """

    plan: MigrationPlan
    moved: int = 0
    failed: int = 0
    failures: tuple[Move, ...] = ()
    pruned: int = 0
    pruned_bytes: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """How far the last migration is: `phase` is `none`, `moving`, `pruning` or `done`; `left` are still to move.

    Not `running` and not done: it was broken off. `trouble` says why nothing moves at present.
    """

    phase: str
    source: str | None = None
    target: str | None = None
    prune: bool = False
    began: float | None = None
    ended: float | None = None
    total: int = 0
    bytes: int = 0
    moved: int = 0
    left: int = 0
    failed: int = 0
    pruned: int = 0
    pruned_bytes: int = 0
    running: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """An object that the index lacks; `path` is that of its asset, None where it does not say."""

    key: str
    size: int
    path: RelPath | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the store has and the index lacks, as far as it was looked through; `lacking` and `foreign` have the first.

    `assets` of so many `bytes` are in `objects` that say whose they are; `taken` of them came into the index.
    `strangers` are objects that do not say. `is_done` says that all was looked through.
    """

    objects: int = 0
    assets: int = 0
    bytes: int = 0
    taken: int = 0
    strangers: int = 0
    lacking: tuple[Stray, ...] = ()
    foreign: tuple[Stray, ...] = ()
    is_done: bool = False
