"""Programs that serve or mount the same objects: nginx, `rclone serve http`, `rclone mount`, s3fs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.debian import debian, libraries, search_path
from benchmarks.ground import BUCKET
from demo.child import free_ports, program, spawn
from demo.seaweed import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

START_SECONDS: Final = 30

NGINX: Final = """
{user}daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; keepalive_requests 100000000; default_type application/octet-stream;
    client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
    uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
    server {{ listen unix:{place}/nginx.sock; root {root}; }}
}}
"""


@contextmanager
def nginx(place: Path, root: Path) -> Iterator[str]:
    """Serve a directory on a unix socket, with one worker; yield the socket."""
    configuration = place / "nginx.conf"
    # As root its worker would become another user, who may not look into this place.
    user = "user root; " if os.geteuid() == 0 else ""
    configuration.write_text(NGINX.format(place=place, root=root, user=user))
    command = [debian("nginx"), "-c", str(configuration), "-p", str(place), "-e", str(place / "nginx.log")]
    with _running(command, place):
        path = f"{place}/nginx.sock"
        _wait(lambda: _answers(path))
        yield path


@contextmanager
def bare_aiohttp(place: Path, size: int) -> Iterator[str]:
    """Answer everything with so many bytes, on a unix socket; yield the socket."""
    path = f"{place}/bare.sock"
    with _running([sys.executable, "-m", "benchmarks.bare", path, str(size)], place):
        _wait(lambda: _answers(path))
        yield path


@contextmanager
def rclone_http(place: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Serve a directory over TCP; yield where."""
    address = ("127.0.0.1", free_ports(1)[0])
    command = [
        program("rclone"),
        "--config",
        os.devnull,
        "serve",
        "http",
        str(root),
        "--addr",
        f"{address[0]}:{address[1]}",
    ]
    with _running(command, place):
        _wait(lambda: _answers(address))
        yield address


@contextmanager
def rclone_mount(place: Path, remote: str) -> Iterator[Path]:
    """Mount the bucket as people do who want a cache; yield where."""
    debian("fusermount3")
    at = place / "rclone-mount"
    at.mkdir()
    options = ["--vfs-cache-mode", "full", "--cache-dir", str(place / "rclone-cache")]
    command = [program("rclone"), "--config", os.devnull, "mount", f"{remote}:{BUCKET}", str(at), *options]
    with _running(command, place), _mounted(at):
        yield at


@contextmanager
def s3fs(place: Path, endpoint: str) -> Iterator[Path]:
    """Mount the bucket with a local cache; yield where."""
    at = place / "s3fs-mount"
    at.mkdir()
    options = f"url={endpoint},use_path_request_style,use_cache={place / 's3fs-cache'}"
    with _running([debian("s3fs"), BUCKET, str(at), "-f", "-o", options], place), _mounted(at):
        yield at


@contextmanager
def _running(command: Sequence[str], place: Path) -> Iterator[None]:
    names = {"AWSACCESSKEYID": "AWS_ACCESS_KEY_ID", "AWSSECRETACCESSKEY": "AWS_SECRET_ACCESS_KEY"}
    ours = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": search_path(),
        "LD_LIBRARY_PATH": libraries(),
        **CREDENTIALS,
    }
    environment = {**os.environ, **ours, **{name: CREDENTIALS[theirs] for name, theirs in names.items()}}
    log = place / f"{Path(command[0]).name}.log"
    process = spawn(command, environment=environment, directory=place, log=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@contextmanager
def _mounted(at: Path) -> Iterator[None]:
    _wait(at.is_mount)
    try:
        yield
    finally:
        subprocess.run([debian("fusermount3"), "-u", str(at)], check=True)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {START_SECONDS} s")
        time.sleep(0.05)


def _answers(address: str | tuple[str, int]) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0
