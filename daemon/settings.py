"""Every key of `config.toml`: its type and its default. Frozen, one class a table."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from daemon import fields
from daemon.units import format_duration, format_size
from tiering.describer import PathRule
from tiering.layouts import Rule, own
from tiering.template import Template, TemplateError
from tiering.vocabulary import MeaningError, checked

MIB: Final = 1024**2
LARGEST_PIECE: Final = 256 * MIB
"""What is sent as one piece is held in memory as one piece."""


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


class Cache(Section):
    """The hot tier."""

    root: fields.Located = Path("./media")
    size_limit: Annotated[fields.Size, Field(gt=0)] | None = None
    high_watermark: Annotated[fields.Share, Field(gt=0, le=1)] = 0.90
    low_watermark: Annotated[fields.Share, Field(gt=0, le=1)] = 0.80
    ignore: fields.Patterns = (".*", "*.part", "*.tmp", "*.tierd.json", "lost+found")


class Index(Section):
    """What tierd believes."""

    path: fields.Located = Path("./var/index.db")


class Store(Section):
    """The cold tier. A `file:` URL has its path made absolute."""

    url: fields.StoreUrl = "file:./var/cold"
    mode: Literal["local", "hybrid", "s3"] = "s3"
    percent: Annotated[fields.Share, Field(ge=0, le=100)] | None = None
    provider: Literal["aws", "oci", "minio", "gcp", "azure", "custom", "local"] | None = None
    endpoint: fields.Endpoint | None = None
    region: fields.Text | None = None
    profile: fields.Text | None = None
    addressing_style: Literal["auto", "path", "virtual"] | None = None
    storage_class: fields.Text | None = None
    class_rules: fields.ClassRules = ()
    encryption: fields.Text | None = None
    restore: Literal["Standard", "Bulk", "Expedited"] | None = None
    restore_days: Annotated[fields.Whole, Field(ge=1, le=365)] = 7
    look_every: fields.Duration = timedelta(hours=1)
    events_queue: fields.QueueUrl | None = None

    @property
    def scheme(self) -> str:
        """What the URL begins with: `file`, `s3`, `gs`, `az` or `memory`."""
        return self.url.partition(":")[0]

    @property
    def directory(self) -> Path | None:
        """Where a `file:` store lies; None for any other."""
        return Path(self.url.removeprefix("file://")) if self.scheme == "file" else None


class Bucket(Section):
    """What `tierd bucket setup` makes of the store's bucket. Nothing here changes a bucket by itself."""

    versioning: fields.Flag = True
    encryption: fields.Text = "AES256"
    block_public_access: fields.Flag = True
    abort_uploads_after: fields.Days = timedelta(days=7)
    transition_after: fields.Days = timedelta(days=90)
    transition_class: Literal[
        "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"
    ] = "GLACIER_IR"
    expire_after: fields.Days = timedelta()
    expire_versions_after: fields.Days = timedelta()
    cors_origins: fields.Origins = ()
    log_bucket: fields.Text | None = None
    tags: fields.Tags = ()
    accelerate: fields.Flag = False
    replicate_to: fields.Text | None = None
    replication_role: fields.Text | None = None
    notify_to: fields.Notified | None = None
    tls_only: fields.Flag = False


class Cdn(Section):
    """The content delivery network before the bucket."""

    distribution: fields.Text | None = None
    invalidate: fields.Names = ()
    public_url: fields.PublicUrl | None = None
    key_pair: fields.Text | None = None
    key_file: fields.Located | None = None
    signed_for: Annotated[
        fields.Duration, fields.between(timedelta(minutes=1), timedelta(days=365), say=format_duration)
    ] = timedelta(days=1)


class LayoutRule(Section):
    """Where the assets of a type lie: all of them, or `where` these fields have these values."""

    type: fields.Text
    where: dict[str, str] = Field(default_factory=dict)
    key: fields.Text

    def rule(self) -> Rule:
        """Return the rule. Raise TemplateError where the key is no template."""
        return Rule(self.type, Template(self.key), self.where)


def _make_a_layout(rules: tuple[LayoutRule, ...] | None) -> tuple[LayoutRule, ...] | None:
    try:
        if rules is not None:
            own([rule.rule() for rule in rules])
    except TemplateError as error:
        raise fields.wrong(f"should make a layout: {error}") from None
    return rules


class Layout(Section):
    """How metadata become an object key."""

    name: Literal["mirror", "creative", "episodic", "dated", "temporal"] = "mirror"
    rules: Annotated[tuple[LayoutRule, ...] | None, fields.Tables, AfterValidator(_make_a_layout)] = None


