"""`tierd doctor` as a user has it: with a daemon and without, where all is well and where it is not."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from daemon_process import Launch, outcome
from test_end_to_end_guards import mounted, some_files

from daemon.checks import CHECKS
from daemon.examination import OUTSIDE
from demo.seaweed import CREDENTIALS

if TYPE_CHECKING:
    from buckets import Bucket
    from daemon_process import Daemon

NAMES = [name for name, _ in (*OUTSIDE, *CHECKS)]


def examined(daemon: Daemon, *options: str) -> dict[str, list[tuple[str, str]]]:
    """Return verdicts and messages by check; every check has its number, and what failed its remedy and exit code."""
    done = daemon.command("doctor", "--json", *options)
    found: list[dict[str, Any]] = outcome(done)["findings"]
    has_failed = any(each["verdict"] == "failed" for each in found)
    assert (done.returncode, outcome(done)["ok"]) == (int(has_failed), not has_failed)
    assert [(each["number"], each["check"]) for each in found] == sorted(
        (NAMES.index(each["check"]) + 1, each["check"]) for each in found
    )
    assert all(each["remedy"] for each in found if each["verdict"] == "failed")
    return {name: [(each["verdict"], each["message"]) for each in found if each["check"] == name] for name in NAMES}


def verdicts(found: dict[str, list[tuple[str, str]]]) -> dict[str, set[str]]:
    """Return those of the verdicts by check that are not ok; what this host's own disk is like does not count."""
    of_hosts = ("mount options", "file systems", "free space")
    return {
        name: said
        for name, each in found.items()
        if name not in of_hosts and (said := {verdict for verdict, _ in each} - {"ok"})
    }


def test_on_seaweedfs(bucket: Bucket, launch: Launch) -> None:
    """All is well before the first start, while the daemon runs, and after it was killed."""
    daemon = launch(bucket, start=False)
    before = examined(daemon)
    assert verdicts(before) == {}
    assert before["daemon"] == [("ok", "none runs")]
    assert [path.name for path in daemon.root.iterdir()] == []
    daemon.start()
    daemon.drop(some_files(3))
    daemon.wait_replicated(3)
    running = examined(daemon)
    assert verdicts(running) == {}
    assert running["daemon"] == [("ok", f"process {daemon.pid} runs version 0.1.0")]
    assert running["credentials"] == [("ok", "from the environment (AWS_ACCESS_KEY_ID); they do not run out")]
    assert running["index"] == [("ok", f"{daemon.directory}/index.db: every page was read")]
    assert len(running["proof"]) == 5
    daemon.crash()
    lines = daemon.command("doctor").stdout.splitlines()
    assert all(len(line.split("\t")) == (4 if line.split("\t")[1] == "ok" else 5) for line in lines)
    assert lines[0] == f"1\tok\tconfiguration\t{daemon.directory}/config.toml"
    assert f"12\tok\tindex\t{daemon.directory}/index.db: every page was read" in lines
    assert bucket.keys() == {"00.bin", "01.bin", "02.bin"}


def test_what_is_wrong_without_a_daemon(bucket: Bucket, launch: Launch) -> None:
    """A key that is no key, a disk that is not mounted, wrong credentials, a broken index: all of them at once."""
    daemon = launch(bucket)
    daemon.drop(some_files(3))
    daemon.wait_replicated(3)
    daemon.stop()
    index = daemon.directory / "index.db"
    content = bytearray(index.read_bytes())
    content[8192:12288] = os.urandom(4096)
    index.write_bytes(content)
    (daemon.directory / "config.toml").write_text("[cache]\nsize = 1\n")
    daemon._environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    with mounted(daemon.root, "-t", "tmpfs", "tmpfs"):
        found = examined(daemon)
    assert found["configuration"][0][1].endswith("config.toml: cache.size: unknown key")
    assert ("failed", "the cache root has lost its marker") in found["directories"]
    for name in ("index", "store", "proof"):
        assert found[name][0][0] == "failed", (name, found[name])
    assert {verdict for verdict, _ in found["packages"]} == {"ok"}


def test_a_server_that_is_down(bucket: Bucket, launch: Launch) -> None:
    """What only the store can tell has failed; the rest is told."""
    daemon = launch(bucket, STORE__ENDPOINT="http://127.0.0.1:9")
    found = examined(daemon)
    assert found["store"][0][0] == "failed"
    assert found["clock"][0][0] == "failed"
    assert found["uploads"][0][0] == "warning"
    assert found["index"][0][0] == "ok"
    assert any("cannot be used" in message for _, message in found["daemon"])


def test_a_directory_as_the_store(bucket: Bucket, launch: Launch) -> None:
    """It needs no credentials; one that is gone, as with its disk, is told."""
    daemon = launch(bucket, STORE__URL="file:./cold", STORE__ENDPOINT=None)
    daemon.wait("the store", lambda: daemon.status()["store"]["reachable"])
    assert verdicts(examined(daemon)) == {}
    (daemon.directory / "cold").rename(daemon.directory / "elsewhere")
    found = examined(daemon)
    assert (found["store"][0][0], found["proof"][0][0]) == ("failed", "failed")


def test_somebody_elses_daemon(bucket: Bucket, launch: Launch) -> None:
    """One that holds the locks and does not answer, one that looks after another root."""
    daemon, other = launch(bucket), launch(bucket, STORE__URL="memory://", STORE__ENDPOINT=None)
    silent = examined(daemon, "--socket", str(daemon.directory / "nothing"))
    ((verdict, message),) = silent["daemon"]
    assert (verdict, f"process {daemon.pid} holds" in message) == ("failed", True)
    assert silent["index"] == [("warning", f"process {daemon.pid} has the index open, and did not tell how it is")]
    found = examined(daemon, "--socket", str(other.directory / "tierd.sock"))
    assert any(verdict == "failed" and "looks after" in message for verdict, message in found["daemon"])


def test_credentials_of_a_profile(bucket: Bucket, launch: Launch) -> None:
    """Those that run out say when; a profile that there is not is told by the doctor, and no daemon starts with it."""
    daemon = launch(bucket, start=False)
    keys = {"AccessKeyId": CREDENTIALS["AWS_ACCESS_KEY_ID"], "SecretAccessKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"]}
    ends = datetime.now(UTC) + timedelta(hours=2)
    said = json.dumps({"Version": 1, "SessionToken": "", "Expiration": ends.isoformat(), **keys})
    process = daemon.directory / "credentials"
    process.write_text(f"#!/bin/sh\necho '{said}'\n")
    process.chmod(0o755)
    (daemon.directory / "aws").write_text(f"[profile timed]\ncredential_process = {process}\nregion = us-east-1\n")
    for name in CREDENTIALS:
        del daemon._environment[name]
    daemon._environment["AWS_CONFIG_FILE"] = str(daemon.directory / "aws")
    daemon.set(STORE__PROFILE="timed")
    found = examined(daemon)
    told = "from the profile's credential_process; they run out in 2.0 hours, and are asked for anew then"
    assert found["credentials"] == [("ok", told)]
    assert found["store"][0][0] == "ok"
    daemon.set(STORE__PROFILE="nope")
    assert examined(daemon)["store"] == [("failed", "the store: The config profile (nope) could not be found")]
    code, log = daemon.refuse_to_start()
    assert (code, "The config profile (nope) could not be found" in log, "Traceback" in log) == (5, True, False)
