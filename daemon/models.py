"""The JSON of the HTTP contract, as models: bodies and queries are checked by them, OpenAPI is generated from them.

Answers are built as plain dicts (daemon/views.py) because hot requests must be cheap; tests hold the dicts to these
models. `path` is printable: bytes that are not UTF-8 show as U+FFFD; `href` is exact, percent-encoded.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from daemon.target import path_of_text
from index.asset import ProofMethod, RelPath
from index.lifecycle import Event, State  # noqa: TC001 - pydantic resolves annotations when the program runs

Seconds = float
"""A moment, in seconds since the epoch."""

Word = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=1024)]
Notes = Annotated[dict[Word, Text], Field(max_length=64)]


def _path(value: object) -> RelPath:
    if not isinstance(value, str):
        raise ValueError("a path is a string")  # noqa: TRY004 - pydantic takes ValueError for a wrong value
    return path_of_text(value)


PathText = Annotated[
    RelPath,
    PlainValidator(_path),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 12288,
            "description": "Relative path, percent-encoded like href; a % that begins no escape stands for itself, "
            "bytes that are not UTF-8 may also be the lone surrogates \\udc80 to \\udcff.",
        }
    ),
]


class Model(BaseModel):
    """What all share: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Answers


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


class AssetPage(Model):
    """Assets in the order of their paths; `cursor` is null on the last page."""

    assets: list[Asset]
    cursor: str | None


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
    """A file that is not on disk yet."""

    path: str
    href: str
    relative: str
    state: State
    hit: Literal[False]
    ready: Literal[False]


class Result(Model):
    """What came of a command for one asset; `state` is null where there is none."""

    path: str
    href: str
    outcome: str = Field(description="done, unchanged, planned, started, refused, failed or unknown")
    reason: str
    state: State | None
    size: int


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


class Change(Model):
    """One change of state. `before` is null where the asset was discovered."""

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


class Queue(Model):
    """What waits and what is under way."""

    waiting: int
    uploading: int
    promoting: int
    oldest_unprotected_seconds: float
    unprotected_bytes: int


class Rates(Model):
    """Uploads over the last minute, hits since the start."""

    upload_bytes_per_second: float
    hit_ratio: float


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


class Status(Model):
    """Everything at a glance; `assets` and `bytes` have every state."""

    assets: dict[State, int]
    bytes: dict[State, int]
    queue: Queue
    rates: Rates
    disk: Disk
    store: ColdTier
    brake: Brake


class Health(Model):
    """`failing` (503) where hot bytes cannot be served; `degraded` where something else needs attention."""

    status: Literal["ok", "degraded", "failing"]
    reasons: list[str]
    root: str
    version: str


class Released(Model):
    """Whether the brake was engaged, and why it was."""

    released: bool
    reason: str


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


class Difference(Model):
    """One thing in which store, disk and index do not agree."""

    path: str
    href: str
    kind: str
    detail: str


class VerifyReport(Model):
    """What a verification found; `ok` where there are no differences."""

    checked: int
    bytes: int
    differences: list[Difference]
    superseded: list[str]
    ok: bool


class VerifyLine(Model):
    """One line of a verification: exactly one of the three; the last is never a progress."""

    progress: VerifyProgress | None = None
    report: VerifyReport | None = None
    error: ErrorDetail | None = None


class DrainProgress(Model):
    """What has no proven remote copy yet."""

    unprotected: int
    unprotected_bytes: int
    stuck: int


class DrainReport(Model):
    """How a drain ended; `stuck` are the paths that wait for a person."""

    done: bool
    unprotected: int
    unprotected_bytes: int
    stuck: list[str]


class DrainLine(Model):
    """One line of a drain: exactly one of the three; the last is never a progress."""

    progress: DrainProgress | None = None
    report: DrainReport | None = None
    error: ErrorDetail | None = None


# Requests


class Request(Model):
    """What all bodies share: a wrong type is refused, not converted."""

    model_config = ConfigDict(strict=True)


class Registration(Request):
    """What an application knows about an asset. What is left out stays as it is; what is given replaces."""

    type: Word | None = None
    fields: Notes | None = None
    tags: Notes | None = None


class Amendment(Request):
    """A merge patch (RFC 7396): what is left out stays, null removes."""

    type: Word | None = None
    fields: Annotated[dict[Word, Text | None], Field(max_length=64)] | None = None
    tags: Annotated[dict[Word, Text | None], Field(max_length=64)] | None = None


class Filter(Request):
    """Which assets: all that match everything given; empty means all."""

    state: list[Annotated[State, Field(strict=False)]] = []
    type: str | None = None
    q: str | None = None
    fields: dict[str, str] = {}
    tags: dict[str, str] = {}
    pinned: bool | None = None


class Command(Request):
    """What a command is about: exactly one of `paths` and `filter`."""

    paths: Annotated[list[PathText], Field(min_length=1)] | None = None
    filter: Filter | None = None
    dry_run: bool = False
    wait: bool = True

    @model_validator(mode="after")
    def _one_selection(self) -> Command:
        if (self.paths is None) == (self.filter is None):
            raise ValueError("give exactly one of 'paths' and 'filter'")
        return self


class Retry(Command):
    """A command to try again; `overwrite` allows the upload to replace a foreign object at its key."""

    overwrite: bool = False


class Verification(Request):
    """`deep` reads every object back and compares its SHA-256."""

    deep: bool = False


class Drain(Request):
    """`wait` until everything is protected, for at most `timeout` seconds."""

    wait: bool = True
    timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class Resumption(Request):
    """`confirm` must be true: the files that are missing are then taken for removed."""

    confirm: bool = False


# Queries


class AssetsQuery(Filter):
    """The query of the list; `fields` and `tags` are given as `field.NAME=VALUE` and `tag.NAME=VALUE`."""

    model_config = ConfigDict(strict=False)

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")] | None = None


class OpenQuery(Model):
    """How many seconds to wait for a cold asset."""

    wait: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 30.0


class EventsQuery(Model):
    """Where to begin, and whether to go on for ever."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    follow: bool = True


class NoQuery(Model):
    """Takes no parameters."""
