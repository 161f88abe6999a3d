"""Retention: what goes from the store, when, and what stops it; never a pinned asset, never a local byte."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place, cut_short, until
from samples import DAY, NOW, a_proof, an_asset

from index.asset import RelPath
from index.expiring import Mark
from index.lifecycle import State
from tiering.answers import Selection
from tiering.expiry import Expiry
from tiering.retention import Retention, rule
from tiering.rollout import Mode, Rollout
from tiering.store import Attributes, NotFoundError, UnavailableError
from tiering.stores.faulty import Fail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset
    from tiering.retention import Going

HOLD, THUMBNAILS = "tag.legal=hold keep", "type=artifact field.kind=thumbnails expire after 90d"
RULES = Retention((rule(HOLD), rule(THUMBNAILS)), grace=7 * DAY)
OLD = an_asset(
    state=State.COLD,
    type="artifact",
    fields={"kind": "thumbnails", "show": "rhobh"},
    proof=a_proof(mtime_ns=0, at=NOW - 90 * DAY),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


# --- what is decided, by rules and a moment alone


def test_an_old_asset_goes_to_the_second() -> None:
    """Neither a moment earlier, nor without its rule."""
    assert RULES.is_old(OLD, now=NOW) == rule(THUMBNAILS)
    assert RULES.is_old(OLD, now=NOW - 1) is None
    assert Retention().is_old(OLD, now=NOW + 1e9) is None


@pytest.mark.parametrize(
    "staying",
    [
        replace(OLD, pinned=True),
        replace(OLD, tags={"legal": "hold"}),
        replace(OLD, type="media"),
        replace(OLD, fields={"kind": "frames"}),
        replace(OLD, fields={}),
        replace(OLD, proof=a_proof(mtime_ns=int(NOW * 1e9), at=0.0)),
        replace(OLD, proof=None),
        *(replace(OLD, state=state) for state in State if state is not State.COLD),
    ],
)
def test_all_else_stays(staying: Asset) -> None:
    """Pinned, kept by an earlier rule, of another type or field, young by either date, or anything but cold."""
    assert RULES.is_old(staying, now=NOW) is None


def test_the_first_rule_that_fits_counts() -> None:
    """A later one cannot say otherwise."""
    first, second = "field.show=rhobh expire after 99w", THUMBNAILS
    assert Retention((rule(first), rule(second))).is_old(OLD, now=NOW) is None


@pytest.mark.parametrize(
    ("asset", "mark", "marked", "at"),
    [
        (OLD, None, False, NOW + 7 * DAY),
        (OLD, Mark(THUMBNAILS, 1000.0), True, NOW + 7 * DAY - 500),
        (OLD, Mark("type=artifact expire after 1d", 1000.0), False, NOW + 7 * DAY),
        (OLD, Mark(THUMBNAILS, 1500.0 - 9 * DAY), True, NOW),
        (replace(OLD, proof=a_proof(mtime_ns=0, at=NOW - 80 * DAY)), None, False, NOW + 17 * DAY),
    ],
)
def test_when_it_goes(asset: Asset, mark: Mark | None, *, marked: bool, at: float) -> None:
    """After its age and the grace time; what is marked has some of that behind it, by what was watched over."""
    going = RULES.going(asset, mark, now=NOW, watched=1500.0)
    assert going is not None
    assert (going.rule, going.marked, going.at) == (THUMBNAILS, marked, at)
    assert RULES.going(replace(asset, pinned=True), mark, now=NOW, watched=1500.0) is None


@pytest.mark.parametrize(
    "text",
    ["", "keep", "type=a", "type=a expire", "type=a expire after 0d", "type=a expire after 9h", "kind=a keep",
     "type.x=a keep", "field=a keep", "field.=a keep", "type=a type=b keep", "type=a expire after 90d until 2027"],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    """Nothing goes by a rule that was meant otherwise: whoever wrote it is told."""
    with pytest.raises(ValueError, match=r".*"):
        rule(text)


# --- what is done


def an_expiry(core: Core, *rules: str, grace: float = 100.0) -> Expiry:
    """Return what has cold assets of this core go, a day after they came to the store."""
    texts = rules or ("type=artifact expire after 1d",)
    return Expiry(
        core.catalog,
        core.store,
        Retention(tuple(map(rule, texts)), grace),
        host="root",
        reason_to_wait=lambda: core.obstacle,
        purge=core.registry.purge_soon,
        observer=core.witness,
        clock=core.clock,
    )


async def an_old_one(core: Core, path: str = "a.jpg") -> Asset:
    """Return a cold artifact that came to the store two days ago."""
    await core.cold(path, path.encode())
    asset = await core.find(path)
    await core.catalog.describe(asset.id, type="artifact", fields={}, tags={})
    await core.rekeyer.place_all()
    core.clock.ahead += 2 * DAY
    return await core.find(path)


async def is_in_store(core: Core, asset: Asset) -> bool:
    """Whether its object is there."""
    try:
        await core.store.head(asset.proof.key if asset.proof else "")
    except NotFoundError:
        return False
    return True


async def marks(core: Core) -> list[str]:
    """Return the paths of what is marked."""
    return [asset.path for asset, _ in await core.catalog.marks.page(after="", limit=10)]


async def test_it_is_marked_then_goes(place: Place) -> None:
    """Not by the look that marks it, not before the grace time, and then altogether; nothing on disk is touched."""
    async with place.core() as core:
        await core.hot("hot.jpg")
        asset = await an_old_one(core)
        young = await core.cold("young.jpg")
        await core.catalog.describe(young.id, type="artifact", fields={}, tags={})
        expiry = an_expiry(core)
        await expiry.look(passed=0.0)
        assert await marks(core) == ["a.jpg"]
        await expiry.look(passed=99.0)
        assert await core.state("a.jpg") is State.COLD
        await expiry.look(passed=1.0)
        assert await core.state("a.jpg") is State.GONE
        assert await is_in_store(core, asset)
        assert await core.registry._purge_all() is None
        assert not await is_in_store(core, asset)
        assert await core.state("young.jpg") is State.COLD
        assert core.on_disk("hot.jpg") == b"content"
        last = (await core.catalog.events(0, limit=1000))[-1]
        assert (last.path, last.reason) == ("a.jpg", "retention: type=artifact expire after 1d")
        assert core.witness.expired_paths == ["a.jpg"]


async def pin(core: Core, asset: Asset) -> None:
    """Keep it by hand, without bringing it back."""
    await core.catalog.set_pinned([asset.id], pinned=True)


async def want(core: Core, asset: Asset) -> None:
    """Read it."""
    await core.read(asset.path)


async def write(core: Core, asset: Asset) -> None:
    """Have its owner write another content."""
    await core.new(asset.path, b"another content")


async def hold(core: Core, asset: Asset) -> None:
    """Say what a keep rule is about."""
    await core.catalog.describe(asset.id, type="artifact", fields={}, tags={"legal": "hold"})


async def retype(core: Core, asset: Asset) -> None:
    """Say that it is something else."""
    await core.catalog.describe(asset.id, type="media", fields={}, tags={})


@pytest.mark.parametrize("object_to", [pin, want, write, hold, retype])
@pytest.mark.parametrize("late", [False, True])
async def test_what_stops_it(place: Place, object_to: Callable[[Core, Asset], Any], *, late: bool) -> None:
    """Also between the last look at it and the act: the transaction that removes it asks again."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core, HOLD, "type=artifact expire after 1d", grace=0.0)
        await expiry.look(passed=0.0)
        if late:
            expire = core.catalog.marks.expire

            async def overtaken(*given: Any, **more: Any) -> Asset | None:
                await object_to(core, asset)
                return await expire(*given, **more)

            core.catalog.marks.expire = overtaken  # type: ignore[method-assign]
        else:
            await object_to(core, asset)
        await expiry.look(passed=1e9)
        assert await core.state(asset.path) is not State.GONE
        await core.registry._purge_all()
        assert await is_in_store(core, asset)
        assert core.witness.expired_paths == []


