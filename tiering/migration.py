"""Has all remote copies follow to the keys of the configured layout: what would move, how far it is, and what stays.

It marks what is to follow, and the rekeyer does the rest: no stop loses a mark. What was asked for is written down
before the first mark, so that a migration that was broken off can be taken up again.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from index.lifecycle import State
from tiering.answers import MigrationPlan, MigrationProgress, MigrationReport, MigrationStatus, Move
from tiering.outcome import ConflictError
from tiering.rekeyer import subject_of
from tiering.store import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.keys import Layout
    from tiering.pruner import Pruner, Pruning
    from tiering.rekeyer import Rekeyer
    from tiering.rollout import Rollout

PAGE: Final = 1000
FACT: Final = "migration"
MOST_EXAMPLES: Final = 10
MOST_LISTED: Final = 10_000
LOOK_SECONDS: Final = 0.5
_AT_REST: Final = frozenset({State.REPLICATED, State.COLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for: from which layout, None for any, to which, and whether superseded objects go after that."""

    source: str | None
    target: str
    prune: bool = False


@dataclass(slots=True)
class Tally:
    """What was found out about all assets. `taken` are hashes of the keys that are spoken for."""

    moves: int = 0
    bytes: int = 0
    placed: int = 0
    elsewhere: int = 0
    waiting: int = 0
    unplaceable: int = 0
    outside: int = 0
    collisions: int = 0
    listed: list[Move] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    def note(self, asset: Asset, keys: tuple[str, ...], *, is_taken: bool) -> None:
        """Count a remote copy that is to move to the first of these keys, or to the next where that is taken."""
        if asset.proof is None:
            return
        self.moves += 1
        self.bytes += asset.proof.size
        if is_taken or hash(keys[0]) in self.taken:
            self.collisions += 1
            keys = keys[1:] or keys
        self.taken.add(hash(keys[0]))
        if len(self.listed) < MOST_LISTED:
            self.listed.append(Move(id=asset.id, path=asset.path, key=asset.proof.key, to=keys[0]))

    def plan(self) -> MigrationPlan:
        """Return what would be done."""
        names = ("moves", "bytes", "placed", "elsewhere", "waiting", "unplaceable", "outside", "collisions")
        return MigrationPlan(
            **{name: getattr(self, name) for name in names}, examples=tuple(self.listed[:MOST_EXAMPLES])
        )


