"""Nothing leaves the disk while the disk, the store or the time since the start gives reason to doubt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from core import ABLE

from tiering.brake import RELEASED, Brake
from tiering.clearance import Clearance
from tiering.leases import LEASE_SECONDS, Leases

if TYPE_CHECKING:
    from tiering.probe import Capabilities

START = 1_000.0


@dataclass
class World:
    """What is asked, as it is when nothing speaks against a demotion."""

    brake: Brake = RELEASED
    scanned: asyncio.Event = field(default_factory=asyncio.Event)
    capabilities: Capabilities | None = ABLE
    now: float = START + LEASE_SECONDS

    def __post_init__(self) -> None:
        self.scanned.set()

    def reason(self) -> str | None:
        """Ask."""
        parts: Any = self
        leases = Leases(clock=lambda: START)
        return Clearance(parts, parts, leases, clock=lambda: self.now).reason_to_wait()


def test_without_doubts_there_is_no_reason_to_wait() -> None:
    """Otherwise every disk would fill up."""
    assert World().reason() is None


@pytest.mark.parametrize(
    ("doubt", "reason"),
    [
        ({"brake": RELEASED.engage("40 files are missing", missing=40, now=START)}, "40 files are missing"),
        ({"scanned": asyncio.Event()}, "first scan"),
        ({"capabilities": None}, "the store has not shown"),
        ({"capabilities": replace(ABLE, read_back_equal=False)}, "the store has not shown"),
        ({"now": START + LEASE_SECONDS - 1}, "lease from before the start"),
    ],
)
def test_one_doubt_is_enough(doubt: dict[str, Any], reason: str) -> None:
    """And it is said in words."""
    world = World()
    for name, value in doubt.items():
        setattr(world, name, value)
    said = world.reason()
    assert said is not None
    assert reason in said
