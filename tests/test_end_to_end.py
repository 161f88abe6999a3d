"""The product as it is installed: a real daemon, a real S3 server, real files, and clients that know nothing of it."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects, outcome, sha256

from daemon.client import TierdError
from tiering.metadata import decode_path

if TYPE_CHECKING:
    from pathlib import Path

    from buckets import Bucket

    from demo.seaweed import Seaweed

pytest_plugins = ["promtool"]

NAMES = {
    "empty.wav": 0,
    "one.wav": 1,
    "at the limit.bin": 8 * MIB,
    "just above it.bin": 8 * MIB + 1,
    "video.mov": 70 * MIB,
    "deep/er/and/deeper/still.jpg": 1000,
    "new\nline.jpg": 1000,
    "100%.jpg": 1000,
    "%41%2F.jpg": 1000,
    "a+b c&d=e?f#g.jpg": 1000,
    "back\\slash \x7f\x01'\".jpg": 1000,
    " blank ": 1000,
    "dots...": 1000,
    "-rf": 1000,
    "~0123456789abcdef": 1000,
    "n" * 255: 1000,
    "\u65e5" * 85: 1000,
    "\u65e5\u672c/\u00e9\u0301 \U0001f3ac\u2028.mov": 1000,
    os.fsdecode(b"latin-\xe9\xff.jpg"): 1000,
    os.fsdecode(b"\xff\xfe/" + b"\xfd" * 255): 1000,
}


def of_all_kinds() -> dict[str, bytes]:
    """Return files that have broken other programs, by path; each content is its own."""
    chance = random.Random(1)
    return {path: chance.randbytes(size) for path, size in NAMES.items()}


def test_every_kind_of_file_is_replicated(bucket: Bucket, launch: Launch) -> None:
    """Whatever a file is called, however large it is: its exact bytes, and all that rebuilds it, are in the store."""
    daemon = launch(bucket)
    files = of_all_kinds()
    daemon.drop(files)
    with (daemon.root / "sparse.img").open("wb") as sparse:
        sparse.truncate(12 * MIB)
        sparse.seek(9 * MIB)
        sparse.write(b"an island")
    files["sparse.img"] = (daemon.root / "sparse.img").read_bytes()
    assert list(daemon.client.drain())[-1]["report"]["done"]
    daemon.wait_replicated(len(files))
    assets = daemon.assets()
    audit_objects(bucket, assets, files)
    for path, asset in assets.items():
        said = bucket.head(asset["key"].removeprefix(f"{bucket.prefix}/"))["Metadata"]
        seen = (daemon.root / path).stat()
        assert (said["tierd-id"], said["tierd-generation"]) == (asset["id"], str(asset["generation"]))
        assert said["tierd-sha256"] == sha256(files[path]) == asset["digest"].removeprefix("sha256:")
        assert (said["tierd-mtime-ns"], said["tierd-mode"]) == (str(seen.st_mtime_ns), f"{seen.st_mode & 0o7777:o}")
        assert decode_path(said["tierd-path"]) == path
        assert asset["size"] == len(files[path])
    assert bucket.parts() == {}
    report = list(daemon.client.verify(deep=True))[-1]["report"]
    assert (report["ok"], report["differences"], report["checked"]) == (True, [], len(files))


def test_demoted_by_hand_and_back(bucket: Bucket, launch: Launch) -> None:
    """What is demoted is gone from the disk; open, content and the command line bring back bytes, mtime and mode."""
    daemon = launch(bucket)
    files = {f"{way}.bin": random.Random(way).randbytes(9 * MIB) for way in ("open", "content", "range", "command")}
    daemon.drop(files, mode=0o640, mtime_ns=1_234_567_890_123_456_789)
    daemon.wait_replicated(len(files))
    # After the upload: a new mode is no new content, and yet is what must come back.
    (daemon.root / "open.bin").chmod(0o600)
    assert {each["outcome"] for each in daemon.client.demote(list(files))} == {"done"}
    assert not [path for path in files if (daemon.root / path).exists()]
    assert daemon.status()["assets"]["cold"] == len(files)

    with daemon.client.open("open.bin") as opened:
        assert opened.path.read_bytes() == files["open.bin"]
        assert not opened.hit
    assert daemon.read("content.bin") == files["content.bin"]
    with daemon.client.content("range.bin", start=5 * MIB, length=100) as content:
        assert content.read() == files["range.bin"][5 * MIB : 5 * MIB + 100]
    assert daemon.command("promote", "command.bin").returncode == 0
    daemon.wait_replicated(len(files))
    for path, content in files.items():
        seen = (daemon.root / path).stat()
        assert (daemon.root / path).read_bytes() == content
        assert seen.st_mtime_ns == 1_234_567_890_123_456_789
        assert stat.S_IMODE(seen.st_mode) == (0o600 if path == "open.bin" else 0o640)
    daemon.wait_replicated(len(files))
    assert daemon.figure("uploads_total", result="sent") == len(files), "what was brought back is not sent again"


def test_demoted_by_the_watermarks(bucket: Bucket, launch: Launch) -> None:
    """Above the high mark the coldest leave until the low one is reached; pinned and leased ones never do."""
    daemon = launch(bucket, CACHE__SIZE_LIMIT="20 MiB", CACHE__HIGH_WATERMARK="0.8", CACHE__LOW_WATERMARK="0.5")
    files = {f"{number:02}.bin": random.Random(number).randbytes(MIB) for number in range(15)}
    daemon.drop(files)
    daemon.wait_replicated(15)
    daemon.client.pin("00.bin")
    with daemon.client.open("01.bin"):
        more = {f"{number:02}.bin": random.Random(number).randbytes(MIB) for number in range(15, 19)}
        daemon.drop(more)
        daemon.wait("the low mark", lambda: daemon.status()["assets"]["cold"] == 9)
        assert daemon.wait_rest()["replicated"] == 10
        assert daemon.status()["disk"]["used"] == 10 * MIB
        assert (daemon.root / "00.bin").exists()
        assert (daemon.root / "01.bin").exists()
    assert daemon.figure("demotions_total", reason="watermark") == 9
    files |= more
    assert all(daemon.read(path) == content for path, content in files.items())
    audit_objects(bucket, daemon.assets(), files)


def test_sixteen_clients_and_one_request_an_asset(bucket: Bucket, launch: Launch) -> None:
    """However many ask for a cold asset at once, the store is asked once, and each gets the right bytes."""
    daemon = launch(bucket)
    files = {f"{number:03}.bin": random.Random(number).randbytes(100_000 + number) for number in range(100)}
    daemon.drop(files)
    daemon.wait_replicated(100)
    assert {each["outcome"] for each in daemon.client.demote(filter={})} == {"done"}
    before = daemon.figure("store_requests_total", operation="get")
    at_once = threading.Barrier(16)

    def ask(number: int) -> list[str]:
        at_once.wait()
        order = random.Random(number // 4).sample(list(files), len(files))
        return [path for path in order if get(daemon, path, by_content=number % 2 == 0) != files[path]]

    with ThreadPoolExecutor(16) as pool:
        wrong = [path for paths in pool.map(ask, range(16)) for path in paths]
    assert not wrong
    assert daemon.figure("store_requests_total", operation="get") - before == 100
    assert daemon.figure("promotions_total", result="restored") == 100


def get(daemon: Daemon, path: str, *, by_content: bool) -> bytes:
    """Return an asset's bytes, through the socket or from the disk."""
    if by_content:
        return daemon.read(path)
    with daemon.client.open(path) as opened:
        return opened.path.read_bytes()


