"""Whom the bucket tells what happens to objects of ours: a queue, or a topic that hands it on to several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.bucket import documents
from tiering.bucket.rule import TakenError, own_name, with_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiering.bucket.documents import Content

EVENTS: Final = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
_LISTS: Final = {"sqs": ("QueueConfigurations", "QueueArn"), "sns": ("TopicConfigurations", "TopicArn")}
_ALL_LISTS: Final = ("QueueConfigurations", "TopicConfigurations", "LambdaFunctionConfigurations")


@dataclass(frozen=True, slots=True)
class Notification:
    """What is put or removed under our prefix is told to a queue or a topic. `target` is its ARN, or None."""

    prefix: str
    target: str | None

    name = "notify_to"
    document = documents.NOTIFICATION
    tried = False

    @property
    def wished(self) -> bool:
        """See Rule."""
        return self.target is not None

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"what is put or removed under our prefix is told to {self.target}"

    def amended(self, found: Content) -> Content:
        """See Rule. Raise TakenError where somebody else is told already: the store tells only one."""
        own = own_name(self.name, self.prefix)
        place, argument = _LISTS[self.target.split(":")[2]] if self.target else ("", "")
        if self.target:
            self._check_others(found, own)
        amended = {name: value for name, value in found.items() if name not in _ALL_LISTS}
        for name in _ALL_LISTS:
            wanted = self._wanted(own, argument) if name == place else None
            present = found.get(name, [])
            is_there = wanted is not None and any(_essence(each) == _essence(wanted) for each in present)
            entries = present if is_there else with_ours(present, own, wanted, key="Id")
            amended |= {name: entries} if entries else {}
        return amended

    def _wanted(self, own: str, argument: str) -> Content:
        scope = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": self.prefix}]}}} if self.prefix else {}
        return {"Id": own, argument: self.target, "Events": list(EVENTS), **scope}

    def _check_others(self, found: Content, own: str) -> None:
        for each in told_of(found, self.prefix):
            if each.get("Id") != own:
                raise TakenError(
                    f"{receiver(each)} is told already of what lies under our prefix (by {each.get('Id', 'a rule')!r}),"
                    " and the store tells only one: have a topic there, which hands it on to both"
                )


def told_of(found: Content, prefix: str) -> Iterator[Content]:
    """Yield the entries of a document by which anything under a prefix is told: what is put, or what is removed."""
    for name in _ALL_LISTS:
        for each in found.get(name, ()):
            theirs = _scope(each).get("prefix", "")
            is_near = theirs.startswith(prefix) or prefix.startswith(theirs)
            if is_near and any(event.split(":")[1] in {"ObjectCreated", "ObjectRemoved"} for event in each["Events"]):
                yield each


def receiver(entry: Content) -> str:
    """Return the ARN of who is told."""
    return next((str(entry[name]) for name in ("QueueArn", "TopicArn", "LambdaFunctionArn") if name in entry), "")


def _scope(entry: Content) -> Content:
    """Return what keys must begin and end with, by its name, which servers write as they like."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    return {rule["Name"].lower(): rule["Value"] for rule in rules if rule["Value"]}


def _essence(entry: Content) -> Content:
    return {**entry, "Filter": _scope(entry), "Events": sorted(entry["Events"])}
