"""What a store's event notifications say, read from the bodies of messages. Pure.

S3 sends them to a queue itself, by way of a topic (SNS), or by EventBridge: three envelopes, one meaning. Keys come
percent-encoded from S3, and as they are from EventBridge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DETAILS: Final = {"Object Created": "put", "Object Deleted": "removed"}
_KINDS: Final = (
    ("ObjectCreated:", "put"),
    ("ObjectRemoved:", "removed"),
    # What the bucket's own rules delete is gone as well; what a marker covers is, too.
    ("LifecycleExpiration:", "removed"),
)
_SEQUENCER_DIGITS: Final = 64


class MalformedError(Exception):
    """A message that no store of this kind sends."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What happened to one object: `kind` is `put`, `removed` or `other`; `key` is the whole one.

    `order` compares bulletins about one key; "" where the store does not say.
    """

    bucket: str
    key: str
    kind: str
    etag: str = ""
    size: int = 0
    order: str = ""


def read(body: str) -> list[Bulletin]:
    """Return what a message tells of, nothing for the test that S3 sends first. Raise MalformedError."""
    try:
        return _read(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedError(f"no notification of a store: {type(error).__name__}") from error


def latest(bulletins: Iterable[Bulletin]) -> list[Bulletin]:
    """Return the last about each key. Where the store does not say which that is, the last that came."""
    last: dict[str, Bulletin] = {}
    for each in bulletins:
        known = last.get(each.key)
        if known is None or each.order >= known.order or not each.order:
            last[each.key] = each
    return [*last.values()]


def _read(message: dict[str, Any]) -> list[Bulletin]:
    if message.get("Type") == "Notification" and "TopicArn" in message:
        message = json.loads(message["Message"])
    if message.get("Event") == "s3:TestEvent":
        return []
    if "detail-type" in message:
        return [_from_event_bridge(message)]
    return [_from_s3(record) for record in message["Records"]]


def _from_event_bridge(message: Mapping[str, Any]) -> Bulletin:
    said = message["detail"]["object"]
    return Bulletin(
        bucket=_text(message["detail"]["bucket"]["name"]),
        key=_text(said["key"]),
        kind=_DETAILS.get(message["detail-type"], "other"),
        etag=_text(said.get("etag", "")),
        size=int(said.get("size", 0)),
        order=_order(said),
    )


def _from_s3(record: Mapping[str, Any]) -> Bulletin:
    said = record["s3"]["object"]
    name = _text(record["eventName"]).removeprefix("s3:")
    return Bulletin(
        bucket=_text(record["s3"]["bucket"]["name"]),
        key=unquote_plus(_text(said["key"]), errors="surrogateescape"),
        kind=next((kind for begin, kind in _KINDS if name.startswith(begin)), "other"),
        etag=_text(said.get("eTag", "")),
        size=int(said.get("size", 0)),
        order=_order(said),
    )


def _order(said: Mapping[str, Any]) -> str:
    # Hexadecimal, and compared as text of one length.
    return _text(said.get("sequencer", "")).upper().zfill(_SEQUENCER_DIGITS) if said.get("sequencer") else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
