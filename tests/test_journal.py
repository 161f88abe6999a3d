"""The journal: one fact a line, whatever a file is called, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import journal, request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIL = "a.jpg\n2026 info all is well\r\x1b[2J\u202e\x00\u2028b"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Give logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def say(form: str, message: str, *args: object, **facts: object) -> str:
    """Log once and return what was written."""
    stream = io.StringIO()
    journal.configure("info", form, secrets=["hunter2hunter2", ""], stream=stream)
    logging.getLogger("tiering.test").info(message, *args, extra=facts)
    return stream.getvalue()


def test_what_is_said_on_a_request_has_its_name() -> None:
    """As a fact, in every form; what nobody asked for has none."""
    assert "request" not in json.loads(say("json", "hello"))
    reset = request_id.CURRENT.set("shop-7")
    try:
        assert json.loads(say("json", "hello", asset="a"))["request"] == "shop-7"
        assert say("text", "hello").endswith(" info hello request=shop-7\n")
    finally:
        request_id.CURRENT.reset(reset)


def test_text_says_facts_as_key_and_value() -> None:
    """Time, level, message, then the facts; quoted only where that is needed."""
    line = say("text", "uploaded", path="a b.jpg", size=5, note='a"=b')
    assert line.partition(" ")[2] == 'info uploaded path="a b.jpg" size=5 note="a\\"=b"\n'


def test_json_says_facts_as_fields() -> None:
    """One object a line; what we say about the record wins over a fact of the same name."""
    found = json.loads(say("json", "uploaded %s", "x", path="a", size=5, at="never"))
    assert {name: found[name] for name in ("level", "logger", "message", "path", "size")} == {
        "level": "info",
        "logger": "tiering.test",
        "message": "uploaded x",
        "path": "a",
        "size": 5,
    }
    assert found["at"] != "never"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_name_forges_a_line(form: str) -> None:
    """Control characters, line separators and direction marks never reach the journal as they are."""
    written = say(form, f"uploaded {EVIL}", path=EVIL)
    assert written.endswith("\n")
    assert written[:-1].isprintable()


@given(st.text())
def test_escaped_text_is_one_line(text: str) -> None:
    """Whatever is escaped prints as itself, and printable text stays as it is."""
    escaped = journal.escape(text)
    assert escaped.isprintable()
    assert len(escaped.splitlines()) <= 1
    assert not text.isprintable() or escaped == text


def test_names_that_are_not_utf8() -> None:
    """A surrogate escape is written as an escape: writing the journal never fails."""
    assert "\\udcff" in say("text", "seen", path="\udcff")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "secret",
    [
        "https://user:PASS@host/x",
        "AKIAIOSFODNN7PASS123",
        "ASIAIOSFODNN7PASS123",
        "Authorization: AWS4-HMAC-SHA256 Credential=PASS",
        "https://h/k?X-Amz-Credential=PASS&X-Amz-Signature=PASS&X-Amz-Security-Token=PASS",
        "aws_secret_access_key=PASS",
        "hunter2hunter2PASS".removesuffix("PASS"),
    ],
)
def test_secrets_are_masked(form: str, secret: str) -> None:
    """In the message, in a fact, or in a traceback: what is or looks like a secret is not written."""
    stream = io.StringIO()
    journal.configure("info", form, secrets=["hunter2hunter2"], stream=stream)
    failure = (ValueError, ValueError(secret), None)
    logging.getLogger("x").error("it failed: %s", secret, exc_info=failure, extra={"url": secret})
    written = stream.getvalue()
    assert written.count("***") >= 3
    assert "PASS" not in written
    assert "hunter2" not in written


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_credentials_of_the_environment_are_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever library writes them, and however it does."""
    monkeypatch.setenv(name, "wJalrXUtnFEMI/K7MDENG")
    stream = io.StringIO()
    journal.configure("info", "text", stream=stream)
    logging.getLogger("urllib3").warning("sent [%r]", {"key": "wJalrXUtnFEMI/K7MDENG"})
    assert "sent" in stream.getvalue()
    assert "wJalr" not in stream.getvalue()


def test_tracebacks_stay_indented() -> None:
    """A traceback follows its line; nothing in an exception's text begins a line of its own."""
    stream = io.StringIO()
    journal.configure("info", "text", stream=stream)
    logging.getLogger("x").error("it failed", exc_info=(ValueError, ValueError(EVIL), None))
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("error it failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    """People read terminals, programs read the rest."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            """It is one."""
            return True

    for stream, begins in ((Terminal(), ""), (io.StringIO(), "{")):
        journal.configure("info", "auto", stream=stream)
        logging.getLogger("x").info("hello")
        assert stream.getvalue().startswith(begins)
        assert stream.getvalue().startswith("{") == bool(begins)


def test_libraries_are_quiet_whatever_the_level() -> None:
    """At debug, botocore would write requests with their signatures."""
    stream = io.StringIO()
    journal.configure("debug", "text", stream=stream)
    for name in ("botocore.auth", "aiohttp.access", "urllib3.connectionpool", "boto3", "aiobotocore"):
        logging.getLogger(name).info("secret")
    logging.getLogger("tiering").debug("shown")
    assert "secret" not in stream.getvalue()
    assert "shown" in stream.getvalue()


def test_configuring_again_replaces() -> None:
    """After a reload nothing is said twice."""
    first, second = io.StringIO(), io.StringIO()
    journal.configure("info", "text", stream=first)
    journal.configure("error", "text", stream=second)
    logging.getLogger("x").warning("hello")
    logging.getLogger("x").error("bad")
    assert first.getvalue() == ""
    assert "bad" in second.getvalue()
    assert "hello" not in second.getvalue()