class Migration:
    """Plans and runs migrations, one at a time."""

    def __init__(
        self,
        catalog: Catalog,
        layout: Layout,
        rekeyer: Rekeyer,
        pruner: Pruner,
        *,
        layout_of: Callable[[str], Layout],
        is_learnt: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """`layout_of` returns a layout by its name. `is_learnt` says whether the index knows what the store has."""
        self._catalog = catalog
        self._layout = layout
        self._rekeyer = rekeyer
        self._pruner = pruner
        self._layout_of = layout_of
        self._is_learnt = is_learnt
        self._clock = clock
        self._is_running = False

    def __repr__(self) -> str:
        return f"<Migration to {self._layout.name}{' running' if self._is_running else ''}>"

    async def plan(
        self, source: str | None, target: str | None, *, prune: bool
    ) -> AsyncGenerator[MigrationProgress | MigrationReport, None]:
        """Yield progress, at last what a run would do. Changes nothing."""
        tally = await self._survey(source, target)
        report = MigrationReport(plan=tally.plan())
        if prune:
            async for step in self._pruner.prune(dry_run=True):
                report = _with(report, step)
                yield MigrationProgress(phase="pruning", done=step.objects)
        yield report

    async def run(
        self, source: str | None, target: str | None, *, prune: bool
    ) -> AsyncGenerator[MigrationProgress | MigrationReport, None]:
        """Have everything follow; yield progress, at last what came of it.

        Raise ConflictError where another is running, or where it is not the layout by which the daemon uploads.
        """
        if target is not None and target != self._layout.name:
            raise ConflictError(
                f"the daemon uploads by the layout {self._layout.name}: what moved to {target} would not stay there",
                hint=f'set [layout] name = "{target}", start the daemon anew, and run it again',
            )
        return self._alone(Order(source=source, target=self._layout.name, prune=prune), None)

    async def resume(self) -> AsyncGenerator[MigrationProgress | MigrationReport, None]:
        """Take up what was broken off, as `run` does. Raise ConflictError where there is no such thing."""
        told = await self._told()
        if told is None or told["phase"] == "done":
            raise ConflictError("no migration was broken off", hint="see: tierd migrate plan")
        order = Order(**{name: told[name] for name in ("source", "target", "prune")})
        if order.target != self._layout.name:
            raise ConflictError(
                f"what was broken off was a migration to {order.target}; the layout is {self._layout.name} now",
                hint="run it anew: tierd migrate run",
            )
        return self._alone(order, told)

    async def status(self) -> MigrationStatus:
        """Return how far the last migration is, or how it ended."""
        told = await self._told()
        if told is None:
            return MigrationStatus(phase="none")
        left = min(await self._catalog.count_misplaced(), told["total"]) if told["phase"] != "done" else 0
        known = {name: value for name, value in told.items() if name in MigrationStatus.__dataclass_fields__}
        if told["phase"] == "moving":
            known["moved"] = told["total"] - left
        return MigrationStatus(**known, left=left, running=self._is_running, trouble=self._rekeyer.trouble)

    async def _alone(
        self, order: Order, told: dict[str, Any] | None
    ) -> AsyncGenerator[MigrationProgress | MigrationReport, None]:
        if self._is_running:
            raise ConflictError("a migration is running", hint="see: tierd migrate status")
        if not self._is_learnt():
            raise UnavailableError("it is still being learnt what the store has", hint="try again in a moment")
        self._is_running = True
        try:
            async for step in self._migrate(order, told):
                yield step
        finally:
            self._is_running = False

    async def _migrate(
        self, order: Order, told: dict[str, Any] | None
    ) -> AsyncIterator[MigrationProgress | MigrationReport]:
        # One that is taken up again is counted from where it began.
        tally = await self._survey(order.source, order.target)
        if told is None:
            told = {**asdict(order), "total": tally.moves, "bytes": tally.bytes, "began": self._clock(), "ended": None}
        told |= {"phase": "moving", "total": max(told["total"], tally.moves)}
        await self._tell(told)
        await self._survey(order.source, order.target, mark=True)
        async for step in self._wait(told["total"]):
            yield step
        left = await self._survey(order.source, order.target)
        told |= {"moved": told["total"] - left.moves, "failed": left.moves, "phase": "pruning"}
        report = MigrationReport(
            plan=tally.plan(), moved=told["moved"], failed=left.moves, failures=self._explained(left.listed)
        )
        await self._tell(told)
        if order.prune:
            async for pruning in self._pruner.prune(dry_run=False):
                report = _with(report, pruning)
                yield MigrationProgress(phase="pruning", done=pruning.objects)
        await self._tell(told | {"phase": "done", "ended": self._clock(), **_counts(report)})
        yield report

    async def _wait(self, total: int) -> AsyncIterator[MigrationProgress]:
        """Wait until all that can follow has."""
        while True:
            left = await self._catalog.count_misplaced()
            yield MigrationProgress(
                phase="moving", done=max(total - left, 0), total=total, trouble=self._rekeyer.trouble
            )
            if left <= len(self._rekeyer.held):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _survey(self, source: str | None, target: str | None, *, mark: bool = False) -> Tally:
        """Look at every asset, and have those follow that are to if they are to be marked. Others get their turn."""
        to = self._layout if target in {None, self._layout.name} else self._layout_of(str(target))
        whence = None if source is None else self._layout if source == self._layout.name else self._layout_of(source)
        tally, after = Tally(), ""
        while page := await self._catalog.in_states(list(State), limit=PAGE, after=after):
            after = page[-1].id
            moving = _sorted_out(tally, page, to, whence, self._rekeyer.rollout)
            taken = await self._catalog.known_keys([keys[0] for _, keys in moving])
            for asset, keys in moving:
                tally.note(asset, keys, is_taken=keys[0] in taken)
            if mark and moving:
                await self._catalog.misplace([asset.id for asset, _ in moving])
        return tally

    def _explained(self, moves: Sequence[Move]) -> tuple[Move, ...]:
        why = self._rekeyer.reasons
        return tuple(replace(move, why=why.get(move.id, "it was busy; run it again")) for move in moves)

    async def _told(self) -> dict[str, Any] | None:
        said = await self._catalog.recall(FACT)
        found: dict[str, Any] | None = None
        with suppress(ValueError):
            found = None if said is None else json.loads(said)
        return found

    async def _tell(self, told: dict[str, Any]) -> None:
        await self._catalog.remember(FACT, json.dumps(told))


def _sorted_out(
    tally: Tally, page: Sequence[Asset], target: Layout, source: Layout | None, rollout: Rollout
) -> list[tuple[Asset, tuple[str, ...]]]:
    """Count those that stay; return those that are to move, with the keys that they may have."""
    moving = []
    for asset in page:
        if asset.state is State.GONE:
            continue
        if not rollout.covers(asset.path):
            tally.outside += 1
            continue
        if asset.proof is None or asset.state not in _AT_REST:
            tally.waiting += 1
            continue
        subject = subject_of(asset, asset.proof)
        keys = target.keys_for(subject)
        if not keys:
            tally.unplaceable += 1
        elif asset.proof.key in keys:
            tally.placed += 1
        elif source is not None and asset.proof.key not in source.keys_for(subject):
            tally.elsewhere += 1
        else:
            moving.append((asset, keys))
    return moving


def _with(report: MigrationReport, step: Pruning) -> MigrationReport:
    return replace(report, pruned=step.removed, pruned_bytes=step.bytes, kept=step.kept)


def _counts(report: MigrationReport) -> dict[str, int]:
    return {"pruned": report.pruned, "pruned_bytes": report.pruned_bytes}
