"""The JSON that the HTTP contract answers, as models, from which OpenAPI is generated.

Answers are built as plain dicts (daemon/views.py) because hot requests must be cheap; tests hold the dicts to these
models. `path` is printable: bytes that are not UTF-8 show as U+FFFD; `href` is exact, percent-encoded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from index.asset import ProofMethod  # noqa: TC001 - pydantic resolves annotations when the program runs
from index.lifecycle import Event, State  # noqa: TC001 - pydantic resolves annotations when the program runs

Seconds = float
"""A moment, in seconds since the epoch."""


class Model(BaseModel):
    """What all share: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Proof(Model):
    """What shows that the remote copy is right."""

    key: str
    etag: str
    size: int
    sha256: str
    generation: int
    mtime: Seconds
    mode: int
    method: ProofMethod
    at: Seconds


class Failure(Model):
    """Why the last attempt failed; `retry_at` is null where only a person can help."""

    code: str
    message: str
    attempts: int
    retry_at: Seconds | None


class Asset(Model):
    """One asset. `etag` names its content as /v1/content does, without quotes; the store's own is `proof.etag`."""

    id: str
    path: str
    href: str
    key: str | None
    url: str | None
    state: State
    size: int
    mtime: Seconds | None
    content_type: str | None
    digest: str | None = Field(description="sha256: and 64 hexadecimal digits; null while not computed")
    etag: str
    generation: int
    type: str | None
    fields: dict[str, str]
    tags: dict[str, str]
    heat: float | None
    last_access: Seconds
    access_count: int
    pinned: bool
    proof: Proof | None
    failure: Failure | None


class Link(Model):
    """A presigned URL, good for `expires` seconds; `fields` are what a POST must send before the file."""

    url: str
    method: str
    expires: int
    expires_at: Seconds
    fields: dict[str, str]


class AssetPage(Model):
    """Assets in the order that was asked for; `cursor` is null on the last page."""

    assets: list[Asset]
    cursor: str | None


class Paths(Model):
    """Paths in order, each as far as its next slash; those that are not UTF-8 are left out."""

    paths: list[str]


class Lease(Model):
    """A promise to keep an asset hot until `expires`."""

    id: str
    expires: Seconds


class Opened(Model):
    """A file ready on disk: `path` is where, absolute; `href` the same, exact; `relative` the asset's own path."""

    path: str
    href: str
    relative: str
    state: State
    hit: bool
    ready: Literal[True]
    size: int
    etag: str
    lease: Lease | None


class Pending(Model):
    """A file that is not on disk yet; `expected` is when, of one that comes out of an archive, else null."""

    path: str
    href: str
    relative: str
    state: State
    hit: Literal[False]
    ready: Literal[False]
    expected: Seconds | None


class Result(Model):
    """What came of a command for one asset; `state` is null where there is none."""

    path: str
    href: str
    outcome: str = Field(description="done, unchanged, planned, started, refused, failed or unknown")
    reason: str
    state: State | None
    size: int
    regret: float | None = Field(description="of a planned demotion: the reads that would miss it within a half-life")


class Results(Model):
    """What came of a command, or, of a dry run, what would."""

    results: list[Result]
    dry_run: bool


class Explanation(Model):
    """What happens next to an asset and why; `rank` counts from 0, the next to be demoted."""

    path: str
    href: str
    state: State
    proof: Proof | None
    heat: float | None
    rank: int | None
    next: str
    reasons: list[str]


class Location(Model):
    """Where an asset is: whether its bytes are on disk at its path, and the URL of its proven remote copy, if any."""

    path: str
    href: str
    on_disk: bool
    url: str | None


class Change(Model):
    """A change of state. `before` is null where the asset was discovered, `was` and `location` where it is nowhere."""

    cursor: int
    at: Seconds
    id: str
    path: str
    href: str
    event: Event | Literal["discovered"]
    before: State | None
    after: State
    generation: int
    key: str | None
    reason: str
    was: Location | None
    location: Location | None


class Queue(Model):
    """What waits and what is under way."""

    waiting: int
    uploading: int
    promoting: int
    oldest_unprotected_seconds: float
    unprotected_bytes: int


class Rates(Model):
    """Uploads over the last minute, hits since the start; and of the last 5 minutes, hour and day, null if unasked."""

    upload_bytes_per_second: float
    hit_ratio: float
    hit_ratios: dict[Literal["5m", "1h", "24h"], float | None]


