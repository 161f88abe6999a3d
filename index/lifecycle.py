"""The life of an asset, as one table.

Two rules: everything about transitions lives in this file, and this file knows nothing but names. A state says where
the bytes are. Exactly one edge lets tierd remove a local copy, `demoting` by `evicted`, and `demoting` is entered from
`replicated` only: the product's promise is a property of this table, and tests/test_lifecycle.py checks it as data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where the bytes are."""

    NEW = "new"
    """On disk, to be uploaded."""
    UPLOADING = "uploading"
    """On disk, on their way to the store."""
    VERIFYING = "verifying"
    """On disk, sent, not yet proven."""
    REPLICATED = "replicated"
    """On disk, with a proven remote copy."""
    DEMOTING = "demoting"
    """As replicated; the intent to remove the local copy is written."""
    COLD = "cold"
    """In the store only."""
    PROMOTING = "promoting"
    """In the store only, on their way back."""
    STUCK = "stuck"
    """On disk, and cannot be replicated until a person acts."""
    DAMAGED = "damaged"
    """Not on disk, and missing or wrong in the store."""
    GONE = "gone"
    """Nowhere: a tombstone."""


class Event(StrEnum):
    """What happened to an asset."""

    CLAIMED = "claimed"
    """A worker took it for upload."""
    SENT = "sent"
    """The store acknowledged the bytes."""
    VERIFIED = "verified"
    """The remote copy is proven."""
    MISMATCHED = "mismatched"
    """The remote copy is missing or wrong."""
    CHANGED = "changed"
    """Its owner wrote a file at its path: a new generation."""
    CHOSEN = "chosen"
    """Its local copy is to be removed."""
    EVICTED = "evicted"
    """Its local copy is out of reach and may be unlinked."""
    SPARED = "spared"
    """The demotion was given up: the local copy stays."""
    WANTED = "wanted"
    """Somebody asked for it."""
    RESTORED = "restored"
    """Its bytes are back on disk, proven and durable."""
    DEFERRED = "deferred"
    """Not now: it will be tried again by itself."""
    REFUSED = "refused"
    """Not until a person acts."""
    RETRIED = "retried"
    """A person asked to try again."""
    VANISHED = "vanished"
    """Its owner removed the local file; a proven remote copy exists."""
    LOST = "lost"
    """Its owner removed the local file before there was a remote copy."""
    REMOVED = "removed"
    """A person removed it from both tiers."""
    MISPLACED = "misplaced"
    """Its remote copy is to be at another key, or to say something else: it is copied within the store."""
    REKEYED = "rekeyed"
    """The copy is there, proven; the object before it is superseded."""


class IllegalTransitionError(Exception):
    """The table has no such edge: a bug, never weather."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"an asset that is {state} cannot be {event}")
        self.state = state
        self.event = event


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.NEW: {
        Event.CLAIMED: State.UPLOADING,
        Event.CHANGED: State.NEW,
        Event.DEFERRED: State.NEW,
        Event.REFUSED: State.STUCK,
        Event.RETRIED: State.NEW,
        Event.VANISHED: State.COLD,
        Event.LOST: State.GONE,
        Event.REMOVED: State.GONE,
    },
    State.UPLOADING: {
        Event.SENT: State.VERIFYING,
        Event.CHANGED: State.NEW,
        Event.DEFERRED: State.NEW,
        Event.REFUSED: State.STUCK,
        Event.VANISHED: State.COLD,
        Event.LOST: State.GONE,
    },
    State.VERIFYING: {
        Event.VERIFIED: State.REPLICATED,
        Event.MISMATCHED: State.NEW,
        Event.DEFERRED: State.NEW,
        Event.REFUSED: State.STUCK,
    },
    State.REPLICATED: {
        Event.CHOSEN: State.DEMOTING,
        Event.CHANGED: State.NEW,
        Event.MISMATCHED: State.NEW,
        Event.VANISHED: State.COLD,
        Event.REMOVED: State.GONE,
        Event.MISPLACED: State.REPLICATED,
        Event.REKEYED: State.REPLICATED,
    },
    State.DEMOTING: {
        Event.EVICTED: State.COLD,
        Event.SPARED: State.REPLICATED,
    },
    State.COLD: {
        Event.WANTED: State.PROMOTING,
        Event.CHANGED: State.NEW,
        Event.MISMATCHED: State.DAMAGED,
        Event.REMOVED: State.GONE,
        Event.MISPLACED: State.COLD,
        Event.REKEYED: State.COLD,
    },
    State.PROMOTING: {
        Event.RESTORED: State.REPLICATED,
        Event.DEFERRED: State.COLD,
        Event.MISMATCHED: State.DAMAGED,
        Event.CHANGED: State.NEW,
    },
    State.STUCK: {
        Event.RETRIED: State.NEW,
        Event.CHANGED: State.NEW,
        Event.VANISHED: State.COLD,
        Event.LOST: State.GONE,
        Event.REMOVED: State.GONE,
    },
    State.DAMAGED: {
        Event.RETRIED: State.COLD,
        Event.CHANGED: State.NEW,
        Event.REMOVED: State.GONE,
    },
    State.GONE: {
        Event.CHANGED: State.NEW,
    },
}

HOT: Final = frozenset({State.NEW, State.UPLOADING, State.VERIFYING, State.REPLICATED, State.DEMOTING, State.STUCK})
"""The states whose bytes are on disk."""

IN_FLIGHT: Final = frozenset({State.UPLOADING, State.VERIFYING, State.DEMOTING, State.PROMOTING})
"""The states in which a mover holds the asset: nobody else may change it, and a start must recover it."""

UNPROTECTED: Final = frozenset({State.NEW, State.UPLOADING, State.VERIFYING, State.STUCK})
"""The states in which the only whole copy of the present content is the local one."""


def advance(state: State, event: Event) -> State:
    """Return the state that follows. Raise IllegalTransitionError where the table has no such edge."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
