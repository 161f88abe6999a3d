"""An event loop in which waiting takes no time: its clock jumps to the next timer when nothing else can happen.

Only for coroutines that stay on the loop: a thread does its work in real time.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.passed += timeout
            timeout = 0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in no time; `asyncio.get_running_loop().time()` says how long it would have been."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(10):
        await asyncio.sleep(0)
