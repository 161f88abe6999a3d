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
    url_expires: Seconds | None = Field(description="until when a signed URL is good; null where it does not end")
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
    """A presigned URL, good for `expires` seconds.

    `fields` are what a POST must send before the file, `headers` what a PUT must send.
    """

    url: str
    method: str
    expires: int
    expires_at: Seconds
    fields: dict[str, str]
    headers: dict[str, str]


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


class ErrorDetail(Model):
    """`code` is stable, `message` is for people, `hint` says what to do."""

    code: str
    message: str
    hint: str


class Error(Model):
    """Every answer from 400 on."""

    error: ErrorDetail


class Holders(Model):
    """The assets that have some content, in either tier."""

    assets: list[Asset]
