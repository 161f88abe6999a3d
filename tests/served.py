"""A server of the standard library that serves in a thread, from `with` to its end."""

from __future__ import annotations

import threading
from socketserver import BaseServer, ThreadingMixIn
from typing import Self


class Served(ThreadingMixIn, BaseServer):
    """To be mixed into a server: requests are answered while the block runs."""

    daemon_threads = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
