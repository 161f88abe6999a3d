"""What a value in the configuration may look like: one type a kind of value.

Paths are made absolute while they are read, against the directory given as validation context; whoever compares them
later compares what they mean. A validator's message completes the sentence "the value …".
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from daemon.sources import Override, resolve
from daemon.units import format_duration, format_size, parse_duration, parse_size
from tiering import retention, rules
from tiering.classes import ClassRule

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIALS: Final = "credentials"
"""The type of the error whose value must not be shown."""
NO_CREDENTIALS: Final = (
    "should carry no credentials: they come from the standard AWS chain (AWS_PROFILE, ~/.aws/credentials, instance "
    "role) or systemd LoadCredential"
)
_MOST_DAYS: Final = 36_500
_SCHEMES: Final = "should be file:PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory://"
_BUCKETS: Final = {
    "s3": ("BUCKET", re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")),
    "gs": ("BUCKET", re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")),
    "az": ("CONTAINER", re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")),
}
"""What is called how where the URL begins so, and which names there can be."""

T = TypeVar("T", int, timedelta)


class Address(NamedTuple):
    """Where to listen on TCP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def wrong(right: str, kind: str = "value") -> PydanticCustomError:
    """Return the error that says what the value should be."""
    return PydanticCustomError(kind, "{right}", {"right": right})


def between(low: T, high: T, *, say: Callable[[T], str]) -> AfterValidator:
    """Return a validator that lets pass what is not below `low` and not above `high`."""

    def check(value: T) -> T:
        if not low <= value <= high:
            raise wrong(f"should be at least {say(low)} and at most {say(high)}")
        return value

    return AfterValidator(check)