async def test_an_objection_begins_the_grace_time_anew(place: Place) -> None:
    """What was pinned for a while is not removed the moment that it is unpinned."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core)
        await expiry.look(passed=0.0)
        await pin(core, asset)
        assert await marks(core) == []
        await expiry.look(passed=200.0)
        await core.catalog.set_pinned([asset.id], pinned=False)
        await expiry.look(passed=200.0)
        assert await marks(core) == ["a.jpg"]
        await expiry.look(passed=99.0)
        assert await core.state("a.jpg") is State.COLD


async def test_rules_that_are_taken_back(place: Place) -> None:
    """What was marked stays; another rule begins its own grace time."""
    async with place.core() as core:
        await an_old_one(core)
        expiry = an_expiry(core)
        await expiry.look(passed=0.0)
        expiry.follow(an_expiry(core, "type=artifact expire after 2d", grace=100.0).retention, expiry.rollout)
        await expiry.look(passed=100.0)
        assert await core.state("a.jpg") is State.COLD
        expiry.follow(Retention(), expiry.rollout)
        await expiry.look(passed=1e9)
        assert await marks(core) == []
        assert await core.state("a.jpg") is State.COLD


async def test_a_clock_that_was_set_ahead_takes_nobodys_time(place: Place) -> None:
    """The grace time counts what was watched over, not the time of day; right again, the mark goes."""
    async with place.core() as core:
        await an_old_one(core)
        expiry = an_expiry(core, "type=artifact expire after 9d")
        core.clock.ahead += 1000 * DAY
        await expiry.look(passed=0.0)
        core.clock.ahead += 1000 * DAY
        await expiry.look(passed=50.0)
        assert await marks(core) == ["a.jpg"]
        core.clock.ahead -= 2000 * DAY
        await expiry.look(passed=50.0)
        assert await marks(core) == []
        assert await core.state("a.jpg") is State.COLD


async def test_the_brake_holds_it(place: Place) -> None:
    """Nobody looks, no time passes, and nothing goes; also what is next in the page once it was engaged."""
    async with place.core() as core:
        for path in ("a.jpg", "b.jpg"):
            await an_old_one(core, path)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        core.obstacle = "the brake is engaged"
        assert not await expiry._looked(50.0)
        assert await expiry.watched() == 0.0
        await expiry.look(passed=1.0)
        assert {await core.state("a.jpg"), await core.state("b.jpg")} == {State.COLD}
        core.obstacle = None
        assert await expiry._looked(1.0)
        assert {await core.state("a.jpg"), await core.state("b.jpg")} == {State.GONE}


async def test_what_is_out_of_the_roll_out_stays(place: Place) -> None:
    """Going back removes nothing."""
    async with place.core() as core:
        await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        expiry.follow(expiry.retention, Rollout.of(Mode.LOCAL, None))
        await expiry.look(passed=1.0)
        assert await marks(core) == []
        assert await core.state("a.jpg") is State.COLD
        assert await planned(expiry) == []


async def planned(expiry: Expiry, within: float = 1e9) -> list[Going]:
    """Return what is to go."""
    return [going async for page in expiry.plan(within=within) for going in page]


async def test_the_plan_says_what_would_go_and_changes_nothing(place: Place) -> None:
    """As far ahead as is asked for."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core)
        (going,) = await planned(expiry)
        assert (going.asset.path, going.marked) == ("a.jpg", False)
        assert going.at == pytest.approx(core.clock() + 100, abs=5)
        assert await planned(expiry, within=50.0) == []
        assert await marks(core) == []
        await expiry.look(passed=0.0)
        (going,) = await planned(expiry)
        assert going.marked
        await pin(core, asset)
        assert await planned(expiry) == []


