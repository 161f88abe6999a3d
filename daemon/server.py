"""The HTTP server: the unix socket for everything, TCP ports for metrics and the page, and their orderly end."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from daemon.api import PUBLIC, Api
from daemon.api_page import PAGE
from daemon.connection import Listener
from daemon.sockets import BACKLOG, bind_tcp, bind_unix

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from daemon.route import Service

_PHASES: Final = 2
"""aiohttp waits twice for its handlers: once for them to end, once for them to end cancelled."""


class Server:
    """Serves until `stop`. Opening raises SocketError."""

    def __init__(self, service: Service, *, grace_seconds: float) -> None:
        self._service = service
        self._grace_seconds = grace_seconds
        self._listeners: list[tuple[socket.socket, Listener, web.ServerRunner, web.SockSite]] = []
        self._socket: tuple[Path, int] | None = None
        self.port: int | None = None
        self.page_port: int | None = None

    def __repr__(self) -> str:
        return f"<Server on {self._socket[0] if self._socket else 'no socket'}, port {self.port}>"

    async def open_unix(self, path: Path, *, mode: int, group: str | None) -> Self:
        """Serve everything on a unix socket at `path`."""
        sock = bind_unix(path, mode=mode, group=group)
        self._socket = (path, os.lstat(path).st_ino)
        return await self.take_over(sock)

    async def take_over(self, sock: socket.socket) -> Self:
        """Serve everything on a socket that listens already, and is nobody's to remove. It is closed at the end."""
        await self._serve(sock, Api(self._service))
        return self

    async def open_tcp(self, host: str, port: int) -> Self:
        """Serve metrics and health on a TCP port; 0 takes a free one, which `port` then tells."""
        sock = bind_tcp(host, port, key="[metrics] listen")
        self.port = sock.getsockname()[1]
        await self._serve(sock, Api(self._service, PUBLIC))
        return self

    async def open_page(self, host: str, port: int) -> Self:
        """Serve the page on a TCP port of the loopback address; 0 takes a free one, which `page_port` then tells."""
        sock = bind_tcp(host, port, key="[ui] listen")
        self.page_port = sock.getsockname()[1]
        await self._serve(sock, Api(self._service, PAGE))
        return self

    async def _serve(self, sock: socket.socket, api: Api) -> None:
        listener = Listener(api, self._service.limits)
        runner = web.ServerRunner(listener, shutdown_timeout=self._grace_seconds / _PHASES)
        await runner.setup()
        site = web.SockSite(runner, sock, backlog=BACKLOG)
        self._listeners.append((sock, listener, runner, site))
        await site.start()

    async def stop(self) -> None:
        """Take nobody new, let answers end within the grace time, cut what is left and remove the socket file.

        Who had connected by then is answered: nobody else would.
        """
        self._remove_socket()
        self._service.followers.close()
        listeners, self._listeners = self._listeners, []
        async with asyncio.TaskGroup() as group:
            for listening in listeners:
                group.create_task(_close(*listening))

    def _remove_socket(self) -> None:
        if self._socket is None:
            return
        path, inode = self._socket
        with suppress(FileNotFoundError):
            if path.lstat().st_ino == inode:  # Not that of a daemon that has taken over.
                path.unlink()
        self._socket = None


async def _close(sock: socket.socket, listener: Listener, runner: web.ServerRunner, site: web.SockSite) -> None:
    """Accept nobody more, let those speak who had come before, and end."""
    asyncio.get_running_loop().remove_reader(sock)
    # Who is accepted and not yet connected when asyncio's server closes is dropped: python/cpython#109564.
    await listener.welcome()
    await site.stop()
    await listener.hear_out()
    listener.close()
    await runner.cleanup()
