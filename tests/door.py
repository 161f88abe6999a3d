"""The door of the real daemon, and those who knock: any user, any bytes, and a witness of what the kernel was asked."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from daemon_process import a_directory

from demo.child import free_ports, program
from demo.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

HANG_SECONDS = 30
"""After which an answer has not come. What a client on an idle machine would call a hang is for those who measure."""

_CONNECT = """
import ctypes, json, os, socket, sys
path, hand, uid, gid, groups, stranger, count = json.loads(sys.argv[1])
kernel = ctypes.CDLL(None)
os.setgroups(groups)
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
if stranger:
    assert kernel.unshare(0x10000000) == 0, "no user namespace to be had"
    assert os.getuid() == 65534, os.getuid()
hand = socket.socket(fileno=hand)
for _ in range(count):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        socket.send_fds(hand, [b"x"], [line.fileno()])
"""
"""Run as root, since our Python may be where only root can look; he becomes somebody else before he knocks."""


@dataclass(frozen=True)
class Who:
    """A user with groups; `stranger`: from a user namespace of his own, in which he is 65534."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    stranger: bool = False


@dataclass(frozen=True)
class Reply:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


class Door(Service):
    """A daemon on a `file:` store or what the settings say; anybody may reach its directory, and knock."""

    def __init__(self, directory: Path, settings: Mapping[str, str], credentials: Mapping[str, str]) -> None:
        self.cold = directory / "cold"
        self.cold.mkdir()
        directory.chmod(0o755)
        self.metrics_port = free_ports(1)[0]
        ours = {
            "STORE__URL": f"file:{self.cold}",
            "METRICS__LISTEN": f"127.0.0.1:{self.metrics_port}",
            "API__MODE": "0666",
            "TIERING__COOL_DOWN": "0s",
            "TIERING__MIN_RESIDENCE": "0s",
            "LOG__FORMAT": "text",
            "LOG__LEVEL": "debug",
        }
        super().__init__(directory, directory / "tierd.log", settings=ours | dict(settings), credentials=credentials)
        self.socket_path = directory / "tierd.sock"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def drop(self, **files: bytes) -> None:
        """Write files into the root, each whole before it has its name."""
        for name, content in files.items():
            fresh = self.root / ".fresh"
            fresh.write_bytes(content)
            fresh.rename(self.root / name)

    def wait_replicated(self, count: int) -> None:
        """Wait until so many assets are in both tiers."""
        deadline = time.monotonic() + 60
        while self.status()["assets"]["replicated"] < count:
            assert time.monotonic() < deadline, self.status()
            time.sleep(0.02)

    def connect(self, *, seconds: float = HANG_SECONDS) -> socket.socket:
        """Connect as ourselves."""
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(seconds)
        line.connect(str(self.socket_path))
        return line

    def connect_as(self, who: Who) -> socket.socket:
        """Connect as somebody else: he connects, and hands the connection to us."""
        return self.crowd_as(who, 1)[0]

    def crowd_as(self, who: Who, count: int) -> list[socket.socket]:
        """Connect as somebody else, so many times."""
        ours, theirs = socket.socketpair()
        told = [str(self.socket_path), theirs.fileno(), who.uid, who.gid, who.groups, who.stranger, count]
        command = [sys.executable, "-I", "-S", "-c", _CONNECT, json.dumps(told)]
        with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            theirs.close()
            lines = [_received(ours) for _ in range(count)]
        assert child.returncode == 0
        return lines

    def ask(
        self, method: str, target: str | bytes, *, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Reply:
        """Ask once, on a connection of its own."""
        with self.connect() as line:
            return ask(line, method, target, headers=headers, body=body)

    def series(self) -> dict[str, float]:
        """Return every metric, by series."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {series: float(value) for series, _, value in pairs}

    def command(self, *words: str) -> str:
        """Run the command line against it, and return all that it said."""
        command = [program("tierd"), *words]
        options: dict[str, Any] = {
            "env": self._environment,
            "cwd": self.directory,
            "capture_output": True,
            "text": True,
        }
        done = subprocess.run(command, timeout=60, check=False, **options)
        return done.stdout + done.stderr

    @property
    def said(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8")


def _received(hand: socket.socket) -> socket.socket:
    _, fds, _, _ = socket.recv_fds(hand, 1, 1)
    assert fds, "he could not connect"
    line = socket.socket(fileno=fds[0])
    line.settimeout(HANG_SECONDS)
    return line


def ask(
    line: socket.socket, method: str, target: str | bytes, *, headers: Mapping[str, str] | None = None, body: Any = None
) -> Reply:
    """Ask on a connection, with exactly this target."""
    line.sendall(request(method, target, headers=headers, body=body))
    return read_reply(line, method)


def request(method: str, target: str | bytes, *, headers: Mapping[str, str] | None = None, body: Any = None) -> bytes:
    """Return a request as it stands on the wire; a body that is not bytes is sent as JSON."""
    raw = target if isinstance(target, bytes) else target.encode()
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "tierd", **({"Content-Length": str(len(content))} if content else {}), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), raw, head.encode("latin-1"), content)


def read_reply(line: socket.socket, method: str = "GET") -> Reply:
    """Read one answer to its end, and not a byte of the next."""
    response = http.client.HTTPResponse(line, method=method)
    response.fp = line.makefile("rb", buffering=0)  # Whatever is read ahead would be lost.
    with contextlib.closing(response):
        response.begin()
        return Reply(response.status, dict(response.headers), response.read())


@contextmanager
def a_door(*, credentials: Mapping[str, str] | None = None, **settings: str) -> Iterator[Door]:
    """Run a daemon with these settings, by section and key. What it logged last is shown where the test fails."""
    with ExitStack() as stack:
        directory = stack.enter_context(a_directory(dir="/var/tmp"))
        door = Door(directory, settings, credentials or {})
        door.log.touch()
        stack.callback(lambda: sys.stdout.write(door.said[-4_000:]))
        yield stack.enter_context(door)


ACTS = (
    "openat,openat2,connect,pwrite64,pwritev,ftruncate,fallocate,unlinkat,unlink,renameat2,renameat,rename,linkat,mkdirat,mkdir,"
    "symlinkat,utimensat,fchmod,fchmodat"
)
"""What changes something, or opens the way to it. To look at a path is no act."""


class Witness:
    """strace on a daemon. What it asks the kernel between two marks can be read; a mark is a directory nobody has."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._log = door.directory / "strace.log"
        self._marks = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        calls = f"trace={ACTS}"
        command = ["strace", "-f", "-qq", "-s", "4096", "-e", calls, "-e", "signal=none", "-o", str(self._log)]
        self._process = subprocess.Popen([*command, "-p", str(self._door.pid)])
        deadline = time.monotonic() + HANG_SECONDS
        while not self._is_seen("the-first-mark"):
            assert time.monotonic() < deadline, "strace did not attach"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(HANG_SECONDS)

    def _is_seen(self, name: str) -> bool:
        self._door.ask("GET", f"/v1/content/{name}/none")
        return self._log.exists() and name in self._log.read_text(encoding="utf-8", errors="replace")

    def mark(self) -> str:
        """Make a mark, and return it once it is in the log, with all that was before it."""
        self._marks += 1
        name = f"mark-{self._marks}-{time.monotonic_ns()}"
        deadline = time.monotonic() + HANG_SECONDS
        while not self._is_seen(name):
            assert time.monotonic() < deadline, "strace fell silent"
        return name

    def calls(self, begin: str, end: str) -> list[str]:
        """Return the calls after the last of mark `begin` and before the first of mark `end`."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        first = max(number for number, line in enumerate(lines) if begin in line)
        last = min(number for number, line in enumerate(lines) if end in line)
        between = lines[first + 1 : last]
        # The thread that looks for the mark opened the root for that.
        thread = lines[last].partition(" ")[0]
        own = max(number for number, line in enumerate(between) if re.match(rf"{thread} +openat\(AT_FDCWD, ", line))
        return between[:own] + between[own + 1 :]


OPENED = re.compile(r'^\d+ +open(?:at2?)?\((?:(AT_FDCWD|\d+), )?"((?:[^"\\]|\\.)*)", (.*?)(?:\) += |$| <unfinished)')


def opens(calls: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return what was opened: beneath which directory, the name, and how."""
    found = (OPENED.match(call) for call in calls)
    return [(each[1] or "AT_FDCWD", each[2], each[3]) for each in found if each]
