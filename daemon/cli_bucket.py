"""The commands about the bucket itself. They need no daemon."""

import json
import sys
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import typer

from daemon import render
from daemon.cli_options import Code, Options, options
from daemon.wire import TierdError

Steps = Sequence[dict[str, Any]]

Iam = Annotated[bool, typer.Option("--iam", help="Print the smallest IAM policy that this needs, and end.")]


def setup(
    context: typer.Context,
    *,
    check_only: Annotated[bool, typer.Option("--check-only", help="Print what would be done; change nothing.")] = False,
    iam: Iam = False,
) -> Code:
    """Make the store's bucket what [bucket] says: print what would change, ask on a terminal, do it rule by rule."""
    from daemon import bucketing  # noqa: PLC0415 - the libraries of the stores take long

    given = options(context)
    settings = bucketing.read_settings(given.config)
    if iam:
        return _show_policy(bucketing.finish(bucketing.policy(settings, for_setup=True)))
    survey = bucketing.finish(bucketing.look(settings))
    planned = [bucketing.as_json(step) for step in survey.steps]
    if check_only or given.dry_run or not survey.pending:
        return _show(given, planned, dry_run=True)
    _require_allowed(planned)
    _confirm(given, settings.store.url, planned)
    done: list[dict[str, Any]] = []
    bucketing.finish(bucketing.carry_out(settings, survey, lambda step: done.append(bucketing.as_json(step))))
    return _show(given, done, dry_run=False)


def check(context: typer.Context, *, iam: Iam = False) -> Code:
    """Say how the store's bucket differs from what [bucket] says; change nothing. Exit code 1 where it does."""
    from daemon import bucketing  # noqa: PLC0415 - the libraries of the stores take long

    given = options(context)
    settings = bucketing.read_settings(given.config)
    if iam:
        return _show_policy(bucketing.finish(bucketing.policy(settings, for_setup=False)))
    survey = bucketing.finish(bucketing.look(settings))
    code = _show(given, [bucketing.as_json(step) for step in survey.steps], dry_run=True)
    return Code.FAILED if survey.pending else code


def _show_policy(policy: dict[str, Any]) -> Code:
    render.show_line(json.dumps(policy, indent=2))
    return Code.DONE


def _require_allowed(steps: Steps) -> None:
    """Raise RefusedError where a rule could not even be looked at: nothing is begun that cannot be finished."""
    actions = ", ".join(step["detail"].partition(" is not")[0] for step in steps if step["outcome"] == "denied")
    if actions:
        raise TierdError(
            "refused",
            f"nothing was changed: the credentials may not do {actions}",
            "allow it (`tierd bucket setup --iam` prints a policy), or turn the rule off in [bucket]",
            HTTPStatus.FORBIDDEN,
        )


def _confirm(given: Options, url: str, steps: Steps) -> None:
    """Ask, on a terminal; elsewhere the command is the order, but for what deletes: that is asked for by --yes."""
    pending = [step for step in steps if step["outcome"] == "planned"]
    deletes = any(step["rule"] == "expire_after" and "DELETED" in step["detail"] for step in pending)
    if sys.stdin.isatty() and sys.stderr.isatty():
        _show_steps(steps)
    elif not deletes:
        return
    given.confirm(f"{len(pending)} changes to {url}{', one of which deletes objects' if deletes else ''}: go on?")


def _show(given: Options, steps: Steps, *, dry_run: bool) -> Code:
    if given.json:
        render.show_json({"steps": steps, "dry_run": dry_run})
    else:
        _show_steps(steps)
    outcomes = {step["outcome"] for step in steps}
    if outcomes.isdisjoint({"failed", "denied"}):
        return Code.DONE
    return Code.FAILED if outcomes <= {"failed", "denied"} else Code.PARTLY_FAILED


def _show_steps(steps: Steps) -> None:
    render.show_table(("rule", "outcome", "what"), [[step["rule"], step["outcome"], step["detail"]] for step in steps])