def _from_text(parse: Callable[[str], object]) -> BeforeValidator:
    """Read numbers out of the environment; the type itself refuses what is none, and a quoted number in the file."""

    def read(value: object) -> object:
        if not isinstance(value, Override):
            return value
        try:
            return parse(value)
        except (ValueError, KeyError):
            return value

    return BeforeValidator(read)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if value == 0 and not isinstance(value, bool):
        return timedelta()
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong("should be a whole number with ms, s, m, h, d or w, as in '30d'") from None


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return parse_size(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong("should be a number with B, KiB, MiB, GiB or TiB, as in '140 GiB'") from None


def _mode(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:  # noqa: PLR2004 - all bits
        return value
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        return int(value, 8)
    raise wrong("should be permission bits in octal, as in '0660'")


def _names(value: object) -> object:
    if isinstance(value, Override):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise wrong("should be a list of names, as in ['a', 'b'] (in the environment: a,b)")
    return tuple(str(name) for name in value)


def _patterns(names: tuple[str, ...]) -> tuple[str, ...]:
    if any("/" in name for name in names):
        raise wrong("should hold patterns of one name, without '/': what lies beneath an ignored directory is ignored")
    return names


def _address(value: object) -> Address | None:
    if value is None or isinstance(value, Address) or value == "":
        return value or None  # type: ignore[return-value]
    found = re.fullmatch(
        r"(?:\[([0-9A-Fa-f:]+)\]|([^:\[\]/\s]+)):([0-9]{1,5})", value if isinstance(value, str) else ""
    )
    if found is None or int(found[3]) > 65535:  # noqa: PLR2004 - the largest port
        raise wrong("should be HOST:PORT, as in '127.0.0.1:9469', or '' for nowhere")
    return Address(found[1] or found[2], int(found[3]))


def _loopback(value: object) -> Address | None:
    address = _address(value)
    if address is not None and not _is_loopback(address.host):
        raise wrong("should be an address of this host alone, as in '127.0.0.1:9470', or '' for nowhere")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _base(info: ValidationInfo) -> Path:
    return info.context if isinstance(info.context, Path) else Path.cwd()


def _located(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise wrong("should be a path")
    return resolve(_base(info), value)


def _store_url(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise wrong(_SCHEMES)
    scheme, _, rest = value.partition(":")
    if scheme == "file":
        return _file_url(rest, _base(info))
    if scheme in _BUCKETS:
        return _bucket_url(scheme, value)
    if scheme == "memory" and rest in {"//", "///"}:
        return "memory://"
    raise wrong(_SCHEMES)


def _file_url(rest: str, base: Path) -> str:
    if rest.startswith("//") and not rest.startswith(("///", "//./", "//../")):
        raise wrong("should be file:PATH or file:///PATH: what follows file:// would be the name of a host")
    path = re.sub(r"^//(?=[./])", "", rest)
    if not path:
        raise wrong("should name a directory, as in 'file:./var/cold'")
    return f"file://{resolve(base, path)}"


def _bucket_url(scheme: str, value: str) -> str:
    kind, names = _BUCKETS[scheme]
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise wrong(NO_CREDENTIALS, CREDENTIALS)
    prefix = parts.path.strip("/")
    if not names.fullmatch(parts.netloc) or parts.query or parts.fragment or not value.isprintable():
        raise wrong(
            f"should be {scheme}://{kind}/PREFIX, with the name of a {kind.lower()} and nothing after the prefix"
        )
    if any(part in {"", ".", ".."} for part in prefix.split("/")) and prefix:
        raise wrong("should have a prefix without '//', '.' and '..' in it")
    return f"{scheme}://{parts.netloc}/{prefix}".rstrip("/")


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise wrong(NO_CREDENTIALS, CREDENTIALS)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise wrong("should be http://HOST:PORT or https://HOST:PORT")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        raise wrong("should be a URL without a query, as in https://media.example.com")
    return value.rstrip("/")


def _queue_url(value: str) -> str:
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise wrong(NO_CREDENTIALS, CREDENTIALS)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.path.strip("/") or parts.query:
        raise wrong("should be the URL of a queue, as in https://sqs.eu-central-1.amazonaws.com/123456789012/media")
    return value


def _notified(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:(?:sqs|sns):[a-z0-9-]+:\d+:[\w.-]+", value, re.ASCII):
        raise wrong("should be the ARN of a queue or a topic, as in arn:aws:sqs:eu-central-1:123456789012:media")
    return value


def _tables(value: object) -> tuple[object, ...] | None:
    if isinstance(value, Override):
        try:
            value = json.loads(value)
        except ValueError:
            raise wrong("should be a list of tables, as JSON in the environment") from None
    if value is not None and not (isinstance(value, list | tuple) and all(isinstance(each, dict) for each in value)):
        raise wrong("should be a list of tables")
    return None if value is None else tuple(value)


def _days(value: timedelta) -> timedelta:
    if value % timedelta(days=1) or value > timedelta(days=_MOST_DAYS):
        raise wrong("should be whole days, as in '90d', or 0 for never")
    return value


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _tags(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(not name.partition("=")[0] or "=" not in name for name in names):
        raise wrong("should be a list of NAME=VALUE, as in ['team=media']")
    return names


def _origins(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(not re.fullmatch(r"https?://[^/\s?#@]+|\*", name) for name in names):
        raise wrong("should be a list of origins, as in ['https://app.example'], without a path")
    return names


_CLASS_RULE: Final = re.compile(r"([A-Z][A-Z_0-9]*)((?: +(?:type|above|after)=\S+)*)")


def class_rule(text: str) -> ClassRule:
    """Return the rule that a text like `GLACIER_IR type=video/ above=1GiB` means. Raise ValueError where it is none."""
    found = _CLASS_RULE.fullmatch(text.strip())
    said = dict(word.split("=", 1) for word in found[2].split()) if found else {}
    if found is None or len(said) != len(found[2].split()):
        raise ValueError(text)
    above = parse_size(said["above"]) if "above" in said else 0
    after = parse_duration(said["after"]).total_seconds() if "after" in said else 0.0
    return ClassRule(found[1], said.get("type", ""), above, after)


def _rules_above(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            rules.rule(text)
        except ValueError:
            raise wrong(rules.RIGHT) from None
    return texts


def _retention_rules(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            retention.rule(text)
        except ValueError:
            raise wrong(retention.RIGHT) from None
    return texts


def _class_rules(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            class_rule(text)
        except ValueError:
            right = "should be a list of rules, as in ['GLACIER_IR type=video/ above=1GiB', 'STANDARD_IA after=30d']"
            raise wrong(right) from None
    return texts


Whole = Annotated[int, _from_text(int)]
Flag = Annotated[bool, _from_text(_truth)]
Share = Annotated[float, _from_text(float)]
Text = Annotated[str, Field(min_length=1)]


def _octal(mode: int) -> str:
    return f"{mode:04o}"


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
Days = Annotated[Duration, AfterValidator(_days)]
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(format_size)]
Mode = Annotated[int, BeforeValidator(_mode), PlainSerializer(_octal)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Rules = Annotated[Names, AfterValidator(_rules_above)]
RetentionRules = Annotated[Names, AfterValidator(_retention_rules)]
ClassRules = Annotated[Names, AfterValidator(_class_rules)]
Tags = Annotated[Names, AfterValidator(_tags)]
Origins = Annotated[Names, AfterValidator(_origins)]
Patterns = Annotated[Names, AfterValidator(_patterns)]
Listen = Annotated[Address | None, BeforeValidator(_address), PlainSerializer(lambda address: str(address or ""))]
Loopback = Annotated[Address | None, BeforeValidator(_loopback), PlainSerializer(lambda address: str(address or ""))]
Located = Annotated[Path, BeforeValidator(_located), PlainSerializer(os.fspath)]
StoreUrl = Annotated[str, BeforeValidator(_store_url)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Notified = Annotated[str, AfterValidator(_notified)]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
Tables = BeforeValidator(_tables)
"""Reads a list of tables out of the environment."""
