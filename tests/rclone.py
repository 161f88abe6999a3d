"""`rclone serve s3`: a server that takes writes whatever their conditions and checksums say."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demo.child import free_ports, program, spawn
from demo.seaweed import CREDENTIALS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 20


@contextmanager
def rclone_server(directory: Path) -> Iterator[str]:
    """Serve the buckets in `directory`, its sub-directories, and yield the endpoint."""
    (port,) = free_ports(1)
    address, keys = f"127.0.0.1:{port}", ",".join(CREDENTIALS.values())
    words = ["serve", "s3", "--addr", address, "--auth-key", keys, "--config", "/dev/null", str(directory)]
    log = directory.parent / "rclone.log"
    process = spawn([program("rclone"), *words], environment={}, directory=directory, log=log)
    try:
        _wait(process, port)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("rclone serve s3 did not start")
