"""What is there for good costs nothing again and again."""

from __future__ import annotations

import gc

from daemon.memory import spare_the_collector


def test_what_is_loaded_is_not_looked_through_again() -> None:
    """A full collection finds only what came since."""
    before = len(gc.get_objects())
    spare_the_collector()
    try:
        assert len(gc.get_objects()) < before / 100
    finally:
        gc.unfreeze()
