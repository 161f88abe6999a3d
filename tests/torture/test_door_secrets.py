"""Credentials are nowhere but where they belong, however loud the store is about them, and at any level of the log."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
import pytest
from door import a_door, request
from echo import Echo, Fault
from effort import scaled

from daemon.api import DESCRIPTION, ROUTES

if TYPE_CHECKING:
    from door import Door

PART = "S6 secrets stay secret"

FAULTS = (
    Fault(403, "SignatureDoesNotMatch"),
    Fault(403, "InvalidAccessKeyId"),
    Fault(400, "ExpiredToken"),
    Fault(500, "InternalError"),
    Fault(503, "SlowDown"),
    Fault(404, "NoSuchBucket"),
    Fault(409, "OperationAborted"),
    Fault(301, "PermanentRedirect"),
)
CANARIES = {
    "AWS_ACCESS_KEY_ID": f"CANARYKEY{secrets.token_hex(8)}",
    "AWS_SECRET_ACCESS_KEY": f"canary/secret+{secrets.token_urlsafe(24)}",
    "AWS_SESSION_TOKEN": f"canary/token=={secrets.token_urlsafe(40)}",
}
SIGNATURE = secrets.token_hex(32)
BEARER = f"canary-bearer-{secrets.token_urlsafe(24)}"
SIGNED = (
    f"https://x.example/a?X-Amz-Credential={CANARIES['AWS_ACCESS_KEY_ID']}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    f"&X-Amz-Security-Token={quote(CANARIES['AWS_SESSION_TOKEN'], safe='')}&X-Amz-Signature={SIGNATURE}"
)
NEVER = {*CANARIES.values(), SIGNATURE, BEARER}
FORMS = {form for secret in NEVER for form in (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1])}
COMMANDS = (
    ("doctor",),
    ("doctor", "--json"),
    ("verify",),
    ("status", "--json"),
    ("list", "--json"),
    ("explain", "loud"),
)


def hits(where: str, text: str) -> list[str]:
    """Return where a secret stands in a text, without repeating it."""
    return [f"{where}: …{text[max(0, text.index(form) - 60) : text.index(form)]}" for form in FORMS if form in text]


@pytest.mark.parametrize("form", scaled(test=["json"], quick=["text", "json"], long=["text", "json"]))
def test_no_secret_is_ever_told(form: str, moto_endpoint: str, record_property: pytest.RecordProperty) -> None:
    """A store that answers with all it knows of us: not in the log, the metrics, an answer, a command's, the index."""
    bucket = f"canary-{secrets.token_hex(4)}"
    place = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=moto_endpoint, **place).create_bucket(Bucket=bucket)
    with (
        Echo(moto_endpoint, [*CANARIES.values(), SIGNED]) as echo,
        a_door(
            credentials=CANARIES,
            STORE__URL=f"s3://{bucket}/p",
            STORE__ENDPOINT=echo.endpoint,
            STORE__REGION="us-east-1",
            TIERING__INTERVAL="1s",
            LOG__FORMAT=form,
        ) as door,
    ):
        told = dict(live(door, echo))
        told |= of_process(door)
        door.stop()
        told |= left_behind(door)
    assert echo.faults > len(FAULTS)
    assert [hit for where, text in told.items() for hit in hits(where, text)] == []
    record_property("faults", echo.faults)
    record_property("texts", len(told))


def live(door: Door, echo: Echo) -> dict[str, str]:
    """Have everything go well, then wrong in each way; return all that was answered."""
    door.drop(cold=b"cold", hot=b"hot")
    door.wait_replicated(2)
    door.client.demote(["cold"])
    told: dict[str, str] = {}
    for number in range(scaled(test=1, quick=len(FAULTS), long=len(FAULTS))):
        before, echo.fault = echo.faults, FAULTS[number]
        door.drop(**{f"loud{number}": b"loud", "loud": b"loud"})
        wait_faults(echo, before + 2)
        told |= {f"{FAULTS[number].code} {what}": text for what, text in asked(door).items()}
        echo.fault = None
    for words in scaled(test=COMMANDS[:1], quick=COMMANDS, long=COMMANDS):
        echo.fault = FAULTS[0]
        told[" ".join(words)] = door.command(*words)
    return told


def wait_faults(echo: Echo, count: int) -> None:
    """Wait until the daemon was shouted at so often."""
    deadline = time.monotonic() + 60
    while echo.faults < count:
        assert time.monotonic() < deadline, echo.faults
        time.sleep(0.05)


def asked(door: Door) -> dict[str, str]:
    """Ask everything there is about an asset that is cold, with credentials that are none of ours."""
    headers = {"Authorization": f"Bearer {BEARER}", "Cookie": BEARER}
    told: dict[str, str] = {}
    for route in (*ROUTES, DESCRIPTION):
        if route.method == "DELETE" and "assets" in route.template:
            continue
        for name in ("cold", "loud", "hot"):
            target = route.template.replace("{path}", name).replace("{id}", name)
            query = {"/v1/events": "?follow=false", "/v1/open/{path}": "?wait=1"}.get(route.template, "")
            body = (
                {"filter": {}}
                if route.template in ORDERS
                else {"timeout": 0}
                if route.template == "/v1/drain"
                else None
            )
            reply = door.ask(route.method, target + query, headers=headers, body=body)
            told[f"{route.method} {target} {reply.status}"] = f"{reply.headers} {reply.body!r}"
    for raw in (
        request("GET", f"/v1/content/none?X-Amz-Signature={SIGNATURE}", headers=headers),
        f"GET /v1/health HTTP/1.1\r\nAuthorization: {BEARER}\0\r\n\r\n".encode(),
        f"GET /v1/health HTTP/1.1\r\nAuthorization {BEARER}\r\n\r\n".encode(),
        f"GET /v1/health HTTP/1.1\r\nAuthorization: {BEARER}{'x' * 9000}\r\n\r\n".encode(),
    ):
        with door.connect() as line:
            line.sendall(raw)
            line.recv(1 << 16)  # What somebody sent himself may be repeated to him, but not to the log.
    return told


ORDERS = ("/v1/promote", "/v1/demote", "/v1/pin", "/v1/unpin", "/v1/retry")


def of_process(door: Door) -> dict[str, str]:
    """Return what everybody can see of the process."""
    return {
        what: Path(f"/proc/{door.pid}/{what}").read_text(encoding="utf-8") for what in ("cmdline", "comm", "status")
    }


def left_behind(door: Door) -> dict[str, str]:
    """Return what it wrote: the log, the index, and whatever else it keeps."""
    files = (path for path in door.directory.rglob("*") if path.is_file() and not path.is_socket())
    found = {str(path.relative_to(door.directory)): path.read_bytes().decode("latin-1") for path in files}
    assert len(found["tierd.log"]) > 1000
    return found
