"""Who may do what, told by the kernel and by nothing that a client says."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import shutil
import socket
import stat
import sys
import tempfile
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from talking import serve

from daemon.checks_daemon import Outside
from daemon.checks_daemon import socket as socket_check
from daemon.client import Client
from daemon.doctor import Verdict
from daemon.peers import Access, Peer, Principals, Right, peer_of
from daemon.settings import Settings
from daemon.sockets import SocketError, bind_tcp, bind_unix, exposed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from talking import Served

ALICE, BOB, MEDIA, OPS = 2001, 2002, 3001, 3002
OWN = 1500

BECOME = """
import http.client, json, os, socket, sys
uid, gid, groups = json.loads(sys.argv.pop(1))
if os.geteuid() == 0:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
"""
"""Comes first, and imports what the rest needs: our Python may be where only root can look."""

ASK = """
path, method, target, body = sys.argv[1:]
connection = http.client.HTTPConnection("x")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(path)
connection.request(method, target, body or None)
answer = connection.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""

BEGIN = """
path, head = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
connection.sendall(head.encode())
print(connection.recv(65536).decode())
"""


def principals(*, uids: tuple[int, ...] = (), gids: tuple[int, ...] = ()) -> Principals:
    """Users and groups by number."""
    return Principals(frozenset(uids), frozenset(gids))


def a_peer(uid: int, *groups: int) -> Peer:
    """A process of this user."""
    return Peer(1, uid, frozenset(groups))


# Rules


@pytest.mark.parametrize("peer", [a_peer(0), a_peer(OWN)])
def test_root_and_the_daemons_user_may_everything(peer: Peer) -> None:
    """Whatever is configured: they could open the files themselves."""
    nobody = principals()
    assert Access(read=nobody, write=nobody, admin=nobody, own_uid=OWN).right_of(peer) is Right.ADMIN


def test_unset_rights_are_those_of_the_socket() -> None:
    """Whoever can open it reads and writes, and administers nothing."""
    assert Access(own_uid=OWN).right_of(a_peer(ALICE)) is Right.WRITE


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        (Access(read=principals(uids=(ALICE,)), own_uid=OWN), {ALICE: Right.WRITE, BOB: Right.NONE}),
        (Access(write=principals(uids=(ALICE,)), own_uid=OWN), {ALICE: Right.WRITE, BOB: Right.READ}),
        (Access(admin=principals(uids=(ALICE,)), own_uid=OWN), {ALICE: Right.ADMIN, BOB: Right.WRITE}),
        (
            Access(read=principals(uids=(ALICE,)), write=principals(uids=(BOB,)), own_uid=OWN),
            {ALICE: Right.READ, BOB: Right.WRITE},
        ),
        (
            Access(read=principals(), write=principals(), admin=principals(gids=(OPS,)), own_uid=OWN),
            {ALICE: Right.NONE, BOB: Right.ADMIN},
        ),
        (Access(read=principals(gids=(MEDIA,)), write=principals(), own_uid=OWN), {ALICE: Right.READ, BOB: Right.NONE}),
    ],
)
def test_each_right_includes_those_below(access: Access, expected: dict[int, Right]) -> None:
    """Who administers writes, who writes reads; unset writing is for those who read. Any group of a peer counts."""
    alice, bob = a_peer(ALICE, 100, MEDIA), a_peer(BOB, 100, OPS)
    assert {peer.uid: access.right_of(peer) for peer in (alice, bob)} == expected


def test_who_is_not_on_the_unix_socket_has_no_right() -> None:
    """TCP tells nothing about anybody."""
    assert Access(own_uid=OWN).right_of(None) is Right.NONE


def test_names_are_looked_up() -> None:
    """Users by name, groups by name after @, both by number; what is unknown is said."""
    group = grp.getgrgid(os.getegid()).gr_name
    user = pwd.getpwuid(os.geteuid()).pw_name
    found = Principals.named([user, f"@{group}", "2001", "@3001"])
    assert found == Principals(frozenset({os.geteuid(), 2001}), frozenset({os.getegid(), 3001}))
    for name in ("no-such-user", "@no-such-group", ""):
        with pytest.raises(LookupError, match=r"no (user|group)"):
            Principals.named([name])


def test_named_access_is_that_of_the_configuration() -> None:
    """Unset stays unset, an empty list is nobody."""
    access = Access.named(read=None, write=(), admin=("2001",))
    assert (access.read, access.write) == (None, principals())
    assert access.admin == principals(uids=(2001,))
    assert access.own_uid == os.geteuid()


