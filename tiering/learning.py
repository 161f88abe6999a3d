"""The order in which a start gets to know the store: what it has, and only then what it can do.

Nothing is uploaded before both are known. So an index that begins anew sees a file, then hears of its object, and only
then uploads: else what is at rest in both tiers would be taken for written anew, or for somebody else's. And a
file that is missing, and was not replicated as far as the index knew, may be cold by now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tiering.discovery import Discovery
    from tiering.prober import Prober


async def learn_store(
    discovery: Discovery, prober: Prober, *, scanned: asyncio.Event, scan: Callable[[], None]
) -> None:
    """Learn what the store has, if this index does not know, and what it can do.

    `scanned`: all files were seen; `scan` has them looked at again.
    """
    if await discovery.is_due():
        await scanned.wait()
        await discovery.run()
        scan()
    else:
        await discovery.run()
    await prober.run()
