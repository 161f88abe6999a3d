"""What holds for every command: the global options, the way to the daemon, questions, and exit codes."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import typer

from daemon import render
from daemon.client import Client, TierdError, UnreachableError
from daemon.sources import find_socket
from daemon.units import human_size
from index.asset import printable

_WENT_WELL: Final = frozenset({"done", "unchanged", "planned", "started"})


class Code(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    PARTLY_FAILED = 4
    REFUSED = 5
    UNREACHABLE = 69
    TRY_AGAIN = 75
    NOT_PERMITTED = 77
    BAD_CONFIG = 78
    INTERRUPTED = 130


_BY_STATUS: Final = {
    HTTPStatus.ACCEPTED: Code.TRY_AGAIN,
    HTTPStatus.BAD_REQUEST: Code.USAGE,
    HTTPStatus.FORBIDDEN: Code.NOT_PERMITTED,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.CONFLICT: Code.REFUSED,
    HTTPStatus.REQUEST_TIMEOUT: Code.TRY_AGAIN,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.TRY_AGAIN,
}
_FAILURES: Final = {Code.NOT_FOUND: "unknown", Code.REFUSED: "refused", Code.NOT_PERMITTED: "refused"}


class RefusedError(TierdError):
    """The command line itself would not: a person must say more."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("refused", message, hint, HTTPStatus.CONFLICT)


@dataclass(frozen=True, slots=True)
class Options:
    """The global options."""

    config: Path | None = None
    socket: Path | None = None
    json: bool = False
    yes: bool = False
    dry_run: bool = False

    def client(self) -> Client:
        """Return the client of the daemon that the options, the environment or the configuration name."""
        return Client(self.socket or find_socket(self.config, os.environ))

    def confirm(self, question: str) -> None:
        """Ask, on a terminal, unless --yes was given. Raise RefusedError where the answer is not yes."""
        if self.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise RefusedError(f"{question} There is no terminal to ask on.", "say --yes")
        if not typer.confirm(question, err=True):
            raise RefusedError("not confirmed", "nothing was done")


def options(context: typer.Context) -> Options:
    """Return the global options of a command."""
    found: Options = context.find_root().obj
    return found


def asset_path(client: Client, given: str) -> str:
    """Return the path relative to the cache root: as given, or of an absolute one what lies beneath the root."""
    if not given.startswith("/"):
        return given.removeprefix("./")
    path = os.path.normpath(given)
    root = client.health()["root"].rstrip("/") + "/"
    if not path.startswith(root):
        raise RefusedError(f"{given} is not inside the cache root {root}", "give a path relative to the root")
    return path.removeprefix(root)


def error_code(error: TierdError) -> Code:
    """Return how a command ends that the daemon refused."""
    if isinstance(error, UnreachableError):
        return Code.UNREACHABLE
    if error.code == "damaged":  # trying again does not help
        return Code.FAILED
    return _BY_STATUS.get(HTTPStatus(error.status), Code.FAILED) if error.status else Code.FAILED


def attempt(act: Callable[[], dict[str, Any]], path: str, outcome: str) -> dict[str, Any]:
    """Return what became of one asset of many; only an unreachable daemon ends them all."""
    try:
        asset = act()
    except UnreachableError:
        raise
    except TierdError as error:
        return outcome_of(path, _FAILURES.get(error_code(error), "failed"), reason=error.message)
    return outcome_of(asset["path"], outcome, state=asset["state"], size=asset["size"])


def outcome_of(path: str, outcome: str, *, reason: str = "", state: str | None = None, size: int = 0) -> dict[str, Any]:
    """Return a result in the shape of the daemon's own."""
    return {"path": printable(path), "outcome": outcome, "reason": reason, "state": state, "size": size, "regret": None}


def show_results(given: Options, results: list[dict[str, Any]]) -> Code:
    """Print what became of each asset; return how the command ends."""
    if given.json:
        render.show_json({"results": results, "dry_run": given.dry_run})
    else:
        render.show_results(results)
        _sum_up(results)
    return results_code(results)


def _sum_up(results: Iterable[dict[str, Any]]) -> None:
    """Say how much would leave the disk, where that is planned."""
    planned = [result for result in results if result.get("regret") is not None]
    if planned:
        size, regret = (sum(result[name] for result in planned) for name in ("size", "regret"))
        render.note(
            f"{len(planned):,} would leave, {human_size(size)}; within a half-life {regret:.1f} reads would miss them"
        )


def results_code(results: Iterable[dict[str, Any]]) -> Code:
    """Return how a command ends that had these outcomes."""
    outcomes = [result["outcome"] for result in results]
    failures = {outcome for outcome in outcomes if outcome not in _WENT_WELL}
    if not failures:
        return Code.DONE
    if any(outcome in _WENT_WELL for outcome in outcomes):
        return Code.PARTLY_FAILED
    if failures == {"unknown"}:
        return Code.NOT_FOUND
    return Code.REFUSED if failures == {"refused"} else Code.FAILED
