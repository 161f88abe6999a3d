"""A `requests` session that speaks to a unix socket, for tools that know nothing else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

if TYPE_CHECKING:
    from pathlib import Path

BASE = "http://tierd"


class DoorSession(requests.Session):
    """Whatever is asked below `BASE` goes to the socket; nothing comes from, or goes to, the environment."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        super().__init__()
        self.trust_env = False
        self.mount(BASE, _Adapter(path, seconds))


class _Adapter(HTTPAdapter):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._pool = _Pool(path, seconds)
        self._seconds = seconds

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """Return the only pool there is."""
        return self._pool

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Send; an answer that does not come in time is an error."""
        return super().send(request, **{**options, "timeout": self._seconds})

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
        super().close()


class _Pool(HTTPConnectionPool):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("tierd", timeout=seconds)
        self._path = path

    def _new_conn(self) -> HTTPConnection:
        return _Connection(self._path)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("tierd")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        if isinstance(self.timeout, int | float):
            self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