class MetadataRule(Section):
    """What files are whose path is as this template renders it."""

    type: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1)]
    fields: dict[str, str] = Field(default_factory=dict)

    def rule(self) -> PathRule:
        """Return the rule. Raise TemplateError or MeaningError where the path, or a field, makes no sense."""
        return PathRule(self.type, Template(self.path), checked(self.type, self.fields))


def _read_paths(rules: tuple[MetadataRule, ...] | None) -> tuple[MetadataRule, ...] | None:
    try:
        for rule in rules or ():
            rule.rule()
    except (TemplateError, MeaningError) as error:
        raise fields.wrong(f"should parse paths: {error}") from None
    return rules


class Metadata(Section):
    """What files are of which no application says so."""

    rules: Annotated[tuple[MetadataRule, ...] | None, fields.Tables, AfterValidator(_read_paths)] = None


class Tiering(Section):
    """What moves, and when."""

    policy: Literal["heat", "lru", "age"] = "heat"
    preset: Literal["requests", "balanced", "bytes"] = "balanced"
    admission: Literal["off", "cut"] = "off"
    rules: fields.Rules = ()
    cold_after: fields.Duration = timedelta(days=30)
    cool_down: fields.Duration = timedelta(minutes=10)
    min_residence: fields.Duration = timedelta(minutes=10)
    interval: Annotated[
        fields.Duration, fields.between(timedelta(seconds=1), timedelta(days=1), say=format_duration)
    ] = timedelta(minutes=1)


class Retention(Section):
    """What goes from the store because it is old. Nothing, unless a rule says so."""

    rules: fields.RetentionRules = ()
    grace: fields.Duration = timedelta(days=7)


class Upload(Section):
    """How files travel to the store. `bandwidth` is in bytes per second."""

    concurrency: Annotated[fields.Whole, Field(ge=1, le=256)] = 32
    part_size: Annotated[fields.Size, fields.between(5 * MIB, LARGEST_PIECE, say=format_size)] = 16 * MIB
    multipart_above: Annotated[fields.Size, fields.between(1, LARGEST_PIECE, say=format_size)] = 64 * MIB
    bandwidth: Annotated[fields.Size, Field(gt=0)] | None = None
    settle: fields.Duration = timedelta(seconds=2)


class Api(Section):
    """The unix socket, and who may do what on it: names of users, and of groups with `@` before them."""

    socket: fields.Located = Path("./var/tierd.sock")
    mode: fields.Mode = 0o660
    group: fields.Text | None = None
    read: fields.Names | None = None
    write: fields.Names | None = None
    admin: fields.Names | None = None
    presign: fields.Names | None = None
    presign_longest: Annotated[
        fields.Duration, fields.between(timedelta(seconds=1), timedelta(days=7), say=format_duration)
    ] = timedelta(days=1)


class Metrics(Section):
    """Where Prometheus scrapes, besides the socket. None: nowhere."""

    listen: fields.Listen = fields.Address("127.0.0.1", 9469)


class Ui(Section):
    """Where the page is, besides `tierd ui`. None: nowhere."""

    listen: fields.Loopback = None


Price = Annotated[fields.Share, Field(ge=0, allow_inf_nan=False)]


class Prices(Section):
    """What the store and the disk cost."""

    standard: Price = 0.023
    intelligent_tiering: Price = 0.023
    standard_ia: Price = 0.0125
    onezone_ia: Price = 0.01
    glacier_ir: Price = 0.004
    glacier: Price = 0.0036
    deep_archive: Price = 0.00099
    put: Price = 0.005
    get: Price = 0.0004
    egress: Price = 0.09
    disk: Price = 0.08


class Log(Section):
    """What is said on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Settings(Section):
    """Everything that can be configured. Relative paths are made absolute against the validation context."""

    cache: Cache
    index: Index
    store: Store
    bucket: Bucket
    cdn: Cdn
    layout: Layout
    metadata: Metadata
    tiering: Tiering
    retention: Retention
    upload: Upload
    api: Api
    metrics: Metrics
    ui: Ui
    prices: Prices
    log: Log

    @model_validator(mode="before")
    @classmethod
    def _name_all(cls, tables: dict[str, Any]) -> dict[str, Any]:
        """A table that is left out is an empty one: its defaults are resolved like what is written."""
        return {name: {} for name in cls.model_fields} | tables

    @classmethod
    def tables(cls) -> dict[str, type[Section]]:
        """Return the tables by name."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}
