"""systemd's journal: fields that nobody can forge, no secrets, and no waiting for it."""

from __future__ import annotations

import io
import logging
import os
import socket
from typing import TYPE_CHECKING

import pytest

from daemon import journald
from daemon.journal import Masking, configure
from daemon.journald import LONGEST, JournalHandler, leads_to_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "a.jpg\nPRIORITY=0\n_UID=0\nMESSAGE\n\x05\0\0\0\0\0\0\0hello\n"


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """A journal that only listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        listener.settimeout(0)
        yield listener


@pytest.fixture
def log(ear: socket.socket) -> Iterator[logging.Logger]:
    """A logger that speaks to it."""
    handler = JournalHandler(Masking(["hunter2hunter2"]), address=ear.getsockname())
    logger = logging.Logger("tiering.test")  # noqa: LOG001 - nobody else shall have it
    logger.addHandler(handler)
    yield logger
    handler.close()


def heard(ear: socket.socket) -> dict[str, str]:
    """Return the fields of the next datagram, read as the journal does: a field's length decides where it ends."""
    rest = ear.recv(1 << 20)
    fields = {}
    while rest:
        name, _, rest = rest.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        fields[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        rest = rest[9 + length :]
    return fields


def test_facts_are_fields(ear: socket.socket, log: logging.Logger) -> None:
    """The level is a priority; what is said beside the message can be searched for."""
    log.warning("upload %s: %s", "refused", "a.jpg", extra={"asset": "0f", "size": 5})
    assert heard(ear) == {
        "MESSAGE": "upload refused: a.jpg",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tierd",
        "LOGGER": "tiering.test",
        "ASSET": "0f",
        "SIZE": "5",
    }


def test_nobody_forges_a_field(ear: socket.socket, log: logging.Logger) -> None:
    """Neither by a name, nor by an exception's text; what we say of the record wins over a fact of its name."""
    log.error("it failed: %s", EVIL, exc_info=(ValueError, ValueError(EVIL), None), extra={"path": EVIL, "priority": 0})
    fields = heard(ear)
    assert fields["MESSAGE"] == f"it failed: {EVIL}"
    assert fields["PATH"] == EVIL
    assert fields["PRIORITY"] == "3"
    assert set(fields) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "LOGGER", "PATH", "TRACE"}


def test_secrets_and_what_is_too_long_stay_behind(ear: socket.socket, log: logging.Logger) -> None:
    """Nor does a name that is not UTF-8 keep anything from being said."""
    log.error("said hunter2hunter2 of \udcff", extra={"content": "x" * (LONGEST + 1)})
    fields = heard(ear)
    assert fields["MESSAGE"] == "said *** of \\udcff"
    assert len(fields["CONTENT"]) == LONGEST


def test_a_full_journal_costs_lines_and_no_time(ear: socket.socket, log: logging.Logger) -> None:
    """What is lost meanwhile is counted, and said."""
    taken = 0
    for _ in range(1000):
        log.info("x" * 1000)
    while True:
        try:
            heard(ear)
        except BlockingIOError:
            break
        taken += 1
    log.info("after")
    assert 0 < taken < 1000
    assert heard(ear)["MESSAGE"] == f"the journal did not take {1000 - taken} lines"
    assert heard(ear)["MESSAGE"] == "after"


def test_where_the_journal_listens(tmp_path: Path, ear: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the variable names this very stream: one that was redirected is written to."""
    monkeypatch.setattr(journald, "SOCKET", tmp_path / "journal")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with (tmp_path / "stderr").open("w") as stream, (tmp_path / "other").open("w") as other:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert leads_to_journal(stream, os.environ)
        assert not leads_to_journal(other, os.environ)
        assert not leads_to_journal(io.StringIO(), os.environ)
        assert not leads_to_journal(stream, {})
        try:
            for form, is_native in (("auto", True), ("json", False), ("text", False)):
                configure("info", form, stream=stream)
                assert isinstance(root.handlers[0], JournalHandler) is is_native
                root.handlers[0].close()
        finally:
            root.handlers[:], root.level = before
