"""The JSON and the queries that the HTTP contract takes, as models: what comes in is checked by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from daemon.models import Model
from daemon.target import path_of_text
from index.asset import RelPath
from index.lifecycle import State  # noqa: TC001 - pydantic resolves annotations when the program runs

Word = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=1024)]
Notes = Annotated[dict[Word, Text], Field(max_length=64)]


Size = Annotated[int, Field(ge=0, lt=2**63)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False, description="In seconds since the epoch.")]
Sort = Literal["path", "-path", "size", "-size", "mtime", "-mtime", "last_access", "-last_access"]


def _path(value: object) -> RelPath:
    if not isinstance(value, str):
        raise ValueError("a path is a string")  # noqa: TRY004 - pydantic takes ValueError for a wrong value
    return path_of_text(value)


PathText = Annotated[
    RelPath,
    PlainValidator(_path),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 12288,
            "description": "Relative path, percent-encoded like href; a % that begins no escape stands for itself, "
            "bytes that are not UTF-8 may also be the lone surrogates \\udc80 to \\udcff.",
        }
    ),
]


class Request(Model):
    """What all bodies share: a wrong type is refused, not converted."""

    model_config = ConfigDict(strict=True)


class Registration(Request):
    """What an application knows about an asset. What is left out stays as it is; what is given replaces."""

    type: Word | None = None
    fields: Notes | None = None
    tags: Notes | None = None


class Amendment(Request):
    """A merge patch (RFC 7396): what is left out stays, null removes."""

    type: Word | None = None
    fields: Annotated[dict[Word, Text | None], Field(max_length=64)] | None = None
    tags: Annotated[dict[Word, Text | None], Field(max_length=64)] | None = None


class Filter(Request):
    """Which assets: all that match everything given; empty means all."""

    state: list[Annotated[State, Field(strict=False)]] = Field(default_factory=list)
    type: str | None = None
    campaign: str | None = None
    q: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    pinned: bool | None = None
    min_size: Size | None = None
    max_size: Size | None = None
    modified_after: Moment | None = None
    modified_before: Moment | None = None
    accessed_after: Moment | None = None
    accessed_before: Moment | None = None


class Command(Request):
    """What a command is about: exactly one of `paths` and `filter`."""

    paths: Annotated[list[PathText], Field(min_length=1)] | None = None
    filter: Filter | None = None
    dry_run: bool = False
    wait: bool = True

    @model_validator(mode="after")
    def _one_selection(self) -> Command:
        if (self.paths is None) == (self.filter is None):
            raise ValueError("give exactly one of 'paths' and 'filter'")
        return self


class Presigning(Request):
    """What a URL is to be for, and for how many seconds. `max_size` and `content_type` are conditions of a POST."""

    path: PathText
    method: Literal["GET", "PUT", "POST"] = "GET"
    expires: Annotated[int, Field(ge=1, le=604_800)] = 3600
    max_size: Annotated[int, Field(ge=0, le=5 * 1024**3)] = 5 * 1024**3
    content_type: Annotated[str, Field(max_length=128)] = ""


class Retry(Command):
    """A command to try again; `overwrite` allows the upload to replace a foreign object at its key."""

    overwrite: bool = False


class Verification(Request):
    """`deep` reads every object back and compares its SHA-256."""

    deep: bool = False


class Drain(Request):
    """`wait` until everything is protected, for at most `timeout` seconds."""

    wait: bool = True
    timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


LayoutName = Literal["mirror", "creative", "episodic", "dated", "temporal"]


class Migration(Request):
    """Have remote copies follow to the keys of the layout; with `source`, those that are where that layout has them.

    `target` is for a plan (`dry_run`): what runs is the configured layout. `prune` removes superseded objects after
    that. `resume` takes up what was broken off, and nothing else is said then.
    """

    source: LayoutName | None = None
    target: LayoutName | None = None
    prune: bool = False
    dry_run: bool = False
    resume: bool = False


class Discovery(Request):
    """`sync` takes in what the index lacks, as cold assets; `foreign` also what does not say whose it is."""

    sync: bool = False
    foreign: bool = False


class Resumption(Request):
    """`confirm` must be true: the files that are missing are then taken for removed."""

    confirm: bool = False


class AssetsQuery(Filter):
    """The query of the list; `fields` and `tags` are given as `field.NAME=VALUE` and `tag.NAME=VALUE`."""

    model_config = ConfigDict(strict=False)

    sort: Sort = "path"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")] | None = None


class PathsQuery(Model):
    """What paths begin with."""

    prefix: str = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000


class ContentQuery(Model):
    """Which content: one of its digests, in hexadecimal."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class OpenQuery(Model):
    """How many seconds to wait for a cold asset."""

    wait: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 30.0


class EventsQuery(Model):
    """Where to begin, whether to go on for ever, and whether only what moves an asset is wanted."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    follow: bool = True
    moves: bool = False


class RetentionQuery(Model):
    """How many seconds ahead to look."""

    within: Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)] = 30 * 86_400.0


class NoQuery(Model):
    """Takes no parameters."""
