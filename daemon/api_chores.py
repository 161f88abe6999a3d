"""What only an administrator does: verify, migrate, drain the uploads, release the brake, call the doctor."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from daemon import bodies, models, models_chores
from daemon.doctor import Verdict
from daemon.peers import Right
from daemon.problem import ApiError
from daemon.responses import Lines, json_response
from daemon.route import JSON_LINES, Route
from daemon.target import href_of
from daemon.unexpected import answer_for
from index.asset import printable
from tiering.answers import (
    DrainProgress,
    DrainReport,
    Inventory,
    MigrationProgress,
    MigrationReport,
    VerifyProgress,
    VerifyReport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from aiohttp.web import BaseRequest, StreamResponse

    from daemon.doctor import Row
    from daemon.route import Call, Service
    from tiering.answers import Move, Stray

Step = VerifyProgress | VerifyReport | DrainProgress | DrainReport | MigrationProgress | MigrationReport | Inventory


async def verify(service: Service, call: Call) -> StreamResponse:
    """Compare store, disk and index."""
    asked = await call.body(bodies.Verification)
    return await _tell(call.request, service.verifier.verify(deep=asked.deep))


async def drain(service: Service, call: Call) -> StreamResponse:
    """Upload everything now."""
    asked = await call.body(bodies.Drain)
    return await _tell(call.request, service.drain.drain(wait=asked.wait, timeout=asked.timeout))


async def discover(service: Service, call: Call) -> StreamResponse:
    """Say what the store has and the index lacks, or take it in."""
    asked = await call.body(bodies.Discovery)
    return await _tell(call.request, service.stocktaking.take(sync=asked.sync, foreign=asked.foreign))


async def migrate(service: Service, call: Call) -> StreamResponse:
    """Have remote copies follow to the keys of the layout, or say what would move."""
    asked = await call.body(bodies.Migration)
    if asked.resume:
        if asked.model_fields_set != {"resume"}:
            raise ApiError(400, "bad-input", "resume: it goes on as it was asked for; say nothing else")
        return await _tell(call.request, await service.migration.resume())
    if asked.dry_run:
        plan = service.migration.plan(asked.source, asked.target, prune=asked.prune)
        return await _tell(call.request, plan)
    run = await service.migration.run(asked.source, asked.target, prune=asked.prune)
    return await _tell(call.request, run)


async def get_migration(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Answer how far the last migration is."""
    return json_response(asdict(await service.migration.status()))


async def examine(service: Service, call: Call) -> StreamResponse:  # noqa: ARG001 - handlers are all alike
    """Look for what is wrong with this host and its store."""
    return json_response(examination_view(await service.examine()))


async def resume(service: Service, call: Call) -> StreamResponse:
    """Release the brake."""
    asked = await call.body(bodies.Resumption)
    brake = service.inspector.status().brake
    if not asked.confirm:
        message = f"{brake.missing} files are missing, and resuming takes them for removed"
        raise ApiError(409, "conflict", message, hint='look first, then confirm with {"confirm": true}')
    service.reconciler.release()
    # The next look at the whole tree believes it, unless the disk speaks against it still.
    await service.reconciler.reconcile_now()
    now = service.inspector.status().brake
    if now.engaged:
        raise ApiError(409, "conflict", f"the brake holds on: {now.reason}", hint="mount the disk, or let tierd write")
    return json_response({"released": brake.engaged, "reason": brake.reason})


async def _tell(request: BaseRequest, steps: AsyncGenerator[Step, None]) -> StreamResponse:
    """Send each step as a line. The first is awaited before the head, so that what fails at once is a plain error."""
    async with aclosing(steps) as open_steps:
        line = step_view(await anext(open_steps))
        lines = await Lines.begin(request)
        await lines.write([line])
        try:
            async for step in open_steps:
                await lines.write([step_view(step)])
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the head is sent: all that is left is to say it in the last line
            await lines.write([answer_for(error).body])
    return lines.response