def test_the_kernel_tells_who_connected() -> None:
    """Pid, user and every group of the other end, as they were when it connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert peer == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
    with socket.socket(socket.AF_INET) as tcp:
        assert peer_of(tcp) is None


# Real peers


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user can enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="tierd-peers-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


async def said_as(groups: tuple[int, ...], script: str, *words: str) -> bytes:
    """Run a script as ALICE of these groups, or as ourselves where we are not root; return what it printed."""
    command = [sys.executable, "-I", "-c", BECOME + script, json.dumps([ALICE, ALICE, groups]), *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    raw, _ = await process.communicate()
    assert process.returncode == 0
    return raw


async def ask_as(served: Served, groups: tuple[int, ...], method: str, target: str, body: str = "") -> int:
    """Ask from another process, of another user where we may become one; return the status."""
    raw = await said_as(groups, ASK, str(served.path), method, target, body)
    return int(raw.split(b",")[0].strip(b"[ "))


@asynccontextmanager
async def guarded(open_path: Path, access: Access) -> AsyncIterator[Served]:
    """A server that everybody can reach."""
    async with serve(open_path, access=access) as served:
        served.path.chmod(0o666)
        served.tiers.add_hot("a", b"x")
        yield served


REQUESTS = [
    ("GET", "/v1/health", "", Right.NONE),
    ("GET", "/metrics", "", Right.NONE),
    ("GET", "/v1/assets/a", "", Right.READ),
    ("GET", "/v1/open/a", "", Right.READ),
    ("GET", "/v1/content/a", "", Right.READ),
    ("PUT", "/v1/assets/a", "{}", Right.WRITE),
    ("POST", "/v1/demote", '{"filter": {}}', Right.WRITE),
    ("POST", "/v1/resume", '{"confirm": true}', Right.ADMIN),
    ("POST", "/v1/drain", "{}", Right.ADMIN),
    ("POST", "/v1/verify", "{}", Right.ADMIN),
]


def someone(uid: int) -> int:
    """Return this user where we can be it, else ourselves: the rules are the same."""
    return uid if os.geteuid() == 0 else os.geteuid()


async def test_a_peer_may_what_its_right_says(open_path: Path) -> None:
    """Every request by a reader of another user: 200 up to its right, 403 beyond, and nothing comes of those."""
    reader = someone(ALICE)
    access = Access(read=principals(uids=(reader,)), write=principals(), admin=principals(), own_uid=OWN)
    async with guarded(open_path, access) as served:
        for method, target, body, right in REQUESTS:
            served.tiers.calls.clear()
            status = await ask_as(served, (), method, target, body)
            assert status == (200 if right <= Right.READ else 403), target
            assert bool(served.tiers.calls) is (status == 200 and target != "/metrics") or target == "/metrics"


async def test_a_stranger_causes_nothing(open_path: Path) -> None:
    """403 for everything but health and metrics; nothing is asked of the tiers and nothing is counted."""
    access = Access(read=principals(uids=(BOB,)), own_uid=OWN)
    async with guarded(open_path, access) as served:
        for method, target, body, right in REQUESTS:
            if right > Right.NONE:
                assert await ask_as(served, (), method, target, body) == 403
        assert served.tiers.calls == []
        assert served.observer.seen == []


async def test_a_supplementary_group_counts(open_path: Path) -> None:
    """A right given to a group is had by who is in it by any of its groups."""
    group = MEDIA if os.geteuid() == 0 else os.getegid()
    access = Access(read=principals(gids=(group,)), own_uid=OWN)
    async with guarded(open_path, access) as served:
        assert await ask_as(served, (OPS, MEDIA), "GET", "/v1/assets/a") == 200
        if os.geteuid() == 0:
            assert await ask_as(served, (OPS,), "GET", "/v1/assets/a") == 403


async def test_a_refusal_comes_before_the_body(open_path: Path) -> None:
    """The 403 is there while the body is still to come: what it says can cause nothing."""
    async with serve(open_path, access=Access(read=principals(), own_uid=OWN)) as served:
        served.path.chmod(0o666)
        head = "POST /v1/promote HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        raw = await said_as((), BEGIN, str(served.path), head)
        assert raw.startswith(b"HTTP/1.1 403 ")
        assert served.tiers.calls == []


# The socket file


@pytest.mark.parametrize(("mode", "umask"), list(product([0o600, 0o660, 0o666], [0o000, 0o022, 0o077])))
def test_the_mode_is_the_configured_one(tmp_path: Path, mode: int, umask: int) -> None:
    """Whatever the umask is."""
    before = os.umask(umask)
    try:
        with bind_unix(tmp_path / "s", mode=mode, group=None):
            assert stat.S_IMODE((tmp_path / "s").lstat().st_mode) == mode
    finally:
        os.umask(before)


def test_nobody_else_connects_before_the_mode_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first moment the file is the owner's alone, and until the end nobody listens."""
    seen: list[int] = []
    chmod = Path.chmod

    def look(path: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(path.lstat().st_mode))
        with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
            early.connect(str(path))
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", look)
    before = os.umask(0)
    try:
        bind_unix(tmp_path / "s", mode=0o666, group=None).close()
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_the_group_is_the_configured_one(tmp_path: Path) -> None:
    """By name; one that does not exist is said."""
    name = grp.getgrgid(os.getegid()).gr_name
    with bind_unix(tmp_path / "s", mode=0o660, group=name):
        assert (tmp_path / "s").lstat().st_gid == os.getegid()
    with pytest.raises(SocketError, match="no group 'no-such-group'"):
        bind_unix(tmp_path / "t", mode=0o660, group="no-such-group")
    with bind_unix(tmp_path / "n", mode=0o660, group=str(os.getegid())):
        assert (tmp_path / "n").stat().st_gid == os.getegid(), "a number needs no entry, as the configuration says"


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """One that nobody answers on; one that somebody answers on, and what is no socket, stay."""
    path = tmp_path / "s"
    bind_unix(path, mode=0o600, group=None).close()
    with bind_unix(path, mode=0o600, group=None):
        inode = path.lstat().st_ino
        with pytest.raises(SocketError, match=r"listens on .* already"):
            bind_unix(path, mode=0o600, group=None)
        assert path.lstat().st_ino == inode
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    with pytest.raises(SocketError, match="no socket"):
        bind_unix(file, mode=0o600, group=None)
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize(("path", "said"), [("missing/s", "its directory must be there"), ("s" * 120, "too long")])
def test_a_socket_that_cannot_be_is_said(tmp_path: Path, path: str, said: str) -> None:
    """No directory, or a name too long: the message names the path, and what to do where that is known."""
    with pytest.raises(SocketError, match=rf"cannot listen on .*s.*{said}"):
        bind_unix(tmp_path / path, mode=0o600, group=None)


