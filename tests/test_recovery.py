"""What an interrupted asset becomes: as the table allows, and never a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from core import a_place
from hypothesis import given
from hypothesis import strategies as st
from samples import an_asset
from trees import plant

from index.asset import Fingerprint, RelPath, Sighting
from index.changes import Change
from index.lifecycle import HOT, IN_FLIGHT, Event, State, advance
from tiering.recovery import Facts, verdict
from tiering.tree import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

SEEN = Sighting(RelPath("a.jpg"), Fingerprint(1000, 1, 7), 1, 4096, 0o644, 1, 0)
FILE_THERE = Facts(SEEN, is_proven_content=True, may_be_left=True)
OTHER_FILE = Facts(SEEN, is_proven_content=False, may_be_left=True)
NO_FILE = Facts(None, is_proven_content=False, may_be_left=False)
SILENT_DISK = Facts(None, is_proven_content=False, may_be_left=True)


@pytest.mark.parametrize(
    ("state", "facts", "event"),
    [
        (State.UPLOADING, FILE_THERE, Event.DEFERRED),
        (State.UPLOADING, NO_FILE, Event.DEFERRED),
        (State.VERIFYING, FILE_THERE, Event.DEFERRED),
        (State.DEMOTING, FILE_THERE, Event.SPARED),
        (State.DEMOTING, OTHER_FILE, Event.SPARED),
        (State.DEMOTING, SILENT_DISK, Event.SPARED),
        (State.DEMOTING, NO_FILE, Event.EVICTED),
        (State.PROMOTING, FILE_THERE, Event.RESTORED),
        (State.PROMOTING, OTHER_FILE, Event.CHANGED),
        (State.PROMOTING, SILENT_DISK, Event.DEFERRED),
        (State.PROMOTING, NO_FILE, Event.DEFERRED),
    ],
)
def test_every_interrupted_state_has_its_verdict(state: State, facts: Facts, event: Event) -> None:
    """By what the disk shows, and by nothing else."""
    assert verdict(an_asset(state=state), facts) is event


def every_fact() -> Iterable[Facts]:
    """Return all that a disk can show: content that is proven is content that is there."""
    return (FILE_THERE, OTHER_FILE, NO_FILE, SILENT_DISK)


@given(st.sampled_from(sorted(IN_FLIGHT)), st.sampled_from(tuple(every_fact())))
def test_recovery_ends_in_a_state_of_rest_that_the_table_allows(state: State, facts: Facts) -> None:
    """One event is enough, and a bytes-are-gone verdict needs a disk that said so."""
    after = advance(state, verdict(an_asset(state=state), facts))
    assert after not in IN_FLIGHT
    if state in HOT and facts.may_be_left:
        assert after in HOT, "unknown is not missing"


@pytest.mark.parametrize("state", sorted(set(State) - IN_FLIGHT))
def test_a_state_of_rest_is_not_recovered(state: State) -> None:
    """To ask is a bug."""
    with pytest.raises(ValueError, match=state):
        verdict(an_asset(state=state), FILE_THERE)


# --- a whole start


CONTENT = b"what its owner made"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where a daemon was stopped."""
    return a_place(tmp_path)


async def trash(core: Core, asset: Asset, content: bytes) -> None:
    """Have a copy of it in the trash."""
    (core.tree.root / ".tierd/trash" / asset.id).write_bytes(content)


async def stopped(core: Core, *events: Event) -> Asset:
    """Have an asset whose mover was stopped after these events."""
    asset = await (core.new("a", CONTENT) if Event.CLAIMED in events else core.hot("a", CONTENT))
    for event in events:
        asset = await core.catalog.apply(Change.about(asset, event))
        if event is Event.EVICTED:
            (core.tree.root / "a").unlink()
    return asset


@pytest.mark.parametrize("events", [(Event.CLAIMED,), (Event.CLAIMED, Event.SENT)])
async def test_an_upload_is_due_again(place: Place, events: tuple[Event, ...]) -> None:
    """At once; and what the store has of it is adopted."""
    async with place.core() as core:
        await stopped(core, *events)
        assert await core.recover() == 1
        assert await core.state("a") is State.NEW
        assert await core.recover() == 0
        await core.upload_all()
        assert await core.state("a") is State.REPLICATED


