"""A socket that the service manager holds: taken over, kept through a restart, refused where it is no such thing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from daemon_process import Daemon, a_directory
from talking import request, serve

from daemon.server import Server
from demo.child import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from buckets import Bucket

CLIENTS = 2
ENOUGH = 30
CONTENT = b"content" * 1000
PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2]}
os.execv(sys.argv[3], sys.argv[3:])
"""
TAKE = "import os; from daemon.sockets import take_passed; print(take_passed(os.environ).getsockname())"


def passing(sock: socket.socket, *command: str, count: str = "1") -> list[str]:
    """Return the command that runs another one with this socket as systemd would pass it."""
    return [sys.executable, "-c", PASS_ON, str(sock.fileno()), count, *command]


class Activated(Daemon):
    """A daemon whose socket is somebody else's."""

    def __init__(self, directory: Path, bucket: Bucket, sock: socket.socket) -> None:
        super().__init__(directory, bucket, {})
        self._sock = sock

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = passing(self._sock, program("tierd"), "serve")
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._sock.fileno(),),
            )


@pytest.fixture
def activated(bucket: Bucket) -> Iterator[Activated]:
    """One that has not been started."""
    with a_directory(dir="/var/tmp") as directory, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(directory / "tierd.sock"))
        sock.listen(1024)
        daemon = Activated(directory, bucket, sock)
        daemon.log.touch()
        try:
            yield daemon
        finally:
            sys.stdout.write(daemon.said[-20_000:])
            daemon.crash()


def ask(path: str) -> bytes:
    """Ask once for an asset, on a connection of its own; return all that is answered."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        client.sendall(b"GET /v1/content/a.bin HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


async def test_who_had_connected_is_heard_out(tmp_path: Path) -> None:
    """Though the end begins before the first word; who then stays silent holds it up no longer than he may."""
    async with serve(tmp_path) as served:
        slow, silent = await served.connect(), await served.connect()
        ending = asyncio.ensure_future(served.server.stop())
        await asyncio.sleep(0.1)
        await slow.send(request("GET", "/v1/health"))
        assert (await slow.answer("GET")).status == HTTPStatus.OK
        async with asyncio.timeout(10):
            await ending
        assert await silent.reader.read() == b""


@pytest.mark.parametrize("steps", range(8))
async def test_who_comes_at_any_step_of_a_stop_is_answered(tmp_path: Path, steps: int) -> None:
    """By this daemon or by the next one: nobody is accepted and then dropped."""
    async with serve(tmp_path) as served:
        with socket.socket(socket.AF_UNIX) as passed, socket.socket(socket.AF_UNIX) as client:
            passed.bind(str(tmp_path / "passed"))
            passed.listen()
            passed.settimeout(0)
            client.connect(str(tmp_path / "passed"))
            client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n")
            server = await Server(served.service, grace_seconds=2).take_over(passed.dup())
            for _ in range(steps):
                await asyncio.sleep(0)
            await server.stop()
            server = await Server(served.service, grace_seconds=2).take_over(passed.dup())
            client.settimeout(0)
            answer = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(client, 12))
            await asyncio.wait([answer], timeout=10)
            await server.stop()
            assert answer.result() == b"HTTP/1.1 200"


def test_no_request_is_lost_in_a_restart(activated: Activated) -> None:
    """Clients ask one after the other without a pause while the daemon is stopped and started: all are answered."""
    activated.drop({"a.bin": CONTENT})
    activated.start()
    over = threading.Event()
    answers: list[bytes] = []
    lost: list[Exception] = []

    def go_on_asking() -> None:
        while not over.is_set() and not lost:
            try:
                answers.append(ask(str(activated.directory / "tierd.sock")))
            except OSError as error:
                lost.append(error)

    clients = [threading.Thread(target=go_on_asking) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    activated.wait("clients", lambda: len(answers) > ENOUGH)
    activated.stop()
    before = len(answers)
    activated.start()
    activated.wait("clients", lambda: len(answers) > before + ENOUGH)
    over.set()
    for client in clients:
        client.join()
    assert not lost
    assert all(answer.startswith(b"HTTP/1.1 200") and answer.endswith(CONTENT) for answer in answers)
    assert (activated.directory / "tierd.sock").is_socket()


def test_who_connects_first_is_answered_by_the_start(activated: Activated) -> None:
    """The socket is there before the daemon, and for each of its lives: the index is broken, so there are two."""
    activated.drop({"a.bin": CONTENT})
    (activated.directory / "index.db").write_bytes(b"SQLite format 3\0" + b"broken" * 1000)
    activated.set(API__SOCKET="/run/elsewhere.sock")
    with socket.socket(socket.AF_UNIX) as early:
        early.settimeout(60)
        early.connect(str(activated.directory / "tierd.sock"))
        early.sendall(b"GET /v1/content/a.bin HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n")
        activated.start()
        assert early.recv(12) == b"HTTP/1.1 200"
    assert "the index is broken, and is rebuilt now" in activated.said
    assert "[api] socket is /run/elsewhere.sock: make them the same" in activated.said


def taken(sock: socket.socket, *, count: str = "1") -> str:
    """Return what a process says that is passed this."""
    done = subprocess.run(
        passing(sock, sys.executable, "-c", TAKE, count=count),
        capture_output=True,
        text=True,
        pass_fds=(sock.fileno(),),
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def test_what_is_passed_is_looked_at(tmp_path: Path) -> None:
    """One unix socket that listens; anything else is refused with what to write instead."""
    with (
        socket.socket(socket.AF_UNIX) as right,
        socket.socket(socket.AF_UNIX) as deaf,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        name = f"/tmp/tierd-{os.getpid()}-{id(tmp_path)}"
        right.bind(name)
        right.listen()
        try:
            assert taken(right) == name
            assert "passed 2 sockets: give its socket unit one ListenStream=" in taken(right, count="2")
            assert "no listening unix socket" in taken(deaf)
            assert "no listening unix socket" in taken(tcp)
        finally:
            os.unlink(name)  # noqa: PTH108 - it is a name, not a path