async def test_it_looks_by_itself_and_when_rules_change(place: Place) -> None:
    """As the daemon runs it: marked at once, gone at the next look, its object with it."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        tasks = [asyncio.create_task(each.run()) for each in (expiry, core.registry)]
        try:
            async with asyncio.timeout(20):
                while not await marks(core):  # noqa: ASYNC110 - the index sets no event for that
                    await asyncio.sleep(0.001)
                expiry.follow(expiry.retention, expiry.rollout)
                await until(lambda: core.witness.expired_paths == ["a.jpg"])
                while await is_in_store(core, asset):  # noqa: ASYNC110 - nor does the store
                    await asyncio.sleep(0.001)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


# --- crashes


@pytest.mark.parametrize("at", range(1, 9))
async def test_cut_short_anywhere_it_is_there_or_gone(place: Place, at: int) -> None:
    """A look that ends in the middle leaves a cold asset with its object, or a tombstone whose purge is known."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        await cut_short(expiry.look(passed=1.0), at=at)
        state = await core.state("a.jpg")
        assert state in {State.COLD, State.GONE}
        assert (await core.find("a.jpg")).purge is (state is State.GONE)
        assert await is_in_store(core, asset)
    async with place.core() as core:
        core.clock.ahead += 2 * DAY
        await an_expiry(core, grace=0.0).look(passed=1.0)
        assert await core.registry._purge_all() is None
        assert await core.state("a.jpg") is State.GONE
        assert not await is_in_store(core, asset)


