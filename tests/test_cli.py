"""The command line against a stub: what it asks, what it prints where, and how it ends."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer
from stub import Answer, Request, Stub, asset, error, lines

from daemon import cli
from daemon.checks import CHECKS
from daemon.examination import OUTSIDE
from daemon.instance import hold_lock
from daemon.render import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

TIERD = str(Path(sys.executable).with_name("tierd"))
HEED_INTERRUPTS = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
STATUS: dict[str, Any] = {
    "assets": {"new": 1, "replicated": 2, "cold": 0},
    "bytes": {"new": 5, "replicated": 2048, "cold": 0},
    "queue": {
        "waiting": 1,
        "uploading": 0,
        "promoting": 0,
        "oldest_unprotected_seconds": 7.4,
        "unprotected_bytes": 5,
    },
    "rates": {"upload_bytes_per_second": 1024.0, "hit_ratio": 0.5, "hit_ratios": {"5m": None, "1h": 0.5, "24h": 0.5}},
    "disk": {"total": 4096, "free": 2048, "used": 2053, "limit": 4096, "high": 0.9, "low": 0.8, "full": False},
    "store": {"url": "s3://b", "reachable": True, "reason": "", "capabilities": {}},
    "brake": {"engaged": False, "reason": "", "since": None, "missing": 0},
    "scrub": {"oldest_seconds": 43_200.0, "suspects": 0, "doubt": "", "read_back_at": None, "hashed_at": None},
    "rollout": {"mode": "s3", "percent": 100.0, "outside": 0, "outside_bytes": 0},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache root."""
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def stub(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A daemon that says what it was told to say, and we in a directory of our own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TIERD_API__SOCKET", str(tmp_path / "s"))
    with Stub(tmp_path / "s") as server:
        server.answers["GET /v1/health"] = Answer({"status": "ok", "reasons": [], "root": str(root)})
        yield server


@pytest.fixture
def tierd(stub: Stub, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process: most tests need no new one."""
    return Run(capfd)


class Run:
    """Runs a command and keeps what it printed."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str) -> int:
        """Run a command and return its exit code."""
        code = cli.run(arguments)
        self.out, self.err = self._capture.readouterr()
        return code

    @property
    def json(self) -> Any:
        """Return what stdout says: one document."""
        return json.loads(self.out)


def outcome(path: str, word: str = "done", reason: str = "") -> dict[str, Any]:
    """Return one result of the daemon's."""
    return {"path": path, "href": path, "outcome": word, "reason": reason, "state": "replicated", "size": 5}


def content(body: bytes, digest: bytes | None = None) -> Answer:
    """Answer an asset's bytes, with their digest."""
    told = base64.b64encode(digest or hashlib.sha256(body).digest()).decode()
    return Answer(body, headers={"Repr-Digest": f"sha-256=:{told}:", "ETag": '"x"'})


# Every command


_COMMANDS = cast("Any", typer.main.get_command(cli.build())).commands
NAMES = sorted(name for name, command in _COMMANDS.items() if not hasattr(command, "commands"))
"""Those that are no group of others."""


def test_the_commands_are_the_contracts() -> None:
    """These and no others, each with a help text."""
    words = "serve status list search get upload download promote demote pin unpin retry rm explain events stats verify"
    words += " drain resume doctor register presign simulate curve top validate estimate tier-manage"
    words += " discover find-local ui"
    assert set(NAMES) == set(words.split())
    assert all(_COMMANDS[name].help for name in NAMES)


@pytest.mark.parametrize("command", [*NAMES, "config"])
def test_every_command_has_help(tierd: Run, command: str) -> None:
    """--help explains on stdout, names the global options, and ends well."""
    assert tierd(command, "--help") == 0
    assert "Usage: tierd" in tierd.out
    assert tierd.err == ""


def test_global_options_stand_anywhere(stub: Stub, tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the command, after it, with = or without."""
    stub.answers["GET /v1/status"] = Answer(STATUS)
    socket = str(tmp_path / "s")
    monkeypatch.setenv("TIERD_API__SOCKET", "/nowhere")
    for arguments in (
        ("--socket", socket, "--json", "status"),
        ("status", "--json", "--socket", socket),
        ("--json", "status", f"--socket={socket}"),
    ):
        assert tierd(*arguments) == 0
        assert tierd.json == STATUS


def test_after_two_dashes_everything_is_an_argument() -> None:
    """A file called --json can be named."""
    assert cli.hoist(["get", "--", "--json"]) == ([], ["get", "--", "--json"])
    assert cli.hoist(["get", "x", "--yes", "--config", "c", "-o", "-"]) == (
        ["--yes", "--config", "c"],
        ["get", "x", "-o", "-"],
    )


# How it ends


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(400, "bad-input"), 2),
        (error(403, "not-allowed"), 77),
        (error(404, "unknown-asset"), 3),
        (error(409, "conflict"), 5),
        (error(503, "unavailable"), 75),
        (error(503, "damaged"), 1),
        (error(507, "no-space"), 1),
        (error(500, "bug"), 1),
    ],
)
def test_what_the_daemon_refuses(stub: Stub, tierd: Run, answer: Answer, code: int) -> None:
    """Every refusal has its exit code; the words go to stderr, stdout stays empty."""
    stub.answers["GET /v1/explain/a"] = answer
    assert tierd("explain", "a") == code
    assert (tierd.out, tierd.err) == ("", "tierd: it says why\n  do this\n")
    assert tierd("explain", "a", "--json") == code
    assert tierd.out == ""
    assert json.loads(tierd.err) == answer.body


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["done", "unchanged", "planned", "started"], 0),
        (["done", "failed"], 4),
        (["unchanged", "unknown"], 4),
        (["unknown"], 3),
        (["refused", "refused"], 5),
        (["failed"], 1),
        (["refused", "unknown"], 1),
        ([], 0),
    ],
)
def test_what_became_of_many(stub: Stub, tierd: Run, words: list[str], code: int) -> None:
    """All well, partly failed, all unknown, all refused, all failed."""
    results = [outcome(f"a{number}", word) for number, word in enumerate(words)]
    stub.answers["POST /v1/demote"] = Answer({"results": results, "dry_run": False})
    assert tierd("demote", "--all", "--json") == code
    assert tierd.json == {"results": results, "dry_run": False}


def test_no_daemon(tierd: Run, stub: Stub) -> None:
    """Nobody answers: 69, and how to start one."""
    assert tierd("status", "--socket", "/nowhere/s") == 69
    assert tierd.err.startswith("tierd: no daemon answers on /nowhere/s: ")
    assert "tierd serve" in tierd.err


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("get",), ("status", "--nonsense"), ("pin",), ("pin", "a", "--all"), ("list", "--tag", "x")],
)
def test_usage(tierd: Run, arguments: tuple[str, ...]) -> None:
    """What was not understood ends with 2, as text and as JSON."""
    assert tierd(*arguments) == 2
    assert tierd.err.startswith("tierd: ")
    assert tierd(*arguments, "--json") == 2
    assert json.loads(tierd.err)["error"]["code"] == "usage"


def test_a_file_that_cannot_be_written(stub: Stub, tierd: Run) -> None:
    """A local failure is said in one line and ends with 1."""
    stub.answers["GET /v1/content/a"] = content(b"12345")
    assert tierd("get", "a", "-o", "no/such/a") == 1
    assert "no/such is not a directory" in tierd.err


# Looking


def test_status_says_what_matters(stub: Stub, tierd: Run) -> None:
    """Assets by state, what is unprotected, disk, store and brake."""
    stub.answers["GET /v1/status"] = Answer(STATUS)
    assert tierd("status") == 0
    assert tierd.out.splitlines() == [
        "assets       1 new (5 B), 2 replicated (2.0 KiB)",
        "waiting      1, uploading 0, promoting 0",
        "unprotected  5 B, the oldest for 7 s",
        "disk         2.0 KiB used, 2.0 KiB free of 4.0 KiB",
        "store        s3://b",
        "brake        not engaged",
        "scrub        nothing is cold",
    ]
    brake = {"engaged": True, "reason": "all is gone", "since": 86_400.0 * 365, "missing": 9}
    scrub = {"oldest_seconds": 0, "suspects": 2, "doubt": "too many", "read_back_at": 86_400.0 * 365, "hashed_at": None}
    stub.answers["GET /v1/status"] = Answer(STATUS | {"brake": brake, "scrub": scrub})
    assert tierd("status") == 0
    said = tierd.out.splitlines()[-2:]
    assert "engaged since 1971-01-01" in said[0]
    assert said[0].endswith(": all is gone; see: tierd resume")
    assert "nothing is cold, last read back 1971-01-01" in said[1]
    stub.answers["GET /v1/status"] = Answer(STATUS | {"assets": {"cold": 1}})
    assert tierd("status") == 0
    assert tierd.out.endswith("scrub        every cold asset was checked in the last 0.5 days\n")
    assert said[1].endswith(", 2 seem missing or wrong, the store is doubted: too many; see: tierd verify")


def test_stats(stub: Stub, tierd: Run) -> None:
    """Counts and rates; as JSON the same figures."""
    some = {"assets": 2, "bytes": 2048, "archived": 1}
    stats = {
        "states": {"replicated": some},
        "types": {"": some},
        "campaigns": {"x": some},
        "media_types": {"image": some},
        "requests": {"hit": 1, "miss": 1, "error": 0},
        "request_bytes": {},
        "uploads": {"sent": 2},
        "upload_bytes": 2048,
        "downloads": {"restored": 0},
        "rates": STATUS["rates"],
        "cost": {"stored_bytes": 2048, "storage_class": "STANDARD", "month": {"STANDARD": 1.5}},
    }
    stub.answers["GET /v1/stats"] = Answer(stats)
    assert tierd("stats") == 0
    for line in (
        *("state\treplicated\t2\t2.0 KiB", "type\t-\t2\t2.0 KiB", "campaign\tx\t2\t2.0 KiB"),
        *("requests     1 hit, 1 miss, hits 50.0%", "uploads      2 sent, 2.0 KiB", "downloads    none"),
        "cost         1.50 a month in STANDARD",
    ):
        assert line in tierd.out.splitlines()
    assert tierd("stats", "--json") == 0
    assert tierd.json == stats
    stats["cost"]["storage_class"] = "OUTPOSTS"
    assert tierd("stats") == 0
    assert "no price is known" in tierd.out


def test_stats_tell_what_the_month_costs(stub: Stub, tierd: Run) -> None:
    """What is spent, what will be, and the two alternatives; as a document just the same."""
    bill = {
        "month": "2026-11",
        "since": 1_793_491_200.0,
        "so_far": {"storage": 1.0, "disk": 2.0, "requests": 0.25, "egress": 0.5},
        "forecast": {"storage": 2.0, "disk": 4.0, "requests": 0.5, "egress": 1.0},
        "all_hot": 30.0,
        "all_cold": 4.5,
    }
    stub.answers["GET /v1/stats"] = Answer({"cost": {"bill": bill}})
    assert tierd("stats", "--cost") == 0
    for line in (
        *("storage\t1.00\t2.00", "egress\t0.50\t1.00", "in all\t3.75\t7.50"),
        "month     2026-11, counted since 2026-11-01 00:00 UTC",
        "all hot   30.00: everything on disk, and in the store as it is",
    ):
        assert line in tierd.out.splitlines()
    assert tierd("stats", "--cost", "--json") == 0
    assert tierd.json == {"bill": bill}


def test_list_is_one_asset_a_line(stub: Stub, tierd: Run) -> None:
    """Tabs between columns, nothing else, and no name can pretend to be two lines."""
    stub.answers["GET /v1/assets"] = Answer({"assets": [asset("a\nb"), asset("c", pinned=True)], "cursor": None})
    assert tierd("list", "--state", "cold", "--tag", "k=v", "-q", "x") == 0
    assert tierd.out.splitlines() == ["a\\nb\treplicated\t5\t\t", "c\treplicated\t5\tpinned\t"]
    assert stub.asked() == ["GET /v1/assets?limit=1000&tag.k=v&state=cold&q=x"]
    assert tierd("list", "--json", "--limit", "1") == 0
    assert [each["path"] for each in tierd.json["assets"]] == ["a\nb"]


def test_search_asks_for_all_that_is_given(stub: Stub, tierd: Run) -> None:
    """Words, sizes and ages as people say them; what is said about assets is shown where it is wanted."""
    page = {"assets": [asset("a", type="product", fields={"region": "US"}, tags={"k": "v"})], "cursor": None}
    stub.answers["GET /v1/assets"] = Answer(page)
    options = "--campaign x --not-pinned --min-size 500kB --max-size 7 --older-than 0 --sort=-size --metadata"
    assert tierd("search", "dish", "soap", *options.split()) == 0
    (asked,) = stub.asked()
    asked, _, before = asked.partition("&modified_before=")
    assert asked == "GET /v1/assets?limit=1000&campaign=x&q=dish+soap&pinned=false&min_size=500000&max_size=7"
    assert re.fullmatch(r"[0-9.]+&sort=-size", before)
    assert tierd.out == "a\treplicated\t5\t\t\tproduct\tregion=US\tk=v\n"


@pytest.mark.parametrize(
    "wrong",
    [("--min-size", "big"), ("--max-size", "-1"), ("--older-than", "1"), ("--used-within", "soon"), ("--limit", "0")],
)
def test_search_refuses_what_it_does_not_understand(tierd: Run, wrong: tuple[str, str]) -> None:
    """And names the option, before anybody is asked."""
    assert tierd("search", *wrong) == 2
    assert wrong[0] in tierd.err


def test_explain(stub: Stub, tierd: Run) -> None:
    """State, proof, what comes next, and every reason."""
    body = {
        "path": "a",
        "state": "replicated",
        "proof": {"key": "k", "method": "etag-md5", "mode": 0o644, "at": 1.5},
        "heat": None,
        "rank": 3,
        "next": "nothing",
        "reasons": ["it is pinned", "it is leased"],
    }
    stub.answers["GET /v1/explain/a"] = Answer(body)
    assert tierd("explain", "./a") == 0
    assert "proof method  etag-md5\n" in tierd.out
    assert "proof mode    0644\n" in tierd.out
    assert f"proof at      {moment(1)}\n" in tierd.out
    assert tierd.out.count("because") == 2


def test_events_one_a_line(stub: Stub, tierd: Run) -> None:
    """As text and as JSON lines; without --follow it ends."""
    event = {
        "cursor": 4,
        "at": 0.0,
        "path": "a",
        "event": "verified",
        "before": "verifying",
        "after": "replicated",
        "reason": "",
    }
    stub.answers["GET /v1/events"] = lines(event, event | {"cursor": 5, "event": "discovered", "before": None})
    assert tierd("events", "--after", "3") == 0
    assert stub.asked() == ["GET /v1/events?after=3&follow=false"]
    first, second = tierd.out.splitlines()
    assert first == "4\t\tverified\tverifying -> replicated\ta"
    assert second == "5\t\tdiscovered\t- -> replicated\ta"
    assert tierd("events", "--json") == 0
    assert [json.loads(line)["cursor"] for line in tierd.out.splitlines()] == [4, 5]
    assert tierd("events", "--follow") == 69


def test_verify(stub: Stub, tierd: Run) -> None:
    """No difference: 0. Any: 1, and which."""
    progress = {"progress": {"checked": 1, "total": 2, "bytes": 5, "files": 0, "objects": 0}}
    report: dict[str, Any] = {"checked": 2, "bytes": 9, "files": 2, "objects": 2, "counts": {}, "ok": True}
    report |= {"differences": [], "superseded_count": 0, "superseded": []}
    stub.answers["POST /v1/verify"] = lines(progress, {"report": report})
    assert tierd("verify", "--deep", "--json") == 0
    assert tierd.json == report
    assert stub.requests[0].body == {"deep": True}
    difference = {"path": "a", "href": "a", "kind": "missing", "detail": "no object"}
    found = {"differences": [difference], "counts": {"missing": 1}, "superseded_count": 2, "superseded": ["b", "c"]}
    stub.answers["POST /v1/verify"] = lines({"report": report | found | {"ok": False}})
    assert tierd("verify") == 1
    superseded = "".join(f"{key}\tsuperseded\tno asset needs this object any more\n" for key in "bc")
    assert tierd.out == f"a\tmissing\tno object\n{superseded}"
    assert tierd.err == "2 assets (9 B), 2 files, 2 objects: 1 difference (1 missing), 2 superseded\n"


def test_validate(stub: Stub, tierd: Run) -> None:
    """How much of each media type is archived, then what differs; any difference fails."""
    report: dict[str, Any] = {"checked": 4, "bytes": 9, "files": 4, "objects": 3, "counts": {}, "ok": True}
    report |= {"differences": [], "superseded_count": 0, "superseded": []}
    media = {
        "": {"assets": 1, "bytes": 1024, "archived": 0},
        "image": {"assets": 3, "bytes": 2048, "archived": 3},
    }
    stub.answers["GET /v1/stats"] = Answer({"media_types": media})
    stub.answers["POST /v1/verify"] = lines({"report": report})
    assert tierd("validate") == 0
    assert tierd.out.splitlines() == [
        "-\t1\t1.0 KiB\t0\t1\t0.0%",
        "image\t3\t2.0 KiB\t3\t0\t100.0%",
        "all\t4\t3.0 KiB\t3\t1\t75.0%",
    ]
    assert tierd("validate", "--json") == 0
    assert tierd.json == {"media_types": media, "report": report}
    difference = {"path": "a", "href": "a", "kind": "missing", "detail": "no object"}
    found = {"differences": [difference], "counts": {"missing": 1}, "ok": False}
    stub.answers["POST /v1/verify"] = lines({"report": report | found})
    assert tierd("validate", "--deep") == 1
    assert tierd.out.splitlines()[-1] == "a\tmissing\tno object"
    assert stub.requests[-2].body == {"deep": True}


def test_estimate(tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, bytes and requests are counted, what is ignored is not, and prices are those of the configuration."""
    monkeypatch.setenv("TIERD_UPLOAD__PART_SIZE", "5 MiB")
    monkeypatch.setenv("TIERD_UPLOAD__MULTIPART_ABOVE", "5 MiB")
    monkeypatch.setenv("TIERD_PRICES__GLACIER", "1024")
    (tmp_path / "old" / "below").mkdir(parents=True)
    (tmp_path / "old" / "below" / "a.jpg").write_bytes(b"x" * 24)
    (tmp_path / "old" / "b.part").write_bytes(b"x")
    with (tmp_path / "old" / "c.mp4").open("wb") as film:
        film.truncate(11 << 20)
    assert tierd("estimate", str(tmp_path / "old"), "--bandwidth", "1MiB", "--json") == 0
    found = tierd.json
    assert found["media_types"] == {"image": {"files": 1, "bytes": 24}, "video": {"files": 1, "bytes": 11 << 20}}
    assert (found["files"], found["bytes"], found["requests"]) == (2, (11 << 20) + 24, 1 + 3 + 2)
    assert found["seconds"] == pytest.approx(11, rel=1e-3)
    assert found["month"]["GLACIER"] == pytest.approx(11, rel=1e-3)
    assert tierd("estimate", str(tmp_path / "old")) == 0
    assert "a month in GLACIER              11.00" in tierd.out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "nowhere is not a directory"),
        (["--bandwidth", "fast"], 2, "is no size"),
        (["--bandwidth", "0"], 2, "is no size"),
    ],
)
def test_estimate_refuses(tierd: Run, arguments: list[str], code: int, said: str) -> None:
    """What is no directory, and what is no bandwidth."""
    assert tierd("estimate", *arguments) == code
    assert said in tierd.err


