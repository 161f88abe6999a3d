"""How things stand, as models: see daemon/models.py."""

from __future__ import annotations

from typing import Literal

from daemon.models import Model, Seconds
from index.lifecycle import State  # noqa: TC001 - pydantic resolves annotations when the program runs


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
