"""What can go wrong, as HTTP says it: the one place that turns exceptions into status, code, message and hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from index.errors import IndexFullError, StaleTransitionError, UnknownAssetError
from tiering import tree
from tiering.leases import TooManyLeasesError
from tiering.outcome import DamagedError, NoSpaceError, RestoringError, TierError
from tiering.store import PreconditionError, StoreError, UnavailableError
from tiering.vocabulary import MeaningError

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_SECONDS: Final = 5


class ApiError(Exception):
    """An answer that is an error. `retry_after` is in seconds; None where waiting does not help."""

    def __init__(self, status: int, code: str, message: str, *, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, object]:
        """The error as the contract shows it."""
        return {"error": {"code": self.code, "message": str(self), "hint": self.hint}}

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes with it besides the body."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class _Row(NamedTuple):
    """How one kind of exception is answered; its own `code` and `hint`, where it has them, go first."""

    kind: type[Exception]
    status: int
    code: str
    hint: str = ""
    retry_after: int | None = None


_ROWS: Final = (
    _Row(UnknownAssetError, 404, "unknown-asset", "there is neither a file nor a cold asset of this path"),
    _Row(IndexFullError, 507, "no-space", "free space on the index's file system"),
    _Row(StaleTransitionError, 409, "conflict", "it moved meanwhile: ask again"),
    _Row(TooManyLeasesError, 503, "too-many-leases", "release leases that are not needed", RETRY_SECONDS),
    _Row(NoSpaceError, 507, "no-space"),
    _Row(DamagedError, 503, "damaged"),
    _Row(MeaningError, 400, "bad-metadata"),
    _Row(RestoringError, 503, "restoring", "", 900),
    _Row(TierError, 409, "conflict"),
    _Row(UnavailableError, 503, "unavailable", "", RETRY_SECONDS),
    _Row(PreconditionError, 409, "conflict"),
    _Row(StoreError, 503, "store"),
    _Row(tree.BadNameError, 400, "bad-path"),
    _Row(tree.MissingError, 404, "unknown-asset", "the file has gone"),
    _Row(tree.NotRegularError, 409, "not-regular", "only regular files are assets"),
    _Row(tree.BusyError, 503, "changing", "ask again when its writer is done", 1),
    _Row(tree.ChangedError, 503, "changing", "ask again when its writer is done", 1),
    _Row(tree.UnreadableError, 503, "unreadable", "check the file's rights and the disk"),
    _Row(tree.DiskFullError, 507, "no-space", "free space on the disk"),
    _Row(tree.FileError, 409, "conflict"),
)
"""The first row that fits counts."""


def as_api_error(error: Exception) -> ApiError | None:
    """Return the answer for an exception that is no bug; None for one that is."""
    if isinstance(error, ApiError):
        return error
    for row in _ROWS:
        if isinstance(error, row.kind):
            code = getattr(error, "code", row.code)
            hint = getattr(error, "hint", "") or row.hint
            return ApiError(row.status, code, str(error), hint=hint, retry_after=row.retry_after)
    return None