class Figures(Model):
    """How many assets, the bytes of their contents, and how many have a remote copy of what they are now."""

    assets: int
    bytes: int
    archived: int


class Bill(Model):
    """What a month (UTC) costs: spent since it is counted, as it goes on, with everything on disk and with nothing."""

    month: str
    since: float
    so_far: dict[str, float]
    forecast: dict[str, float]
    all_hot: float
    all_cold: float


class Cost(Model):
    """What `stored_bytes` cost a month in each storage class; `storage_class` is the one of new objects."""

    stored_bytes: int
    storage_class: str
    month: dict[str, float]
    bill: Bill


class Stats(Model):
    """Figures of all assets, what is not known under ""; and what happened since the start, by how it ended."""

    states: dict[State, Figures]
    types: dict[str, Figures]
    campaigns: dict[str, Figures]
    media_types: dict[str, Figures]
    requests: dict[str, int]
    request_bytes: dict[str, int]
    uploads: dict[str, int]
    upload_bytes: int
    downloads: dict[str, int]
    rates: Rates
    cost: Cost


class Disk(Model):
    """The local disk, in bytes; `high` and `low` are parts of `limit`."""

    total: int
    free: int
    used: int
    limit: int
    high: float
    low: float
    full: bool


class ColdTier(Model):
    """The store as last seen."""

    url: str
    reachable: bool
    reason: str
    capabilities: dict[str, bool | str]


class Brake(Model):
    """Whether destructive work is frozen."""

    engaged: bool
    reason: str
    since: Seconds | None
    missing: int


class Scrub(Model):
    """How far both tiers were looked at again; `oldest_seconds` ago, or later, every cold asset was."""

    oldest_seconds: float
    suspects: int
    doubt: str
    read_back_at: Seconds | None
    hashed_at: Seconds | None


class Rollout(Model):
    """How far the roll-out has come; `outside` are assets that are on this disk only because it asks for that."""

    mode: Literal["local", "hybrid", "s3"]
    percent: float
    outside: int
    outside_bytes: int


class Status(Model):
    """Everything at a glance; `assets` and `bytes` have every state."""

    assets: dict[State, int]
    bytes: dict[State, int]
    queue: Queue
    rates: Rates
    disk: Disk
    store: ColdTier
    brake: Brake
    scrub: Scrub
    rollout: Rollout
    newest_event: int


class Health(Model):
    """`failing` (503) where hot bytes cannot be served; `degraded` where something else needs attention."""

    status: Literal["ok", "degraded", "failing"]
    reasons: list[str]
    root: str
    version: str


class Transfer(Model):
    """An asset on its way. A rate is null until bytes have gone; what goes in one piece has none."""

    path: str
    href: str
    direction: Literal["upload", "promotion"]
    size: int
    done: int
    bytes_per_second: float | None
    seconds_left: float | None


class Wanted(Model):
    """How often an asset was asked for."""

    path: str
    href: str
    times: int


class Incident(Model):
    """Something that went wrong, of one asset or of none (null), and what to do about it."""

    at: Seconds | None
    path: str | None
    href: str | None
    what: str
    remedy: str
    times: int


class Glance(Model):
    """What a person on call wants to see, in that order."""

    health: Health
    status: Status
    transfers: list[Transfer]
    read: list[Wanted]
    missed: list[Wanted]
    trouble: list[Incident]


class Released(Model):
    """Whether the brake was engaged, and why it was."""

    released: bool
    reason: str


class CurvePoint(Model):
    """What is expected of one size of the hot tier. What is null the sample, or the time, cannot tell."""

    size: int
    is_today: bool
    hit_ratio: float
    error: float
    byte_hit_ratio: float | None
    byte_error: float | None
    store_dollars: float | None
    disk_dollars: float


class Curve(Model):
    """Expected hit ratios by size of the hot tier; errors are bounds. `rate` is the share of assets in the sample."""

    rate: float
    assets: int
    requests: int
    points: list[CurvePoint]


class Read(Model):
    """`times` reads of one asset, the last of them at `time`. `id` is a number that stands for it here alone."""

    time: Seconds
    id: int
    size: int
    times: int


class Going(Model):
    """An asset that is to go from the store, at that moment if nothing is done; `marked`: its grace time runs."""

    path: str
    href: str
    key: str | None
    size: int
    type: str | None
    rule: str
    marked: bool
    at: Seconds


