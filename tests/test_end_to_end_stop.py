"""How the daemon ends and what signals do to it: whatever it is busy with, and whatever hangs."""

from __future__ import annotations

import random
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from buckets import Bucket
from daemon_process import MIB, Launch, a_directory, audit_objects

from demo.seaweed import Seaweed
from tiering.multipart import PARTS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SECONDS = 20


@contextmanager
def a_black_hole() -> Iterator[str]:
    """Listen and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def own_server() -> Iterator[Seaweed]:
    """A SeaweedFS that a test may stop."""
    with a_directory(dir="/tmp") as directory:
        server = Seaweed(directory)
        try:
            server.start()
            yield server
        finally:
            server.resume()
            server.kill()


def test_stopped_while_idle(bucket: Bucket, launch: Launch) -> None:
    """SIGTERM ends it, exit code 0, socket and index in order; the next start finds everything as it was."""
    daemon = launch(bucket)
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")
    assert daemon.stop() < STOP_SECONDS
    assert "stopped" in daemon.said.splitlines()[-1]
    daemon.start()
    assert daemon.state("a.bin") == "replicated"
    assert daemon.figure("upload_bytes_total") == 0


def test_stopped_with_an_idle_client(bucket: Bucket, launch: Launch) -> None:
    """Who follows events, or holds a connection open and says nothing, keeps nobody from stopping."""
    daemon = launch(bucket)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(daemon.directory / "tierd.sock"))
        silent.sendall(b"GET /v1/events HTTP/1.1\r\nHost: tierd\r\n\r\n")
        assert silent.recv(12) == b"HTTP/1.1 200"
        assert daemon.stop() < STOP_SECONDS


def test_stopped_during_a_large_upload(bucket: Bucket, launch: Launch) -> None:
    """An upload that takes too long is cut in time, and the next run sends the missing parts only."""
    daemon = launch(bucket, UPLOAD__BANDWIDTH="2 MiB")
    content = random.Random(3).randbytes(60 * MIB)
    daemon.drop({"video.mov": content})
    daemon.wait("the first parts", lambda: len(bucket.parts().get("video.mov", ())) >= 2)
    assert daemon.stop() < STOP_SECONDS
    kept = len(bucket.parts()["video.mov"])
    daemon.set(UPLOAD__BANDWIDTH="1 GiB")
    daemon.start()
    daemon.wait_state("video.mov", "replicated")
    # What was cut is sent again, though the store may have it: as many parts as are under way at once.
    assert 12 - kept <= daemon.figure("upload_bytes_total") / (5 * MIB) <= 12 - kept + PARTS_AT_ONCE < 12
    audit_objects(bucket, daemon.assets(), {"video.mov": content})


def test_stopped_with_a_store_that_never_answered(launch: Launch, bucket: Bucket) -> None:
    """A black hole instead of a store hangs neither the start, nor hot reads, nor the stop."""
    with a_black_hole() as endpoint:
        daemon = launch(bucket, STORE__ENDPOINT=endpoint)
        daemon.drop({"a.bin": b"content"})
        daemon.wait("the file", lambda: "a.bin" in daemon.assets())
        assert daemon.read("a.bin") == b"content"
        assert daemon.stop() < STOP_SECONDS


def test_stopped_with_a_store_that_hangs_in_mid_work(launch: Launch, own_server: Seaweed) -> None:
    """Uploads and promotions that hang are cut: exit code 0 in time, and the next run finishes them."""
    bucket = Bucket(own_server.endpoint)
    bucket.make()
    daemon = launch(bucket)
    files = {f"{number}.bin": random.Random(number).randbytes(9 * MIB) for number in range(3)}
    daemon.drop({"0.bin": files["0.bin"]})
    daemon.wait_replicated(1)
    daemon.client.demote("0.bin")
    own_server.suspend()
    daemon.client.promote("0.bin", wait=False)
    daemon.drop({"1.bin": files["1.bin"], "2.bin": files["2.bin"]})
    daemon.wait("uploads", lambda: daemon.status()["assets"]["uploading"] == 2)
    assert daemon.status()["assets"]["promoting"] == 1
    assert daemon.stop() < STOP_SECONDS
    own_server.resume()
    daemon.start()
    assert daemon.read("0.bin") == files["0.bin"]
    daemon.wait_replicated(3)
    audit_objects(bucket, daemon.assets(), files)
    bucket.close()


def test_reloaded(bucket: Bucket, launch: Launch) -> None:
    """SIGHUP takes over what can be taken over; a broken file is refused, and everything goes on as it was."""
    daemon = launch(bucket, start=False, TIERING__COOL_DOWN=None)
    config = daemon.directory / "config.toml"
    config.write_text('[tiering]\ncool_down = "1h"\n[log]\nlevel = "info"\n')
    daemon.start()
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")
    assert "stays for 3600 s" in daemon.client.explain("a.bin")["reasons"][0]

    config.write_text('[store]\nmode = "hybrid"\npercent = 100\n[tiering]\ncool_down = "0s"\n[log]\nlevel = "debug"\n')
    daemon.signal(signal.SIGHUP)
    daemon.wait("the reload", lambda: daemon.client.explain("a.bin")["next"] == "may be demoted")
    assert "configuration reloaded: log.level, store.mode, store.percent, tiering.cool_down" in daemon.said
    (roll_out,) = [each for each in daemon.client.doctor()["findings"] if each["check"] == "roll-out"]
    assert "[store] mode is hybrid: 100 % of all paths" in str(roll_out)
    daemon.wait("debug", lambda: " debug " in daemon.said)

    config.write_text('[tiering]\ncool_down = "soon"\n')
    daemon.signal(signal.SIGHUP)
    daemon.wait("the refusal", lambda: "configuration not reloaded, the old one holds" in daemon.said)
    assert "tiering.cool_down" in daemon.said.rpartition("the old one holds")[2]
    assert daemon.client.explain("a.bin")["next"] == "may be demoted"
    assert daemon.client.demote("a.bin")[0]["outcome"] == "done"
    assert daemon.read("a.bin") == b"content"


@pytest.fixture
def _sigio_by_default() -> Iterator[None]:
    """Ignore no SIGIO: what a process ignores, its children do as well, and other tests here ignore it."""
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("_sigio_by_default")
def test_signals_that_do_nothing(bucket: Bucket, launch: Launch) -> None:
    """SIGIO, which the kernel sends to whoever has a file lease, and SIGPIPE kill nobody."""
    daemon = launch(bucket)
    for number in (signal.SIGIO, signal.SIGPIPE):
        daemon.signal(number)
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")
    daemon.check_runs()