def test_figures_against_a_hand_count(bucket: Bucket, launch: Launch, promtool: Path) -> None:
    """Hits, misses, errors and their bytes, uploads, demotions and promotions are counted, each exactly once."""
    daemon = launch(bucket)
    daemon.drop({"a": b"a" * 1000, "b": b"b" * 200, "c": b"c" * 30})
    daemon.wait_replicated(3)
    daemon.client.demote(["b", "c"])
    daemon.read("a")  # a hit of 1,000 bytes
    daemon.read("b")  # a miss of 200
    with daemon.client.open("c"):  # a miss of 30
        pass
    with daemon.client.open("c"):  # a hit of 30
        pass
    with pytest.raises(TierdError, match="nowhere"):
        daemon.read("nowhere")  # an error
    counted = daemon.scrape()
    expected = {
        'tierd_requests_total{result="hit"}': 2,
        'tierd_requests_total{result="miss"}': 2,
        'tierd_requests_total{result="error"}': 1,
        'tierd_request_bytes_total{result="hit"}': 1030,
        'tierd_request_bytes_total{result="miss"}': 230,
        "tierd_hit_ratio": 0.5,
        'tierd_uploads_total{result="sent"}': 3,
        "tierd_upload_bytes_total": 1230,
        "tierd_upload_duration_seconds_count": 3,
        'tierd_demotions_total{reason="request"}': 2,
        'tierd_promotions_total{result="restored"}': 2,
        'tierd_assets{state="replicated"}': 3,
        'tierd_bytes{state="replicated"}': 1230,
        "tierd_unprotected_bytes": 0,
        "tierd_brake_engaged": 0,
    }
    assert {series: counted[series] for series in expected} == expected
    assert daemon.figure("store_requests_total", operation="put", result="ok") >= 3
    raw = daemon.raw_metrics()
    said = subprocess.run([promtool, "check", "metrics"], input=raw, capture_output=True, check=False, timeout=60)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


def test_drain(bucket: Bucket, launch: Launch, seaweed_server: Seaweed) -> None:
    """`tierd drain` returns when nothing is left that only this disk has; its exit code says how it ended."""
    daemon = launch(bucket)
    files = {f"{number}.bin": random.Random(number).randbytes(MIB) for number in range(6)}
    seaweed_server.suspend()
    try:
        daemon.drop(files)
        daemon.wait("they are known", lambda: len(daemon.assets()) == len(files))
        early = daemon.command("drain", "--json", "--timeout", "0")
    finally:
        seaweed_server.resume()
    assert early.returncode == 75
    assert not outcome(early)["done"]
    done = daemon.command("drain", "--json")
    assert done.returncode == 0
    assert outcome(done) == {"done": True, "unprotected": 0, "unprotected_bytes": 0, "stuck": [], "outside": 0}
    assert daemon.status()["assets"]["replicated"] == len(files)
    bucket.put("foreign.bin", b"somebody's")
    daemon.drop({"foreign.bin": b"mine"})
    stuck = daemon.command("drain", "--json")
    assert outcome(stuck)["stuck"] == ["foreign.bin"]
    assert stuck.returncode == 4
