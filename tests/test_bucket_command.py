"""`tierd bucket` as an administrator has it, before any daemon runs: on a real server, in a bucket of its own."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from servers import CREDENTIALS

from daemon.cli import run

if TYPE_CHECKING:
    from pathlib import Path

LACKING = {"block_public_access", "transition_after"}


class Host:
    """A host whose bucket is yet to be made, and whose disk is yet to be mounted."""

    def __init__(self, directory: Path, environment: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.url = f"s3://own-{uuid.uuid4().hex[:8]}/studio"
        self._environment = environment
        self._capture = capture

    def set(self, **settings: str) -> None:
        """Change settings."""
        for key, value in settings.items():
            self._environment.setenv(f"TIERD_{key}", value)

    def command(self, *words: str) -> tuple[int, str, str]:
        """Return the exit code and what was said on stdout and stderr."""
        code = run(words)
        said = self._capture.readouterr()
        return code, said.out, said.err

    def steps(self, *words: str, code: int = 0) -> dict[str, str]:
        """Return the outcome of each rule."""
        found, out, err = self.command("bucket", *words, "--json")
        assert found == code, (out, err)
        listed: list[dict[str, Any]] = json.loads(out)["steps"]
        return {step["rule"]: step["outcome"] for step in listed}


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seaweed_endpoint: str
) -> Host:
    """One that uses SeaweedFS."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TIERD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, value in {**CREDENTIALS, "AWS_CONFIG_FILE": str(tmp_path / "aws")}.items():
        monkeypatch.setenv(name, value)
    made = Host(tmp_path, monkeypatch, capsys)
    made.set(STORE__URL=made.url, STORE__ENDPOINT=seaweed_endpoint)
    return made


def test_from_nothing_to_drift_and_back(host: Host) -> None:
    """Planned, done, unchanged; what differs later is drift, for `check` and for the doctor."""
    assert set(host.steps("setup", "--check-only").values()) == {"planned"}
    assert set(host.steps("check", code=1).values()) == {"planned"}
    first = host.steps("setup")
    assert {rule for rule, said in first.items() if said == "not supported here"} == LACKING
    assert {said for rule, said in first.items() if rule not in LACKING} == {"done"}
    host.set(BUCKET__TRANSITION_AFTER="0")
    assert set(host.steps("check").values()) == {"unchanged", "not supported here"}
    lines = host.command("bucket", "setup")[1].splitlines()
    assert [line.split("\t")[:2] for line in lines][:2] == [["bucket", "unchanged"], ["versioning", "unchanged"]]
    host.set(BUCKET__ABORT_UPLOADS_AFTER="3d")
    assert host.steps("check", code=1)["abort_uploads_after"] == "planned"
    (host.directory / "media").mkdir()
    doctor = json.loads(host.command("doctor", "--json")[1])["findings"]
    drift = [each for each in doctor if each["check"] == "bucket" and each["verdict"] != "ok"]
    told = "abort_uploads_after: uploads that nobody finished are aborted after 3 days: not so"
    assert [each["message"] for each in drift] == [told]
    assert "tierd bucket setup" in drift[0]["remedy"]


def test_what_deletes_is_asked_for(host: Host) -> None:
    """Without a terminal to ask on only --yes will do; nothing else is changed meanwhile."""
    host.set(BUCKET__EXPIRE_AFTER="3650d")
    code, out, err = host.command("bucket", "setup")
    assert (code, out) == (5, "")
    assert "one of which deletes objects" in err
    assert host.steps("check", code=1)["bucket"] == "planned"
    assert host.steps("setup", "--yes")["expire_after"] == "done"


def test_the_policy_to_paste(host: Host) -> None:
    """It is JSON, is about our objects, and allows a setup only what that needs."""
    resource = f"arn:aws:s3:::{host.url.removeprefix('s3://')}/*"
    for words, writes in ((("check", "--iam"), False), (("setup", "--iam"), True)):
        code, out, _ = host.command("bucket", *words)
        assert (code, json.loads(out)["Statement"][0]["Resource"]) == (0, [resource])
        assert ("s3:PutBucketVersioning" in out) == writes


@pytest.mark.parametrize(
    ("settings", "code", "message", "remedy"),
    [
        ({"STORE__URL": "s3://No_bucket"}, 5, "lower-case letters", "correct [store] url"),
        ({"STORE__URL": "memory://"}, 5, "is no bucket of S3", "set [store] url to s3://BUCKET/PREFIX"),
        ({"STORE__ENDPOINT": "http://127.0.0.1:9"}, 75, "Cannot connect", "is the server up"),
        ({"BUCKET__TLS_ONLY": "true"}, 78, "cannot be used", "everybody would be locked out"),
    ],
)
def test_what_cannot_be(host: Host, settings: dict[str, str], code: int, message: str, remedy: str) -> None:
    """Each in one line with its remedy: a name, a store that is no bucket, a server, wishes that make no sense."""
    host.set(**settings)
    found, out, err = host.command("bucket", "setup")
    lines = err.splitlines()
    assert (found, out, len(lines)) == (code, "", 2), err
    assert message in lines[0]
    assert remedy in lines[1]


def test_credentials_that_are_wrong(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message names where they come from."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, _, err = host.command("bucket", "check")
    assert code == 77
    assert err.splitlines() == [
        "tierd: the store: 403 SignatureDoesNotMatch",
        "  the credentials come from the environment (AWS_ACCESS_KEY_ID): renew or correct them",
    ]
