"""What the daemon says: one fact a line on stderr, as text or JSON, or as fields to systemd's journal.

File names are other people's words: control characters are escaped, so that no name can forge a line. Secrets are never
written: what looks like one, and what is known to be one, is masked.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

from daemon import request_id
from daemon.journald import JournalHandler, leads_to_journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

QUIET: Final = (
    "aiobotocore",
    "aioboto3",
    "aiohttp",
    "aiosqlite",
    "asyncio",
    "boto3",
    "botocore",
    "s3transfer",
    "urllib3",
    "watchfiles",
)
"""What our libraries say below WARNING is about them, and now and then about our credentials."""

MASK: Final = "***"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET: Final = re.compile(
    r"""(?ix)
    (?<=://)[^/\s@]+(?=@)                                        # user and password of a URL
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}                               # access key ids
    | (?<=authorization:\ )[^\r\n]+ | (?<=authorization=)[^\r\n]+
    | (?<=x-amz-signature=)[^&\s"']+ | (?<=x-amz-credential=)[^&\s"']+ | (?<=x-amz-security-token=)[^&\s"']+
    | (?<=secret_access_key=)[^&\s"']+ | (?<=session_token=)[^&\s"']+ | (?<=password=)[^&\s"']+
    """
)
_SHORTEST_SECRET: Final = 8
_SECRET_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def configure(level: str, form: str, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send what is logged to `stream` (stderr), as `text`, `json`, or `auto`.

    `auto` is fields where systemd leads the stream to its journal, text on a terminal, JSON elsewhere. `secrets`, and
    the credentials in the environment, are masked wherever they appear. Calling it again replaces what was set.
    """
    stream = stream or sys.stderr
    concealed = (*secrets, *known_secrets())
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [_handler(stream, form, concealed)]
    for handler in before:
        if isinstance(handler, JournalHandler):
            handler.close()
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def known_secrets() -> tuple[str, ...]:
    """Return the credentials in the environment."""
    return tuple(os.environ.get(name, "") for name in _SECRET_VARIABLES)


def _handler(stream: TextIO, form: str, secrets: tuple[str, ...]) -> logging.Handler:
    if form == "auto" and leads_to_journal(stream, os.environ):
        return JournalHandler(Masking(secrets))
    as_text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((TextFormatter if as_text else JsonFormatter)(secrets))
    return handler


def escape(text: str) -> str:
    """Return the text with everything that does not print as itself written as an escape: one line, no trickery."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


class Masking(logging.Formatter):
    """What all forms share: the facts of a record, without secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def _mask(self, value: object) -> str:
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _SECRET.sub(MASK, text)

    def message(self, record: logging.LogRecord) -> str:
        """Return what is said."""
        return self._mask(record.getMessage())

    def facts(self, record: logging.LogRecord) -> Iterator[tuple[str, object]]:
        """Yield what is said beside the message, by name; on whose request it is said, where that is somebody's."""
        if request := request_id.CURRENT.get():
            yield "request", request
        for name, value in vars(record).items():
            if name not in _STANDARD:
                yield name, value if isinstance(value, int | float | None) else self._mask(value)

    def trace(self, record: logging.LogRecord) -> str:
        """Return where it failed; empty where it did not."""
        return self._mask(self.formatException(record.exc_info)) if record.exc_info else ""


class TextFormatter(Masking):
    """For people: time, level, message, then `key=value` for each fact."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows, every line of it indented."""
        at = f"{_at(record):%H:%M:%S}"
        facts = [f"{name}={_quote(str(value))}" for name, value in self.facts(record)]
        line = " ".join((at, record.levelname.lower(), escape(self.message(record)), *facts))
        return "\n    ".join((line, *map(escape, self.trace(record).splitlines())))


class JsonFormatter(Masking):
    """For machines: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, object] = dict(self.facts(record)) | {
            "at": _at(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
        }
        if trace := self.trace(record):
            said["trace"] = trace
        return json.dumps(said)


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _quote(text: str) -> str:
    plain = escape(text)
    needs_quotes = not plain or plain != text or any(char in plain for char in ' "=')
    return '"' + plain.replace('"', '\\"') + '"' if needs_quotes else plain