def test_tier_manage(stub: Stub, tierd: Run) -> None:
    """Once in both directions, by one line in time; never what is pinned, and only the direction that is wanted."""
    answer = Answer({"results": [outcome("a")], "dry_run": False})
    stub.answers["POST /v1/demote"] = stub.answers["POST /v1/promote"] = answer
    before = time.time()
    assert tierd("tier-manage", "--cold-days", "2", "--dry-run") == 0
    demoted, promoted = (request.body for request in stub.requests)
    line = demoted["filter"].pop("accessed_before")
    assert before - 2 * 86_400 - 1 <= line <= time.time() - 2 * 86_400
    assert demoted == {"filter": {"state": ["replicated"], "pinned": False}, "wait": True, "dry_run": True}
    assert promoted == {"filter": {"state": ["cold"], "accessed_after": line}, "wait": True, "dry_run": True}
    stub.requests.clear()
    assert tierd("tier-manage", "--no-demote") == 0
    assert stub.asked() == ["POST /v1/promote"]
    stub.requests.clear()
    assert tierd("tier-manage", "--no-promote") == 0
    assert stub.asked() == ["POST /v1/demote"]


def test_doctor(stub: Stub, tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is asked, and what it may not be asked is looked at from here; on a terminal, remedies have a line."""
    assert (tmp_path / "media").is_dir()
    monkeypatch.setenv("TIERD_CACHE__ROOT", str(tmp_path / "media"))
    monkeypatch.setenv("TIERD_INDEX__PATH", str(tmp_path / "index.db"))
    monkeypatch.setenv("TIERD_STORE__URL", "memory://")
    health = {"status": "ok", "root": str(tmp_path / "media"), "version": "1", "reasons": []}
    stub.answers["GET /v1/health"] = Answer(health)
    found = {"check": "clock", "verdict": "failed", "message": "it is late", "remedy": "set it"}
    stub.answers["POST /v1/doctor"] = Answer({"findings": [found], "ok": False})
    assert tierd("doctor", "--json") == 1
    assert [each["check"] for each in tierd.json["findings"]] == ["configuration", "daemon", "socket", "clock"]
    assert tierd.json["findings"][-1] == {"number": 4, **found}
    stub.answers["POST /v1/doctor"] = Answer({"findings": [found | {"verdict": "warning"}], "ok": True})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert tierd("doctor") == 0
    *_, warned, remedy = tierd.out.splitlines()
    assert warned == " 4 warning  clock          it is late"
    assert remedy == f"{'':<25}  -> set it"
    monkeypatch.undo()


def test_doctor_for_one_who_may_not_ask(
    stub: Stub, tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is told so, and what he can see himself."""
    assert (tmp_path / "media").is_dir()
    monkeypatch.setenv("TIERD_CACHE__ROOT", str(tmp_path / "media"))
    monkeypatch.setenv("TIERD_INDEX__PATH", str(tmp_path / "index.db"))
    monkeypatch.setenv("TIERD_STORE__URL", "memory://")
    health = {"status": "degraded", "root": "/elsewhere", "version": "1", "reasons": ["the disk is full"]}
    stub.answers["GET /v1/health"] = Answer(health)
    stub.answers["POST /v1/doctor"] = error(403, "not-allowed")
    with hold_lock(tmp_path / "index.db.lock"):
        (tmp_path / "index.db").touch()
        assert tierd("doctor", "--json") == 1
    said = {(each["check"], each["verdict"], each["message"]) for each in tierd.json["findings"]}
    assert ("daemon", "failed", "it says why") in said
    assert ("daemon", "warning", "the disk is full") in said
    assert ("daemon", "failed", f"process None holds the cache root, process {os.getpid()} the index") in said
    assert any(name == "daemon" and "looks after /elsewhere" in message for name, _, message in said)
    told = "has the index open, and did not tell how it is"
    assert ("index", "warning", f"process {os.getpid()} {told}") in said
    assert {name for name, _, _ in said} == {name for name, _ in (*OUTSIDE, *CHECKS)}


def test_doctor_of_a_daemon_that_hangs(stub: Stub, tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while, and everything else is looked at."""
    monkeypatch.setattr("daemon.examination.SILENCE_SECONDS", 0.2)
    monkeypatch.setenv("TIERD_CACHE__ROOT", str(tmp_path / "media"))
    monkeypatch.setenv("TIERD_STORE__URL", "memory://")
    over = threading.Event()

    def hang(_: Request) -> Answer:
        over.wait(20)
        return Answer({})

    stub.answers["GET /v1/health"] = hang
    (tmp_path / "media" / ".tierd").mkdir()
    with hold_lock(tmp_path / "media" / ".tierd" / "lock"):
        assert tierd("doctor", "--json") == 1
    over.set()
    said = {each["check"]: (each["verdict"], each["message"]) for each in tierd.json["findings"]}
    assert said["daemon"] == (
        "failed",
        f"process {os.getpid()} holds the cache root or the index, and the daemon did not answer in time",
    )
    assert said["SQLite"][0] == "ok"


def test_doctor_of_a_configuration_that_cannot_be_read(tierd: Run, tmp_path: Path) -> None:
    """Of everything else there is nothing to say."""
    config = tmp_path / "broken.toml"
    config.write_text("x = [")
    assert tierd("doctor", "--config", str(config), "--json") == 1
    (found,) = tierd.json["findings"]
    assert (found["number"], found["check"], found["verdict"]) == (1, "configuration", "failed")
    assert "not valid TOML" in found["message"]


# Moving


def test_moves_say_what_was_asked(stub: Stub, tierd: Run) -> None:
    """Paths or a filter, dry run and wait reach the daemon."""
    for verb in ("promote", "demote", "pin", "unpin", "retry"):
        stub.answers[f"POST /v1/{verb}"] = Answer({"results": [outcome("a")], "dry_run": False})
    assert tierd("promote", "a b", "--dry-run") == 0
    assert tierd.out == "a\tdone\treplicated\t5\t\n"
    assert tierd("demote", "--state", "cold", "--state", "new", "--field", "a=b=c", "--no-wait") == 0
    assert tierd("unpin", "--all") == 0
    assert tierd("retry", "a", "--overwrite") == 0
    assert [request.body for request in stub.requests] == [
        {"paths": ["a%20b"], "wait": True, "dry_run": True},
        {"filter": {"state": ["cold", "new"], "fields": {"a": "b=c"}}, "wait": False, "dry_run": False},
        {"filter": {}, "wait": True, "dry_run": False},
        {"paths": ["a"], "wait": True, "overwrite": True, "dry_run": False},
    ]


def test_absolute_paths_beneath_the_root(stub: Stub, tierd: Run, root: Path) -> None:
    """They mean the asset; any other absolute path is refused."""
    stub.answers["POST /v1/pin"] = Answer({"results": [outcome("d/a")]})
    assert tierd("pin", f"{root}/d/../d/a") == 0
    assert stub.requests[-1].body["paths"] == ["d/a"]
    assert tierd("pin", "/etc/passwd") == 5


def test_rm_asks_first(stub: Stub, tierd: Run) -> None:
    """Without a terminal and without --yes nothing is removed."""
    stub.answers |= {"GET /v1/assets/a": Answer(asset("a")), "DELETE /v1/assets/a": Answer(asset("a", "gone"))}
    assert tierd("rm", "a") == 5
    assert "--yes" in tierd.err
    assert tierd("rm", "a", "--dry-run", "--json") == 0
    assert tierd.json["results"][0]["outcome"] == "planned"
    assert not any(line.startswith("DELETE") for line in stub.asked())
    assert tierd("rm", "a", "unknown", "--yes") == 4
    assert tierd.out == "a\tdone\tgone\t5\t\nunknown\tunknown\t\t0\tit says why\n"
    assert tierd("rm", "unknown", "--yes") == 3


def test_drain(stub: Stub, tierd: Run) -> None:
    """Done: 0. Only stuck ones left: 4. Out of time: 75. Not asked to wait: 0."""
    report: dict[str, Any] = {"done": True, "unprotected": 0, "unprotected_bytes": 0, "stuck": [], "outside": 0}
    progress = {"unprotected": 2, "unprotected_bytes": 9, "stuck": 0}
    stub.answers["POST /v1/drain"] = lines({"progress": progress}, {"report": report})
    assert tierd("drain", "--timeout", "5") == 0
    assert stub.requests[0].body == {"wait": True, "timeout": 5.0}
    unfinished = report | {"done": False, "unprotected": 1}
    stub.answers["POST /v1/drain"] = lines({"report": unfinished | {"stuck": ["a"]}})
    assert tierd("drain") == 4
    stub.answers["POST /v1/drain"] = lines({"report": unfinished})
    assert tierd("drain") == 75
    assert tierd("drain", "--no-wait") == 0


MOVE = {"path": "a", "href": "a", "key": "a", "to": "other/a", "why": ""}
PLAN: dict[str, Any] = {"moves": 2, "bytes": 20, "placed": 3, "elsewhere": 0, "waiting": 1, "unplaceable": 0}
PLAN |= {"outside": 5, "collisions": 1, "examples": [MOVE]}
MIGRATED: dict[str, Any] = {"plan": PLAN, "moved": 0, "failed": 0, "failures": []}
MIGRATED |= {"pruned": 0, "pruned_bytes": 0, "kept": 0}


def test_migrate_plan(stub: Stub, tierd: Run) -> None:
    """Old and new keys, how many move, and why the others stay; as a dry run of a migration, too."""
    stub.answers["POST /v1/migrate"] = lines({"report": MIGRATED | {"pruned": 4, "pruned_bytes": 9, "kept": 1}})
    assert tierd("migrate", "plan", "--from", "mirror", "--to", "creative", "--prune") == 0
    asked = {"source": "mirror", "target": "creative", "prune": True, "dry_run": True}
    assert stub.requests[0].body == asked
    assert tierd.out == "a\ta\tother/a\t\n"
    assert "2 (20 B), copied" in tierd.err
    assert "1 have no proven remote copy" in tierd.err
    assert "5 are left as they are: [store] mode" in tierd.err
    assert "would remove 4 superseded objects (9 B); 1 stay" in tierd.err
    assert tierd("migrate", "run", "--dry-run") == 0
    assert stub.requests[-1].body == {"source": None, "target": None, "prune": False, "dry_run": True}


@pytest.mark.parametrize(("moved", "failed", "code"), [(2, 0, 0), (1, 1, 4), (0, 2, 1), (0, 0, 0)])
def test_migrate_run_and_resume(stub: Stub, tierd: Run, moved: int, failed: int, code: int) -> None:
    """What did not move is named; removing for good is asked about."""
    progress = {"progress": {"phase": "moving", "done": 1, "total": 2, "trouble": ""}}
    report = MIGRATED | {"moved": moved, "failed": failed, "failures": [MOVE | {"why": "archived"}] * failed}
    stub.answers["POST /v1/migrate"] = lines(progress, {"report": report})
    assert tierd("migrate", "run") == code
    assert tierd.out == "a\ta\tother/a\tarchived\n" * failed
    assert f"moved {moved} of {moved + failed}" in tierd.err
    assert tierd("migrate", "resume") == code
    assert stub.requests[-1].body == {"resume": True}
    asked = len(stub.requests)
    assert tierd("migrate", "run", "--prune") == 5
    assert len(stub.requests) == asked
    assert tierd("migrate", "run", "--prune", "--yes", "--json") == code
    assert tierd.json == report


def test_migrate_status(stub: Stub, tierd: Run) -> None:
    """Nothing, broken off, or done."""
    found: dict[str, Any] = {"phase": "none", "source": None, "target": "creative", "prune": True, "began": 1.0}
    found |= {"ended": None, "total": 4, "bytes": 9, "moved": 1, "left": 3, "failed": 0, "pruned": 0}
    found |= {"pruned_bytes": 0, "running": False, "trouble": ""}
    stub.answers["GET /v1/migrate"] = Answer(found)
    assert tierd("migrate", "status") == 0
    assert tierd.out == "there was no migration\n"
    stub.answers["GET /v1/migrate"] = Answer(found | {"phase": "moving"})
    assert tierd("migrate", "status") == 0
    assert "broken off; see: tierd migrate resume" in tierd.out
    assert "1 of 4 (25.0%)" in tierd.out
    stub.answers["GET /v1/migrate"] = Answer(found | {"phase": "moving", "running": True, "trouble": "no answer"})
    assert tierd("migrate", "status") == 0
    assert "broken off" not in tierd.out
    assert "no answer" in tierd.out


def test_discover_asks_the_daemon_where_one_runs(stub: Stub, tierd: Run) -> None:
    """What it lacks goes to stdout; a dry run takes nothing in."""
    report = {"objects": 3, "assets": 1, "bytes": 5, "taken": 1, "strangers": 1}
    report |= {"lacking": [{"key": "k", "size": 5, "path": "a"}], "foreign": [{"key": "f", "size": 6, "path": None}]}
    progress = {name: report[name] for name in ("objects", "assets", "bytes", "taken", "strangers")}
    stub.answers["POST /v1/discover"] = lines({"progress": progress}, {"report": report})
    assert tierd("discover", "--sync", "--foreign") == 0
    assert stub.requests[-1].body == {"sync": True, "foreign": True}
    assert tierd.out == "k\t5\ta\nf\t6\t-\n"
    assert tierd.err.endswith(
        "3 objects: 1 assets (5 B) that the index lacked, 1 that do not say whose they are; taken in: 1\n"
    )
    assert tierd("discover", "--sync", "--dry-run") == 0
    assert stub.requests[-1].body == {"sync": False, "foreign": False}


def test_find_local(stub: Stub, tierd: Run, root: Path) -> None:
    """By a file, wherever it is, or by a digest; nothing found is 3."""
    held = {"path": "a", "state": "cold", "size": 5, "key": "k"}
    stub.answers["GET /v1/holders"] = Answer({"assets": [held, held | {"path": "b", "state": "replicated"}]})
    (root / "b").write_bytes(b"hello")
    assert tierd("find-local", str(root / "b")) == 0
    assert stub.requests[-1].target == f"/v1/holders?sha256={hashlib.sha256(b'hello').hexdigest()}"
    assert tierd.out == "a\tmoved\tcold\t5\tk\nb\titself\treplicated\t5\tk\n"
    stub.answers["GET /v1/holders"] = Answer({"assets": []})
    assert tierd("find-local", "--md5", "A" * 32) == 3
    assert stub.requests[-1].target == f"/v1/holders?md5={'a' * 32}"
    assert tierd("find-local", "nowhere") == 3
    for wrong in ((), ("--md5", "zz"), ("x", "--sha256", "0" * 64)):
        assert tierd("find-local", *wrong) == 2


def test_what_retention_is_to_remove(stub: Stub, tierd: Run) -> None:
    """One a line, and how much it is; a time that is none is refused."""
    going = {"path": "a.jpg", "href": "a.jpg", "key": "a.jpg", "size": 5, "type": "artifact", "rule": "r", "at": 0.0}
    stub.answers["GET /v1/retention"] = lines(going | {"marked": True}, going | {"marked": False})
    assert tierd("retention", "plan", "--within", "2w") == 0
    assert stub.requests[0].target == "/v1/retention?within=1209600.0"
    assert tierd.out == "\tmarked\ta.jpg\t5\tr\n\tnot yet marked\ta.jpg\t5\tr\n"
    assert tierd.err == "2 assets (10 B) within 2w; pin one, or tag it for a keep rule, and it stays\n"
    assert tierd("retention", "plan", "--json") == 0
    assert tierd.json == {"going": [going | {"marked": True}, going | {"marked": False}]}
    assert tierd("retention", "plan", "--within", "soon") == 2


def test_resume_wants_to_be_confirmed(stub: Stub, tierd: Run) -> None:
    """The brake is released only by --confirm."""
    brake = {"engaged": True, "reason": "40 files vanished", "since": 1.0, "missing": 40}
    stub.answers |= {
        "GET /v1/status": Answer(STATUS | {"brake": brake}),
        "POST /v1/resume": Answer({"released": True, "reason": ""}),
    }
    assert tierd("resume") == 5
    assert "40 files vanished" in tierd.err
    assert tierd("resume", "--dry-run", "--confirm") == 0
    assert not any(line.startswith("POST") for line in stub.asked())
    assert tierd("resume", "--confirm") == 0
    assert stub.requests[-1].body == {"confirm": True}
    stub.answers["GET /v1/status"] = Answer(STATUS)
    assert tierd("resume") == 0


# Files


def test_get_writes_a_whole_file(stub: Stub, tierd: Run) -> None:
    """Under its own name, here, or where it was told; nothing else is left behind."""
    stub.answers["GET /v1/content/d/a.jpg"] = content(b"12345")
    assert tierd("get", "d/a.jpg") == 0
    assert tierd("get", "d/a.jpg", "-o", "b") == 0
    Path("sub").mkdir()
    assert tierd("get", "d/a.jpg", "-o", "sub") == 0
    assert tierd.out == ""
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert sorted(map(str, files)) == ["a.jpg", "b", "sub/a.jpg"]
    assert all(path.read_bytes() == b"12345" for path in files)
    umask = os.umask(0)
    os.umask(umask)
    assert Path("b").stat().st_mode & 0o777 == 0o666 & ~umask


def test_get_to_stdout(stub: Stub, tierd: Run) -> None:
    """The bytes and nothing else."""
    stub.answers["GET /v1/content/a"] = content(b"\x01\n\x02")
    assert tierd("get", "a", "-o", "-") == 0
    assert (tierd.out, tierd.err) == ("\x01\n\x02", "")


@pytest.mark.parametrize(
    "answer",
    [content(b"12345", hashlib.sha256(b"other").digest()), Answer(b"12345", cut=2), error(404, "unknown-asset")],
)
def test_get_never_leaves_a_partial_file(stub: Stub, tierd: Run, answer: Answer) -> None:
    """A wrong digest, a broken connection, an unknown asset: the old file stays, and no other."""
    Path("a").write_text("old")
    stub.answers["GET /v1/content/a"] = answer
    assert tierd("get", "a", "--yes") != 0
    assert [path.name for path in Path().iterdir()] == ["a"]
    assert Path("a").read_text() == "old"


def test_get_asks_before_it_replaces(stub: Stub, tierd: Run) -> None:
    """A file that is there is replaced only when that was confirmed."""
    Path("a").write_text("old")
    stub.answers |= {"GET /v1/content/a": content(b"12345"), "GET /v1/assets/a": Answer(asset("a"))}
    assert tierd("get", "a") == 5
    assert tierd("get", "a", "--dry-run", "--json") == 0
    assert tierd.json == {"path": "a", "file": "a", "size": 5, "dry_run": True}
    assert Path("a").read_text() == "old"
    assert tierd("get", "a", "--yes") == 0
    assert Path("a").read_text() == "12345"


def test_get_asks_for_nothing_that_has_no_place(stub: Stub, tierd: Run) -> None:
    """A directory that is not there is said before anything is promoted."""
    assert tierd("get", "a", "--output", "nowhere/a") == 1
    assert "nowhere is not a directory" in tierd.err
    assert stub.requests == []


@pytest.mark.parametrize("name", ["d/a", "prefix/d/a", "s3://bucket/prefix/d/a"])
def test_download_by_path_key_or_url(stub: Stub, tierd: Run, name: str) -> None:
    """An asset is found by whatever names it."""
    stub.answers |= {
        "GET /v1/assets/d/a": Answer(asset("d/a")),
        "GET /v1/assets": Answer({"assets": [asset("d/aa"), asset("d/a")], "cursor": None}),
        "GET /v1/content/d/a": content(b"12345"),
    }
    assert tierd("download", name) == 0
    assert Path("a").read_bytes() == b"12345"
    assert tierd("download", "prefix/no") == 3


def test_upload_waits_until_all_are_safe(stub: Stub, tierd: Run, root: Path) -> None:
    """Registered first, all of them; then each is waited for. Some stuck: 4, with the reason."""
    for name in ("a", "d/b", "d/.hidden", "d/e/c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("12345")
    states = iter(["new", "uploading", "replicated"])
    failure = {"code": "conflict", "message": "another object has its key", "attempts": 1, "retry_at": None}
    for name in ("a", "d/b", "d/e/c"):
        stub.answers[f"PUT /v1/assets/{name}"] = Answer(asset(name, "new"))
        stub.answers[f"GET /v1/assets/{name}"] = Answer(asset(name))
    stub.answers["GET /v1/assets/a"] = lambda _: Answer(asset("a", next(states)))
    stub.answers["GET /v1/assets/d/b"] = Answer(asset("d/b", "stuck", failure=failure))
    assert tierd("upload", "a", str(root / "d")) == 4
    assert tierd.out.splitlines() == [
        "a\tdone\treplicated\t5\t",
        "d/b\tfailed\tstuck\t5\tanother object has its key",
        "d/e/c\tdone\treplicated\t5\t",
    ]
    assert stub.asked()[1:4] == ["PUT /v1/assets/a", "PUT /v1/assets/d/b", "PUT /v1/assets/d/e/c"]


def test_upload_force_replaces(stub: Stub, tierd: Run, root: Path) -> None:
    """Only when it is stuck, and only with --force, is a foreign object overwritten."""
    (root / "a").write_text("12345")
    retried: list[Request] = []

    def retry(request: Request) -> Answer:
        retried.append(request)
        return Answer({"results": [outcome("a")]})

    stub.answers |= {
        "PUT /v1/assets/a": Answer(asset("a", "new")),
        "GET /v1/assets/a": lambda _: Answer(asset("a", "replicated" if retried else "stuck")),
        "POST /v1/retry": retry,
    }
    assert tierd("upload", "a") == 1
    assert not retried
    assert tierd("upload", "a", "--force") == 0
    assert retried[0].body == {"paths": ["a"], "overwrite": True, "wait": False}


def test_upload_from_outside(stub: Stub, tierd: Run, root: Path) -> None:
    """Refused, unless --to says where to copy it; a file that is there is never replaced."""
    Path("x").write_text("12345")
    stub.answers |= {
        "PUT /v1/assets/in/x": Answer(asset("in/x", "new")),
        "GET /v1/assets/in/x": Answer(asset("in/x")),
    }
    assert tierd("upload", "x") == 5
    assert "--to DIR" in tierd.err
    assert tierd("upload", "x", "--to", "in", "--dry-run") == 0
    assert not (root / "in").exists()
    assert tierd("upload", "x", "--to", "in") == 0
    assert (root / "in/x").read_text() == "12345"
    assert tierd("upload", "x", "--to", "in") == 5
    assert [path.name for path in (root / "in").iterdir()] == ["x"]
    assert tierd("upload", "nowhere") == 3


def test_register_says_what_files_are(stub: Stub, tierd: Run, root: Path) -> None:
    """Only what is given is said; a dry run asks, and says nothing."""
    said: list[Request] = []

    def put(request: Request) -> Answer:
        said.append(request)
        return Answer(asset("d/a", "new"))

    stub.answers |= {"PUT /v1/assets/d/a": put, "GET /v1/assets/d/a": Answer(asset("d/a"))}
    told = ("--type", "product", "--field", "product=Power Dish Soap", "--field", "a=b=c", "--tag", "k=")
    assert tierd("register", "--dry-run", "d/a", *told) == 0
    assert not said
    assert tierd("register", str(root / "d/a"), *told) == 0
    assert said[0].body == {"type": "product", "fields": {"product": "Power Dish Soap", "a": "b=c"}, "tags": {"k": ""}}
    assert tierd.out == "d/a\tdone\tnew\t5\t\n"
    assert tierd("register", "d/a") == 0
    assert said[1].body == {}
    for wrong in ([], ["d/a", "--from", "x.csv"], ["--from", "x.csv", "--type", "t"], ["--from", "x.txt"]):
        assert tierd("register", *wrong) == 2
    assert tierd("register", "--from", "nowhere.csv") == 1


def test_register_from_a_file(stub: Stub, tierd: Run) -> None:
    """Rows that make no sense are named and skipped; so are those that the daemon refuses."""
    said: list[Request] = []

    def put(request: Request) -> Answer:
        said.append(request)
        return Answer(asset("a", "new"))

    stub.answers |= {
        "PUT /v1/assets/a": put,
        "PUT /v1/assets/b": error(400, "bad-metadata", "season of a artifact cannot be 'x'", ""),
    }
    rows = [
        "path,type,field.season,tag.mood",
        'a,artifact,5,"calm, dark"',
        "b,artifact,x,",
        ",,,",
        "a,b",
        '"a"b,,,',
        "a,,,",
    ]
    Path("t.csv").write_text("\n".join([*rows, '"a,,,']))
    assert tierd("register", "--from", "t.csv") == 4
    assert [request.body for request in said] == [
        {"type": "artifact", "fields": {"season": "5"}, "tags": {"mood": "calm, dark"}},
        {},
    ]
    assert [line.split("\t")[:2] for line in tierd.out.splitlines()] == [
        ["a", "done"],
        ["b", "failed"],
        ["t.csv:4", "failed"],
        ["t.csv:5", "failed"],
        ["t.csv:6", "failed"],
        ["a", "done"],
        ["t.csv:8", "failed"],
    ]
    said.clear()
    Path("t.csv").write_bytes(b"path,color\na\xff,red\n")
    tierd("register", "--from", "t.csv")
    assert stub.requests[-1].target == "/v1/assets/a%FF"
    rows = [
        '{"path": "a", "type": "artifact", "fields": {"season": 5}}',
        "",
        "{",
        "[]",
        '{"path": 1}',
        '{"path": "a", "season": 5}',
        '{"path": "a", "fields": {"x": []}}',
        '{"path": "a", "type": []}',
    ]
    Path("t.jsonl").write_text("\n".join(rows))
    assert tierd("register", "--from", "t.jsonl") == 4
    assert [request.body for request in said] == [{"type": "artifact", "fields": {"season": "5"}}]
    assert [line.split("\t")[0] for line in tierd.out.splitlines()][1:] == [f"t.jsonl:{n}" for n in range(3, 9)]


# Layouts


def test_layout_render_and_parse(tierd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one prints the other takes; no daemon is asked."""
    told = ("--type", "artifact", "--field", "kind=k", "--field", "show=s h", "--field", "season=05", "--field")
    assert tierd("layout", "render", "--layout", "episodic", "./d/f.jpg", *told, "episode=2") == 0
    key, second = (line.split("  ")[-1] for line in tierd.out.splitlines())
    assert key == "artifacts/k/s%20h/s05/e02/f.jpg"
    monkeypatch.setenv("TIERD_LAYOUT__NAME", "episodic")
    monkeypatch.setenv("TIERD_STORE__URL", "s3://b/p")
    monkeypatch.setenv("TIERD_CACHE__ROOT", ".")
    for given in (key, second, f"s3://b/p/{key}"):
        assert tierd("layout", "parse", given) == 0
        assert dict(line.split(maxsplit=1) for line in tierd.out.splitlines()) == {
            "file": "f.jpg",
            "type": "artifact",
            "kind": "k",
            "show": "s h",
            "season": "5",
            "episode": "2",
        }
    assert tierd("--json", "layout", "parse", "other/a/b") == 0
    assert json.loads(tierd.out)["path"] == "a/b"
    assert tierd("layout", "parse", "artifacts/k/s/s5/e02/f.jpg") == 3
    assert tierd("layout", "render", "a", "--layout", "flat") == 2
    assert tierd("layout", "render", "../a") == 2
    assert tierd("layout", "render", "a", *told, "episode=x") == 2
    assert "whole number" in tierd.err
    assert tierd("layout", "render", "a", "--layout", "dated") == 3
    assert "md5" in tierd.err


def test_layout_render_goes_by_the_rules_of_the_configuration(tierd: Run) -> None:
    """Both kinds: what the path says, and where that lies."""
    Path("config.toml").write_text(
        '[cache]\nroot = "."\n[layout]\nrules = [{type = "plate", key = "plates/{show}-{take:03}/{file}"}]\n'
        '[index]\npath = "../i"\n[store]\nurl = "file:../cold"\n'
        '[metadata]\nrules = [{type = "plate", path = "in/{show}/{take:03}/{file}"}]\n'
    )
    assert tierd("--json", "layout", "render", "in/A b/007/f.exr") == 0
    found = json.loads(tierd.out)
    assert (found["type"], found["fields"]) == ("plate", {"show": "A b", "take": "7"})
    assert found["keys"][0] == "plates/A%20b-007/f.exr"
    assert tierd("layout", "render", "in/x/7/f.exr") == 0
    assert tierd.out == "key  other/in/x/7/f.exr\n"


# The configuration


def test_config_check(stub: Stub, tierd: Run) -> None:
    """What holds, where it comes from, and what was found; a daemon is not needed."""
    Path("media").mkdir()
    Path("config.toml").write_text('[tiering]\npolicy = "age"')
    assert tierd("config", "check") == 0
    assert tierd.out.startswith(f"# {Path.cwd()}/config.toml\n# overridden by TIERD_API__SOCKET\n[cache]\n")
    assert tomllib.loads(tierd.out)["tiering"]["policy"] == "age"
    assert tierd("config", "check", "--json", "--socket", "/nowhere") == 0
    assert tierd.json["settings"]["tiering"]["policy"] == "age"
    assert tierd.json["found"]["daemon"] == "not running"


def test_config_check_says_all_that_is_wrong(stub: Stub, tierd: Run) -> None:
    """Exit 78, each problem on stderr."""
    Path("config.toml").write_text("[cache]\nrot = 1")
    assert tierd("config", "check") == 78
    assert tierd.err.count("config.toml: cache.") == 2
    assert tierd("--json", "config", "check") == 78
    assert json.loads(tierd.err)["error"]["code"] == "config"


# The installed command


def run(*arguments: str, directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command as people do."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory)} | environ
    return subprocess.run(
        [TIERD, *arguments],
        capture_output=True,
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=30,
        check=False,
    )


def test_installed_command(stub: Stub, tmp_path: Path) -> None:
    """Exit code and streams are those of the functions."""
    stub.answers["GET /v1/status"] = Answer(STATUS)
    found = run("status", "--json", directory=tmp_path, TIERD_API__SOCKET=str(tmp_path / "s"))
    assert (found.returncode, json.loads(found.stdout), found.stderr) == (0, STATUS, "")
    missing = run("status", directory=tmp_path)
    assert (missing.returncode, missing.stdout) == (69, "")


def test_serve_refuses_a_bad_configuration(tmp_path: Path) -> None:
    """Nothing is started, nothing is made, exit 78."""
    found = run("serve", directory=tmp_path, TIERD_CACHE__ROOT="nowhere", TIERD_STORE__URL="gs://X")
    assert found.returncode == 78
    assert "does not exist" in found.stderr
    assert "with the name of a bucket" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_clients_import_no_more_than_they_need(stub: Stub, tmp_path: Path) -> None:
    """A client command loads neither the server's libraries nor the store's, nor other commands: it starts at once."""
    stub.answers["GET /v1/status"] = Answer(STATUS)
    code = (
        "import sys; from daemon.cli import run; code = run(['status']);"
        "heavy = {'aioboto3', 'aiohttp', 'obstore', 'aiosqlite', 'rich', 'prometheus_client', 'asyncio'};"
        "heavy |= {'daemon.cli_archive', 'daemon.cli_simulate', 'daemon.cli_upload'};"
        "print(code, sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    environ = os.environ | {"TIERD_API__SOCKET": str(tmp_path / "s")}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, text=True, check=True)
    assert found.stderr == "0 []\n"


def test_a_reader_that_had_enough(stub: Stub, tmp_path: Path) -> None:
    """`tierd list | head -1` ends quietly."""
    many = [asset(f"{number:0200}") for number in range(5000)]
    stub.answers["GET /v1/assets"] = Answer({"assets": many, "cursor": None})
    command = f"{TIERD} list | head -1"
    environ = os.environ | {"TIERD_API__SOCKET": str(tmp_path / "s")}
    found = subprocess.run(["sh", "-c", command], capture_output=True, env=environ, text=True, timeout=30, check=True)
    assert len(found.stdout.splitlines()) == 1
    assert found.stderr == ""


def test_interrupted(stub: Stub, tmp_path: Path) -> None:
    """Ctrl-C ends a wait with 130 and without a traceback."""
    asked, release = threading.Event(), threading.Event()

    def hang(_: Request) -> Answer:
        asked.set()
        release.wait(20)
        return Answer({})

    stub.answers["POST /v1/promote"] = hang
    environ = os.environ | {"TIERD_API__SOCKET": str(tmp_path / "s")}
    # A shell has its background jobs ignore Ctrl-C, and so would all their children: these tests may be one.
    heeding = [sys.executable, "-c", HEED_INTERRUPTS, TIERD, "promote", "a"]
    process = subprocess.Popen(heeding, stderr=subprocess.PIPE, env=environ, text=True)
    try:
        assert asked.wait(20)
        process.send_signal(2)
        _, said = process.communicate(timeout=20)
    finally:
        release.set()
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in said


@pytest.mark.parametrize(("option", "code"), [("--config", 78), ("--socket", 77)])
def test_what_may_not_be_read(
    tierd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, code: int
) -> None:
    """A file or socket that is named and closed to us ends as such, and not as if the command were used wrongly."""
    named = tmp_path / "closed"
    named.touch()

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(named))

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(Path, "read_text", closed)
    monkeypatch.setattr("socket.socket.connect", closed)
    assert tierd(option, str(named), "status") == code
