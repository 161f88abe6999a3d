"""`python -m benchmarks.bare SOCKET BYTES`: aiohttp with a handler that does nothing, which nothing on it exceeds."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def main(path: str, size: int) -> None:
    """Answer every request with so many bytes, until killed."""
    body = b"x" * size

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.UnixSite(runner, path).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
