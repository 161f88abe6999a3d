"""Threads that upload small new files, so that each costs the event loop next to nothing.

The code is that of every other upload. It is driven without an event loop: what a small new file needs is one request,
and a thread may wait for that. Where anything else turns out to be needed, the upload is done over by a task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from tiering.drive import MustWaitError, drive
from tiering.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from index.asset import Asset, RelPath
    from tiering.label import Label
    from tiering.pacing import Bandwidth
    from tiering.probe import Capabilities
    from tiering.sender import Sender, Sent
    from tiering.tree import Tree
    from tiering.turns import ThreadTurns

GATHER_SECONDS: Final = 0.005
"""What ends within this time is committed together: one wait for the disk, and one round of the loop, for many."""


class Delivery(NamedTuple):
    """An upload that ended: with what the store holds now, or with an error."""

    asset: Asset
    outcome: Sent | Exception
    seconds: float


class Couriers:
    """Hands uploads to threads, and brings back what came of them, as many as have ended."""

    def __init__(
        self,
        tree: Tree,
        sender: Sender,
        threads: Executor,
        *,
        keys: ThreadTurns,
        look: Callable[[RelPath], Label],
        small: int,
        bandwidth: Bandwidth,
        settle: float,
        clock: Callable[[], float],
    ) -> None:
        """`sender` must have a PromptStore, and nothing else to wait for but its turn at a key, from `keys`.

        `small` is the largest size, in bytes.
        `look` says what a file is of which nobody has said so; it blocks.

        To be made inside the running loop.
        """
        self._tree = tree
        self._sender = sender
        self._threads = threads
        self._keys = keys
        self._look = look
        self._small = small
        self._bandwidth = bandwidth
        self._settle = settle
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended: deque[Delivery] = deque()
        self._bell = asyncio.Event()
        self._is_rung = False

    def __repr__(self) -> str:
        return f"<Couriers {len(self._ended)} deliveries>"

    def take(self, asset: Asset, able: Capabilities) -> bool:
        """Take an upload on, if it is one for a thread."""
        # One that was uploaded before, or begun to be, may have a copy to be replaced, or parts to be given up.
        is_new = asset.generation == 1 and asset.proof is None
        is_plain = is_new and able.create_only and able.etag_is_md5
        if not is_plain or asset.size > self._small or self._bandwidth.rate is not None:
            return False
        self._threads.submit(self._carry, asset, able, self._clock())
        return True

    def close(self) -> None:
        """Begin nothing more. What a thread is sending ends by itself, and nobody waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def deliveries(self) -> Sequence[Delivery]:
        """Return the uploads that have ended, as soon as there are any."""
        await self._bell.wait()
        await asyncio.sleep(GATHER_SECONDS)
        self._bell.clear()
        # Before they are taken: what ends from here on rings again.
        self._is_rung = False
        self._keys.settle()
        return [self._ended.popleft() for _ in range(len(self._ended))]

    def _carry(self, asset: Asset, able: Capabilities, started: float) -> None:
        try:
            outcome: Sent | Exception = drive(self._send(asset, able))
        except Exception as error:  # noqa: BLE001 - it is the uploader's to judge
            outcome = error
        self._ended.append(Delivery(asset, outcome, self._clock() - started))
        if not self._is_rung:
            self._is_rung = True
            with suppress(RuntimeError):  # The loop is closed: nobody waits for it any more.
                self._loop.call_soon_threadsafe(self._bell.set)

    async def _send(self, asset: Asset, able: Capabilities) -> Sent:
        if not asset.is_described and self._look(asset.path):
            raise MustWaitError(asset.path)  # The index must know it, too.
        with Source(self._tree, asset, settle=self._settle) as source:
            return await self._sender.send(source, able)
