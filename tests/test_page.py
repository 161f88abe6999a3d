"""The page: shown to whom it is meant for, from this host, and nothing that is in it can act."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stub import Answer, Stub
from talking import request, serve

from daemon import bridge as module
from daemon import page
from daemon.bridge import Bridge
from daemon.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from talking import Served

TIERD = str(Path(sys.executable).with_name("tierd"))
GLANCE = {"health": {}, "status": {}, "transfers": [], "read": [], "missed": [], "trouble": []}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Stub]:
    """Somebody who knows how things stand."""
    with Stub(tmp_path / "s") as stub:
        stub.answers["GET /v1/glance"] = Answer(GLANCE)
        yield stub


@pytest.fixture
def bridge(daemon: Stub) -> Iterator[Bridge]:
    """The page, served from there."""
    with Bridge(Client(daemon.socket_path), 0) as bridge:
        thread = threading.Thread(target=bridge.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield bridge
        bridge.shutdown()
        thread.join()


def ask(bridge: Bridge, method: str, target: str, word: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask once, with this word as the bearer's."""
    connection = http.client.HTTPConnection(module.LOOPBACK, bridge.server_port, timeout=10)
    given = headers | ({"Authorization": f"Bearer {word}"} if word else {})
    connection.request(method, target, headers=given)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_policy_allows_the_pages_own_script_and_style_alone() -> None:
    """By their hashes; there is nothing inline that has none, and nothing that is loaded from elsewhere."""
    text = page.document().decode()
    policy = dict(part.strip().split(" ", 1) for part in page.headers()["Content-Security-Policy"].split(";"))
    for tag in ("script", "style"):
        (code,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert policy.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert (
        re.findall(r'<[^>]*\s(?:style|on\w+)=|(?:src|href)="(?!data:)|https?://|innerHTML|insertAdjacent', text) == []
    )
    assert len(page.document()) < 60_000


def test_the_token_is_good_once(bridge: Bridge) -> None:
    """It brings a key, and only that one shows how things stand, again and again."""
    token = bridge.url.partition("#token=")[2]
    assert ask(bridge, "POST", "/v1/session", "wrong")[0] == 403
    status, _, body = ask(bridge, "POST", "/v1/session", token)
    assert status == 200
    key = json.loads(body)["key"]
    assert key != token
    assert ask(bridge, "POST", "/v1/session", token)[0] == 403
    for word in ("", "wrong", token, f"{key}x", "\xe4"):
        assert ask(bridge, "GET", "/v1/glance", word)[0] == 403, word
    for _ in range(2):
        status, headers, body = ask(bridge, "GET", "/v1/glance", key)
        assert (status, json.loads(body)) == (200, GLANCE)
        assert headers["Cache-Control"] == "no-store"


def test_the_page_itself_tells_nothing(bridge: Bridge, daemon: Stub) -> None:
    """Anybody may have it: it is the same everywhere; and only what it needs is answered."""
    status, headers, body = ask(bridge, "GET", "/")
    assert (status, body) == (200, page.document())
    assert headers["Content-Security-Policy"] == page.headers()["Content-Security-Policy"]
    for method, target in [
        ("GET", "/v1/assets"),
        ("GET", "/v1/status"),
        ("GET", "/x"),
        ("POST", "/"),
        ("POST", "/v1/demote"),
    ]:
        assert ask(bridge, method, target)[0] in {403, 404}, target
    assert ask(bridge, "DELETE", "/v1/assets/a")[0] == 501
    assert daemon.asked() == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_foreign_name_is_refused(bridge: Bridge, host: str) -> None:
    """A page elsewhere that has bound its own name to this host sees nothing, with key or without."""
    token = bridge.url.partition("#token=")[2]
    assert ask(bridge, "GET", "/", Host=host)[0] == 403
    assert ask(bridge, "POST", "/v1/session", token, Host=host)[0] == 403
    assert ask(bridge, "POST", "/v1/session", token, Host="localhost:1")[0] == 200


def test_a_daemon_that_has_gone_is_said(bridge: Bridge, daemon: Stub) -> None:
    """The page stays, and shows why it shows nothing."""
    key = json.loads(ask(bridge, "POST", "/v1/session", bridge.door.token)[2])["key"]
    daemon.socket_path.unlink()
    status, _, body = ask(bridge, "GET", "/v1/glance", key)
    assert status == 502
    assert "no daemon answers" in json.loads(body)["error"]["message"]


def test_silent_connections_keep_nobody_out(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are ended after a while; more than so many at once are turned away."""
    monkeypatch.setattr(module.Answering, "timeout", 0.2)
    silent = []
    for _ in range(module.AT_ONCE):
        connection = http.client.HTTPConnection(module.LOOPBACK, bridge.server_port, timeout=10)
        connection.connect()
        silent.append(connection)
    for connection in silent:
        assert connection.sock.recv(1) == b""
        connection.close()
    assert ask(bridge, "GET", "/")[0] == 200


def test_the_command_prints_the_address_and_ends_when_told(daemon: Stub) -> None:
    """It listens on this host alone; an interrupt ends it as it ends every command."""
    command = [TIERD, "--socket", str(daemon.socket_path), "--json", "ui"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=[\w-]{43}", url)
            assert port is not None
            inodes = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.exists()}
            listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            assert [row[1] for row in listening if f"socket:[{row[9]}]" in inodes] == [f"0100007F:{int(port[1]):04X}"]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--port", "99999"], 2, "less than or equal to 65535"),
        (["--port", "x"], 2, "a valid integer"),
    ],
)
def test_a_port_that_is_none(daemon: Stub, words: list[str], code: int, said: str) -> None:
    """It is said in one line."""
    done = run(daemon.socket_path, *words)
    assert (done.returncode, said in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(daemon: Stub, bridge: Bridge) -> None:
    """It is said, with what to do."""
    done = run(daemon.socket_path, "--port", str(bridge.server_port))
    assert done.returncode == 5
    assert "Address already in use" in done.stderr
    assert "name another --port" in done.stderr


def run(socket: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [TIERD, "--socket", str(socket), "ui", *words], capture_output=True, text=True, timeout=60, check=False
    )


# --- served by the daemon


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with the page on a port of its own."""
    async with serve(tmp_path) as served:
        await served.server.open_page("127.0.0.1", 0)
        yield served


async def ask_port(served: Served, method: str, target: str, host: str) -> tuple[int, dict[str, str], Any]:
    """Ask once on the page's port, under this name."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.page_port)
    writer.write(request(method, target, {"Host": host, "Connection": "close"}))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


async def test_the_daemon_shows_the_page_and_nothing_else(served: Served) -> None:
    """Who comes by this port may look, and change nothing."""
    status, headers, body = await ask_port(served, "GET", "/", "127.0.0.1:9470")
    assert (status, body) == (200, page.document())
    assert page.headers().items() <= headers.items()
    status, headers, body = await ask_port(served, "GET", "/v1/glance", "localhost")
    assert (status, json.loads(body)["health"]["status"]) == (200, "ok")
    assert page.headers().items() <= headers.items()
    for method, target in [
        ("GET", "/v1/assets"),
        ("GET", "/metrics"),
        ("POST", "/v1/demote"),
        ("GET", "/v1/content/a"),
    ]:
        assert (await ask_port(served, method, target, "localhost"))[0] == 404, target
    assert (await ask_port(served, "POST", "/v1/glance", "localhost"))[0] == 405
    for target in ("/", "/v1/glance"):
        assert (await ask_port(served, "GET", target, "evil.example"))[0] == 403


async def test_the_page_is_not_on_the_socket(served: Served) -> None:
    """Nor is its right to look without one."""
    assert (await served.get("/")).status == 404
