"""What comes of an administrator's work, as models: see daemon/models.py. Long work answers line by line."""

from __future__ import annotations

from typing import Literal

from daemon.models import ErrorDetail, Model, Seconds


class Released(Model):
    """Whether the brake was engaged, and why it was."""

    released: bool
    reason: str


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
    outside: int
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