def test_a_port_that_is_taken_is_said() -> None:
    """The message names host, port and key."""
    with bind_tcp("127.0.0.1", 0, key="[metrics] listen") as sock:
        port = sock.getsockname()[1]
        with pytest.raises(SocketError, match=rf"127.0.0.1:{port} \(\[metrics\] listen\).*somebody else has the port"):
            bind_tcp("127.0.0.1", port, key="[metrics] listen")


def looked_at(directory: Path, socket: str) -> list[tuple[Verdict, str]]:
    """Return what the doctor has to say about a socket there."""
    settings = Settings.model_validate({"api": {"socket": socket}}, context=directory)
    at = Outside(file=None, settings=settings, problems=(), client=Client(settings.api.socket))
    return [(found.verdict, found.message) for found in socket_check(at)]


def test_a_socket_whose_place_others_can_take_is_told(tmp_path: Path) -> None:
    """Whose directory somebody else owns, or everybody may write in, as long as no sticky bit keeps names."""
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    with bind_unix(place / "s", mode=0o660, group=None):
        assert looked_at(tmp_path, "place/s") == [(Verdict.OK, f"{place}/s has mode 0660")]
        place.chmod(0o777)
        assert exposed(place / "s") == f"everybody may write in {place}"
        place.chmod(0o1777)
        assert exposed(place / "s") is None
        place.chmod(0o777)
        said = f"others can take the place of the socket: everybody may write in {place}"
        assert looked_at(tmp_path, "place/s") == [(Verdict.WARNING, said)]


def test_a_socket_in_somebody_elses_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He can remove it, and listen himself; root's directories are nobody's danger."""
    with bind_unix(tmp_path / "s", mode=0o660, group=None):
        real = Path.stat

        def foreign(path: Path, **how: bool) -> os.stat_result:
            found = real(path, **how)
            return os.stat_result((*found[:4], 4711, *found[5:])) if path == tmp_path else found

        monkeypatch.setattr(Path, "stat", foreign)
        assert exposed(tmp_path / "s") == f"{tmp_path} belongs to uid 4711"


def test_a_directory_that_nobody_makes_is_told(tmp_path: Path) -> None:
    """Before the daemon refuses to start: only the index's own is made."""
    assert looked_at(tmp_path, "var/s") == [(Verdict.OK, f"{tmp_path}/var will be made")]
    assert looked_at(tmp_path, "run/s") == [(Verdict.FAILED, f"there is no directory {tmp_path}/run for the socket")]