class ErrorDetail(Model):
    """`code` is stable, `message` is for people, `hint` says what to do."""

    code: str
    message: str
    hint: str


class Error(Model):
    """Every answer from 400 on."""

    error: ErrorDetail


class VerifyProgress(Model):
    """How far a verification is."""

    checked: int
    total: int
    bytes: int
    files: int
    objects: int


class Difference(Model):
    """One thing in which store, disk and index do not agree."""

    path: str
    href: str
    kind: str
    detail: str


class VerifyReport(Model):
    """What a verification found; `ok` where there are no differences. The lists have the first 10,000 of each."""

    checked: int
    bytes: int
    files: int
    objects: int
    counts: dict[str, int]
    differences: list[Difference]
    superseded_count: int
    superseded: list[str]
    ok: bool


class VerifyLine(Model):
    """One line of a verification: exactly one of the three; the last is never a progress."""

    progress: VerifyProgress | None = None
    report: VerifyReport | None = None
    error: ErrorDetail | None = None


class Finding(Model):
    """One thing that a check of the doctor's has to say; `remedy` is empty where there is nothing to do."""

    check: str
    verdict: Literal["ok", "warning", "failed"]
    message: str
    remedy: str


class Examination(Model):
    """What the doctor found; `ok` where nothing has failed."""

    findings: list[Finding]
    ok: bool


class DrainProgress(Model):
    """What has no proven remote copy yet."""

    unprotected: int
    unprotected_bytes: int
    stuck: int


class DrainReport(Model):
    """How a drain ended; `stuck` are the paths that wait for a person, `outside` is what the roll-out leaves here."""

    done: bool
    unprotected: int
    unprotected_bytes: int
    stuck: list[str]
    outside: int


class DrainLine(Model):
    """One line of a drain: exactly one of the three; the last is never a progress."""

    progress: DrainProgress | None = None
    report: DrainReport | None = None
    error: ErrorDetail | None = None


class Move(Model):
    """A remote copy that is to be at another key; `why` it is not, where it should be by now."""

    path: str
    href: str
    key: str
    to: str
    why: str


class MigrationPlan(Model):
    """What a migration moves, and what stays for which reason."""

    moves: int
    bytes: int
    placed: int
    elsewhere: int
    waiting: int
    unplaceable: int
    collisions: int
    examples: list[Move]


class MigrationProgress(Model):
    """How far a migration is; `trouble` is why nothing moves at present."""

    phase: Literal["moving", "pruning"]
    done: int
    total: int | None
    trouble: str


class MigrationReport(Model):
    """How a migration ended, or would begin. `failures` are the first 10,000 of those that failed."""

    plan: MigrationPlan
    moved: int
    failed: int
    failures: list[Move]
    pruned: int
    pruned_bytes: int
    kept: int


class MigrationLine(Model):
    """One line of a migration: exactly one of the three; the last is never a progress."""

    progress: MigrationProgress | None = None
    report: MigrationReport | None = None
    error: ErrorDetail | None = None


class MigrationStatus(Model):
    """How far the last migration is. Neither `running` nor done: it was broken off."""

    phase: Literal["none", "moving", "pruning", "done"]
    source: str | None
    target: str | None
    prune: bool
    began: Seconds | None
    ended: Seconds | None
    total: int
    bytes: int
    moved: int
    left: int
    failed: int
    pruned: int
    pruned_bytes: int
    running: bool
    trouble: str


class Holders(Model):
    """The assets that have some content, in either tier."""

    assets: list[Asset]


class DiscoveryProgress(Model):
    """How far a discovery is; it does not know of how many objects."""

    objects: int
    assets: int
    bytes: int
    taken: int
    strangers: int


class Stray(Model):
    """An object that the index lacks, and the path of its asset; null where it does not say."""

    key: str
    size: int
    path: str | None


class DiscoveryReport(DiscoveryProgress):
    """What the store has and the index lacks; the lists have the first 10,000 of each."""

    lacking: list[Stray]
    foreign: list[Stray]


class DiscoveryLine(Model):
    """One line of a discovery: exactly one of the three; the last is never a progress."""

    progress: DiscoveryProgress | None = None
    report: DiscoveryReport | None = None
    error: ErrorDetail | None = None