@pytest.mark.parametrize(
    ("at_name", "in_trash", "state"),
    [
        (CONTENT, None, State.REPLICATED),
        (None, CONTENT, State.REPLICATED),
        (None, b"changed late", State.REPLICATED),
        (b"theirs", CONTENT, State.REPLICATED),
        (None, None, State.COLD),
    ],
)
async def test_a_demotion_is_given_up_while_a_copy_is_left(
    place: Place, at_name: bytes | None, in_trash: bytes | None, state: State
) -> None:
    """What is in the trash gets its name back, unless its owner wrote another file there: that one stays."""
    async with place.core() as core:
        asset = await stopped(core, Event.CHOSEN)
        (core.tree.root / "a").unlink()
        if at_name is not None:
            plant(core.tree, "a", at_name)
        if in_trash is not None:
            await trash(core, asset, in_trash)
        await core.recover()
        assert await core.state("a") is state
        assert core.on_disk("a") == (at_name or in_trash)
        assert core.in_trash() == []
        await core.scan()
        assert await core.read("a") == (at_name or in_trash or CONTENT)


async def test_a_disk_that_says_nothing_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is not an absence."""
    async with place.core() as core:
        await stopped(core, Event.CHOSEN)

        def silent(path: str) -> object:
            raise UnreadableError(path, "Input/output error")

        with monkeypatch.context() as patches:
            patches.setattr(core.tree, "sight", silent)
            await core.recover()
        assert await core.state("a") is State.REPLICATED
        assert core.on_disk("a") == CONTENT


@pytest.mark.parametrize(
    ("at_name", "state"), [(None, State.COLD), (CONTENT, State.REPLICATED), (b"theirs", State.NEW)]
)
async def test_a_promotion_is_judged_by_what_landed(place: Place, at_name: bytes | None, state: State) -> None:
    """Nothing, the proven content, or what its owner wrote."""
    async with place.core() as core:
        await stopped(core, Event.CHOSEN, Event.EVICTED, Event.WANTED)
        if at_name is not None:
            plant(core.tree, "a", at_name)
        await core.recover()
        assert await core.state("a") is state
        await core.scan()
        assert await core.state("a") is state
        assert await core.read("a") == (at_name or CONTENT)


@pytest.mark.parametrize(
    ("events", "in_trash", "at_name"),
    [
        ((Event.CHOSEN, Event.EVICTED), CONTENT, None),
        ((Event.CHOSEN, Event.EVICTED), b"changed late", b"changed late"),
        ((Event.CHOSEN, Event.EVICTED, Event.MISMATCHED), CONTENT, CONTENT),
        ((Event.CHOSEN, Event.EVICTED, Event.REMOVED), CONTENT, None),
    ],
)
async def test_the_trash_is_cleared_of_what_is_elsewhere(
    place: Place, events: tuple[Event, ...], in_trash: bytes, at_name: bytes | None
) -> None:
    """Of a cold asset if it is what the store has, of a removed one in any case; all else gets its name back."""
    async with place.core() as core:
        asset = await stopped(core, *events)
        await trash(core, asset, in_trash)
        await core.recover()
        assert (core.on_disk("a"), core.in_trash()) == (at_name, [])


async def test_what_nobody_knows_is_kept(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The index may be new: a person decides about the file."""
    async with place.core() as core:
        (core.tree.root / ".tierd/trash" / ("f" * 32)).write_bytes(CONTENT)
        await core.recover()
        assert core.in_trash() == [CONTENT]
        assert "f" * 32 in caplog.text


async def test_one_fault_in_the_trash_stops_no_start(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy stays where it is, for the next one."""
    async with place.core() as core:
        asset = await stopped(core, Event.CHOSEN, Event.EVICTED)
        await trash(core, asset, CONTENT)

        def silent(_tree: object, _id: str) -> None:
            raise UnreadableError("a", "Input/output error")

        monkeypatch.setattr("tiering.recovery.discard", silent)
        await core.recover()
        assert core.in_trash() == [CONTENT]
