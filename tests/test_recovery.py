"""What an interrupted asset becomes: as the table allows, and never a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import an_asset

from index.asset import Fingerprint, RelPath, Sighting
from index.lifecycle import HOT, IN_FLIGHT, Event, State, advance
from tiering.recovery import Facts, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

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