@pytest.mark.parametrize("removed", [False, True])
async def test_a_start_after_the_tombstone_removes_the_object(place: Place, *, removed: bool) -> None:
    """Whether the crash came before the store was asked, or before its answer was written down."""
    async with place.core() as core:
        asset = await an_old_one(core)
        assert asset.proof is not None
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        await expiry.look(passed=1.0)
        if removed:
            await core.store.delete(asset.proof.key, etag=asset.proof.etag)
    async with place.core() as core:
        await core.recover()
        assert (await core.find("a.jpg")).purge
        assert await core.registry._purge_all() is None
        assert not await is_in_store(core, asset)
        assert not (await core.find("a.jpg")).purge


async def test_marks_outlive_a_stop_and_time_stands_still_meanwhile(place: Place) -> None:
    """A host that was off for a month removes nothing that nobody could object to."""
    async with place.core() as core:
        await an_old_one(core)
        await an_expiry(core).look(passed=0.0)
        await an_expiry(core).look(passed=60.0)
    async with place.core() as core:
        core.clock.ahead += 32 * DAY
        expiry = an_expiry(core)
        await expiry.look(passed=0.0)
        (going,) = await planned(expiry)
        assert going.marked
        assert going.at == pytest.approx(core.clock() + 40, abs=5)


@pytest.mark.parametrize("said", [{"tierd-host": "another"}, {"tierd-id": "f" * 32}])
async def test_what_another_host_has_stored_stays(place: Place, said: dict[str, str]) -> None:
    """Its pins and its wishes are not known here; it is asked about again after another grace time."""
    async with place.core() as core:
        asset = await an_old_one(core)
        assert asset.proof is not None
        there = await core.store.head(asset.proof.key)
        await core.store.copy(there.key, there.key, Attributes(metadata={**there.metadata, **said}), etag=there.etag)
        expiry = an_expiry(core)
        await expiry.look(passed=0.0)
        await expiry.look(passed=100.0)
        assert await core.state("a.jpg") is State.COLD
        heads = core.store.calls["head"]
        await expiry.look(passed=99.0)
        assert core.store.calls["head"] == heads
        await expiry.look(passed=1.0)
        assert core.store.calls["head"] == heads + 1
        assert await core.state("a.jpg") is State.COLD


async def test_a_store_that_cannot_be_asked_removes_nothing(place: Place) -> None:
    """Unknown is not ours: the mark stays, and it goes when the store answers."""
    async with place.core() as core:
        await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        core.store.script = [Fail(operation="head", error=UnavailableError("503"), first=core.store.calls["head"] + 1)]
        await expiry.look(passed=1.0)
        assert await core.state("a.jpg") is State.COLD
        assert await marks(core) == ["a.jpg"]
        await expiry.look(passed=1.0)
        assert await core.state("a.jpg") is State.GONE


async def test_a_store_that_does_not_answer_is_asked_again(place: Place) -> None:
    """The tombstone waits with its purge; nothing is forgotten."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        await expiry.look(passed=1.0)
        core.store.script = [Fail(operation="delete", error=UnavailableError("503"))]
        assert await core.registry._purge_all() is not None
        assert (await core.find("a.jpg")).purge
        assert await core.registry._purge_all() is None
        assert not await is_in_store(core, asset)


async def test_a_file_that_is_there_after_all_is_safe(place: Place) -> None:
    """Its owner put it back while nobody looked: the object goes, the file is taken in and uploaded anew."""
    async with place.core() as core:
        asset = await an_old_one(core)
        expiry = an_expiry(core, grace=0.0)
        await expiry.look(passed=0.0)
        core.tree.root.joinpath(asset.path).write_bytes(b"back")
        await expiry.look(passed=1.0)
        await core.registry._purge_all()
        assert core.on_disk(asset.path) == b"back"
        await core.reconciler.take_in(RelPath(asset.path))
        await core.upload_all()
        assert await core.state(asset.path) is State.REPLICATED
        (result,) = await core.orders.pin(Selection(paths=(asset.path,)))
        assert result.outcome == "done"
