"""A start learns what the store has before what it can do, and neither before the files were seen if it is to learn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiering.learning import learn_store


class Part:
    """A discovery or a prober that says when it runs."""

    def __init__(self, name: str, told: list[str], *, is_new: bool = False) -> None:
        self._name = name
        self._told = told
        self._is_new = is_new

    async def is_due(self) -> bool:
        """Whether the index has yet to learn what the store has."""
        return self._is_new

    async def run(self) -> None:
        """Say so."""
        self._told.append(self._name)


@pytest.mark.parametrize("is_new", [True, False])
async def test_files_then_objects_then_what_the_store_can_do(*, is_new: bool) -> None:
    """A new index waits for the first scan, and looks again at the end; one that knows the store need not."""
    told: list[str] = []
    scanned = asyncio.Event()
    discovery: Any = Part("discovery", told, is_new=is_new)
    prober: Any = Part("prober", told)
    learning = asyncio.ensure_future(learn_store(discovery, prober, scanned=scanned, scan=lambda: told.append("scan")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == ([] if is_new else ["discovery", "prober"])
    scanned.set()
    await learning
    assert told == (["discovery", "scan", "prober"] if is_new else ["discovery", "prober"])