def step_view(step: Step) -> dict[str, Any]:
    """Return one line."""
    match step:
        case VerifyProgress() | DrainProgress() | MigrationProgress():
            return {"progress": asdict(step)}
        case DrainReport():
            return {"report": {**asdict(step), "stuck": [printable(path) for path in step.stuck]}}
        case Inventory():
            return inventory_view(step)
        case MigrationReport():
            plan = asdict(step.plan) | {"examples": [_move_view(move) for move in step.plan.examples]}
            failures = [_move_view(move) for move in step.failures]
            given = {name: getattr(step, name) for name in ("moved", "failed", "pruned", "pruned_bytes", "kept")}
            return {"report": {"plan": plan, **given, "failures": failures}}
        case VerifyReport():
            differences = [
                {"path": printable(found.path), "href": href_of(found.path), "kind": found.kind, "detail": found.detail}
                for found in step.differences
            ]
            given = {name: getattr(step, name) for name in ("checked", "bytes", "files", "objects", "superseded_count")}
            lists = {"differences": differences, "superseded": list(step.superseded)}
            return {"report": {**given, "counts": dict(step.counts), **lists, "ok": not differences}}


def inventory_view(step: Inventory) -> dict[str, Any]:
    """Return one line of a discovery."""
    given = {name: getattr(step, name) for name in ("objects", "assets", "bytes", "taken", "strangers")}
    if not step.is_done:
        return {"progress": given}
    lists = {"lacking": [*map(_stray_view, step.lacking)], "foreign": [*map(_stray_view, step.foreign)]}
    return {"report": {**given, **lists}}


def _stray_view(stray: Stray) -> dict[str, Any]:
    path = None if stray.path is None else printable(stray.path)
    return {"key": stray.key, "size": stray.size, "path": path}


def _move_view(move: Move) -> dict[str, str]:
    path = {"path": printable(move.path), "href": href_of(move.path)}
    return {**path, "key": move.key, "to": move.to, "why": move.why}


def examination_view(rows: Iterable[Row]) -> dict[str, Any]:
    """Return what the doctor found."""
    findings = [{"check": row.check, **asdict(row.finding)} for row in rows]
    return {"findings": findings, "ok": all(found["verdict"] != Verdict.FAILED for found in findings)}


ROUTES: Final = (
    Route(
        method="POST",
        template="/v1/doctor",
        handler=examine,
        summary="Look for what is wrong with this host and its store",
        right=Right.ADMIN,
        answers={200: models_chores.Examination},
    ),
    Route(
        method="POST",
        template="/v1/verify",
        handler=verify,
        summary="Compare store, disk and index; one JSON document a line, the report last",
        right=Right.ADMIN,
        body=bodies.Verification,
        answers={200: models_chores.VerifyLine, 409: models.Error},
        media=JSON_LINES,
    ),
    Route(
        method="POST",
        template="/v1/drain",
        handler=drain,
        summary="Upload everything now; one JSON document a line, the report last",
        right=Right.ADMIN,
        body=bodies.Drain,
        answers={200: models_chores.DrainLine, 409: models.Error},
        media=JSON_LINES,
    ),
    Route(
        method="POST",
        template="/v1/discover",
        handler=discover,
        summary="Say what the store has and the index lacks, or take it in; one JSON document a line, the report last",
        right=Right.ADMIN,
        body=bodies.Discovery,
        answers={200: models_chores.DiscoveryLine, 409: models.Error},
        media=JSON_LINES,
    ),
    Route(
        method="GET",
        template="/v1/migrate",
        handler=get_migration,
        summary="How far the last migration is",
        answers={200: models_chores.MigrationStatus},
    ),
    Route(
        method="POST",
        template="/v1/migrate",
        handler=migrate,
        summary="Have remote copies follow to the keys of the layout; one JSON document a line, the report last",
        right=Right.ADMIN,
        body=bodies.Migration,
        answers={200: models_chores.MigrationLine, 409: models.Error},
        media=JSON_LINES,
    ),
    Route(
        method="POST",
        template="/v1/resume",
        handler=resume,
        summary="Release the brake",
        right=Right.ADMIN,
        body=bodies.Resumption,
        answers={200: models_chores.Released, 409: models.Error},
    ),
)
