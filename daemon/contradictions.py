"""What no single value shows: keys that contradict each other, and places that are not what the configuration says.

Each rule is a function from the settings to the problem it finds, if any. Paths are compared with their symbolic links
followed: two names of one directory are one directory.
"""

from __future__ import annotations

import os
import pwd
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from daemon.accounts import group_id, user_id
from daemon.fields import class_rule
from tiering.bucket.wishes import ARCHIVED
from tiering.rules import conflicts, rule
from tiering.store import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daemon.settings import Settings

SOCKET_PATH_BYTES: Final = 107
"""What fits into sockaddr_un with its closing zero."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Keys that do not go together: the first is to be changed, the others say why."""

    keys: tuple[str, ...]
    wrong: str
    right: str


def find_contradictions(settings: Settings) -> Iterator[Contradiction]:
    """Yield everything in the settings that contradicts itself or the machine."""
    yield from _watermarks(settings)
    yield from _admission(settings)
    yield from _rules(settings)
    yield from _places(settings)
    yield from _provider(settings)
    yield from _queue(settings)
    yield from _cdn(settings)
    yield from _signed_urls(settings)
    yield from _rollout(settings)
    yield from _only_s3(settings)
    yield from _classes(settings)
    yield from _bucket_rules(settings)
    yield from _layout(settings)
    yield from _aws(settings)
    yield from _socket(settings)
    yield from _ports(settings)
    yield from _peers(settings)
    yield from _root(settings.cache.root)
    yield from _store_directory(settings)
    yield from _file_to_write("index.path", settings.index.path)
    yield from _file_to_write("api.socket", settings.api.socket)


def _watermarks(settings: Settings) -> Iterator[Contradiction]:
    low, high = settings.cache.low_watermark, settings.cache.high_watermark
    if low >= high:
        yield Contradiction(
            ("cache.low_watermark", "cache.high_watermark"),
            f"{low} is not below high_watermark ({high})",
            "demotion starts at the high one and stops at the low one: choose a lower low_watermark",
        )


def _admission(settings: Settings) -> Iterator[Contradiction]:
    tiering = settings.tiering
    if tiering.admission == "cut" and tiering.policy != "heat":
        yield Contradiction(
            ("tiering.admission", "tiering.policy"),
            f"'cut' compares heat, and policy is '{tiering.policy}'",
            "leave admission 'off', or choose policy = 'heat'",
        )


def _rules(settings: Settings) -> Iterator[Contradiction]:
    for one, other in conflicts([rule(text) for text in settings.tiering.rules]):
        yield Contradiction(
            ("tiering.rules",),
            f"'{one.text}' and '{other.text}' are about the same assets and cannot both hold",
            "leave one of them out",
        )


def _places(settings: Settings) -> Iterator[Contradiction]:
    root, catalog, store = settings.cache.root, settings.index.path, settings.store.directory
    if _is_within(catalog, root):
        yield Contradiction(
            ("index.path", "cache.root"),
            f"{catalog} lies inside the cache root ({root})",
            "put the index elsewhere: it would be taken for an asset",
        )
    if store is None:
        return
    if _is_within(store, root):
        yield Contradiction(
            ("store.url", "cache.root"),
            f"{store} lies inside the cache root ({root})",
            "put the store elsewhere: its objects would be taken for assets",
        )
    elif _is_within(root, store):
        yield Contradiction(
            ("cache.root", "store.url"),
            f"{root} lies inside the store ({store})",
            "put the cache root elsewhere: assets would be taken for objects",
        )
    if _is_within(catalog, store):
        yield Contradiction(
            ("index.path", "store.url"),
            f"{catalog} lies inside the store ({store})",
            "put the index elsewhere: it would be taken for an object",
        )


_PROVIDERS: Final = {
    "file": {"local"},
    "s3": {"aws", "oci", "minio", "custom"},
    "gs": {"gcp"},
    "az": {"azure"},
    "memory": {"local", "custom"},
}
_NOT_AMAZON: Final = ("oci", "minio", "custom")
_ONLY_S3: Final = ("region", "profile", "addressing_style", "encryption", "restore")
_CLASSES: Final = {
    "gs": ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
    "az": ("HOT", "COOL", "COLD"),
}
"""The storage classes that can be read at once, where S3's are not those there are."""


def _provider(settings: Settings) -> Iterator[Contradiction]:
    store = settings.store
    if store.provider is not None and store.provider not in _PROVIDERS[store.scheme]:
        yield Contradiction(
            ("store.provider", "store.url"),
            f"'{store.provider}' does not serve {store.scheme}: URLs ({store.url})",
            "leave provider out, it follows from the URL, or change the URL",
        )
    if store.provider in _NOT_AMAZON and store.scheme == "s3" and not _endpoint(settings):
        yield Contradiction(
            ("store.provider", "store.endpoint"),
            f"'{store.provider}' has no endpoint of its own, and without one it would be Amazon's",
            "name the endpoint of the service, as in 'http://127.0.0.1:9000'",
        )
    if store.provider == "aws" and store.endpoint and not _is_amazons(store.endpoint):
        yield Contradiction(
            ("store.provider", "store.endpoint"),
            f"{store.endpoint} is not Amazon's",
            "set provider = 'custom', or leave the endpoint out",
        )


def _endpoint(settings: Settings) -> str | None:
    return settings.store.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _is_amazons(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _only_s3(settings: Settings) -> Iterator[Contradiction]:
    store = settings.store
    for key in _ONLY_S3 if store.scheme in _CLASSES else ():
        if getattr(store, key) is not None:
            yield Contradiction(
                (f"store.{key}", "store.url"),
                f"only s3:// stores have it ({store.url})",
                "leave it out",
            )


def _queue(settings: Settings) -> Iterator[Contradiction]:
    store = settings.store
    if store.events_queue is not None and store.scheme != "s3":
        yield Contradiction(
            ("store.events_queue", "store.url"),
            f"only a bucket sends notifications, and the store is {store.url}",
            "leave events_queue out, or name an s3:// store",
        )


def _cdn(settings: Settings) -> Iterator[Contradiction]:
    cdn, store = settings.cdn, settings.store
    if cdn.distribution is not None and store.scheme != "s3":
        yield Contradiction(
            ("cdn.distribution", "store.url"),
            f"CloudFront reads from a bucket, and the store is {store.url}",
            "leave distribution out, or name an s3:// store",
        )
    if (cdn.distribution is None) != (not cdn.invalidate):
        yield Contradiction(
            ("cdn.distribution", "cdn.invalidate"),
            "one is set, and the other is not: nothing would be invalidated",
            "name the distribution and what keys begin with, as in invalidate = ['posters/', 'shots/*'], or neither",
        )


def _signed_urls(settings: Settings) -> Iterator[Contradiction]:
    cdn = settings.cdn
    if (cdn.key_pair is None) != (cdn.key_file is None):
        yield Contradiction(
            ("cdn.key_pair", "cdn.key_file"),
            "one is set, and the other is not: no URL can be signed",
            "set the id that CloudFront gave the public key and the file of the private one, or neither",
        )
    if cdn.key_pair is not None and cdn.public_url is None:
        yield Contradiction(
            ("cdn.key_pair", "cdn.public_url"),
            "there are no URLs to sign",
            "set public_url to what CloudFront's viewers ask for, as in 'https://d111111abcdef8.cloudfront.net'",
        )
    elif cdn.key_file is not None:
        yield from _key(cdn.key_file)


def _key(path: Path) -> Iterator[Contradiction]:
    from tiering.stores.cloudfront_urls import read_key  # noqa: PLC0415 - few sign, and its library takes a moment

    try:
        read_key(path)
    except RefusedError as error:
        yield Contradiction(("cdn.key_file",), str(error), error.hint)


def _rollout(settings: Settings) -> Iterator[Contradiction]:
    if settings.store.mode == "hybrid" and settings.store.percent is None:
        yield Contradiction(
            ("store.mode", "store.percent"),
            "it is 'hybrid', and nothing says how many assets go to the store",
            "set percent, as in percent = 10; or choose 'local' or 's3'",
        )


_LEAST_DAYS: Final = {"STANDARD_IA": 30, "ONEZONE_IA": 30}
"""S3 moves nothing there that is younger."""


def _classes(settings: Settings) -> Iterator[Contradiction]:
    store = settings.store
    known = _CLASSES.get(store.scheme)
    for key, names in (
        ("store.storage_class", [store.storage_class]),
        ("store.class_rules", [class_rule(text).storage_class for text in store.class_rules]),
    ):
        strange = next((name for name in names if known and name and name not in known), None)
        if strange is not None:
            yield Contradiction(
                (key, "store.url"),
                f"{store.scheme}:// stores have no class {strange}",
                f"choose of {', '.join(known or ())}",
            )
        archived = next((name for name in names if name in ARCHIVED), None)
        if archived is not None and store.restore is None and known is None:
            yield Contradiction(
                (key, "store.restore"),
                f"what is stored in {archived} cannot be read before it is restored, and nothing asks for that",
                'set restore = "Standard" in [store], or name another class',
            )


def _bucket_rules(settings: Settings) -> Iterator[Contradiction]:
    bucket, store = settings.bucket, settings.store
    least = _LEAST_DAYS.get(bucket.transition_class, 0)
    if 0 < bucket.transition_after.days < least:
        yield Contradiction(
            ("bucket.transition_after", "bucket.transition_class"),
            f"{bucket.transition_class} takes nothing that is younger than {least} days",
            f"wait for {least}d at least, or name another class",
        )
    if 0 < bucket.expire_after.days <= bucket.transition_after.days:
        yield Contradiction(
            ("bucket.transition_after", "bucket.expire_after"),
            f"objects are deleted after {bucket.expire_after.days} days, before they would move",
            "expire later, or set transition_after to 0",
        )
    if bucket.tls_only and (store.endpoint or "").startswith("http://"):
        yield Contradiction(
            ("bucket.tls_only", "store.endpoint"),
            "everybody would be locked out: the endpoint is http://",
            "leave tls_only out, or name an https:// endpoint",
        )
    if bucket.replicate_to and not (bucket.replication_role and bucket.versioning):
        yield Contradiction(
            ("bucket.replicate_to", "bucket.replication_role", "bucket.versioning"),
            "replication needs versioning and a role",
            "set versioning = true and replication_role to the ARN of a role that may replicate",
        )


def _layout(settings: Settings) -> Iterator[Contradiction]:
    layout = settings.layout
    if layout.rules is not None and "name" in layout.model_fields_set:
        yield Contradiction(
            ("layout.rules", "layout.name"),
            f"there are own rules, and the layout is '{layout.name}'",
            "leave out name to have the rules, or the rules to have the layout of that name",
        )


def _aws(settings: Settings) -> Iterator[Contradiction]:
    """What only the AWS configuration can show: a profile or an authority's certificate that is not there."""
    if settings.store.scheme != "s3":
        return
    from botocore import exceptions, session  # noqa: PLC0415 - it takes a moment, and only this store needs it

    try:
        bundle = session.Session(profile=settings.store.profile).get_config_variable("ca_bundle")
    except exceptions.ProfileNotFound as error:
        yield Contradiction(
            ("store.profile",), str(error), "write it in ~/.aws/config, or name another ([store], AWS_PROFILE)"
        )
    except exceptions.ConfigParseError as error:
        yield Contradiction(
            ("store.url",), str(error), "correct the AWS configuration file, or name another (AWS_CONFIG_FILE)"
        )
    else:
        yield from _bundle(bundle)


def _bundle(bundle: str | None) -> Iterator[Contradiction]:
    try:
        ssl.create_default_context(cafile=bundle)
    except OSError as error:
        wrong = f"the authorities' certificates {bundle} cannot be read: {error.strerror or error}"
        yield Contradiction(("store.url",), wrong, "name a PEM file with AWS_CA_BUNDLE, or unset it")


def _ports(settings: Settings) -> Iterator[Contradiction]:
    metrics, page = settings.metrics.listen, settings.ui.listen
    if metrics is not None and metrics == page and page.port:
        yield Contradiction(
            ("ui.listen", "metrics.listen"), f"both are {page}", 'give one of them another port, or "" for nowhere'
        )


def _socket(settings: Settings) -> Iterator[Contradiction]:
    length = len(os.fsencode(settings.api.socket))
    if length > SOCKET_PATH_BYTES:
        yield Contradiction(
            ("api.socket",),
            f"{settings.api.socket} is {length} bytes long",
            f"a socket's path has at most {SOCKET_PATH_BYTES} bytes: choose a shorter one",
        )


def _peers(settings: Settings) -> Iterator[Contradiction]:
    api = settings.api
    if api.group is not None and not _is_known(group_id, api.group):
        yield Contradiction(("api.group",), f"there is no group '{api.group}'", "name a group of this host")
    for right in ("read", "write", "admin", "presign"):
        for name in getattr(api, right) or ():
            if not (_is_known(group_id, name[1:]) if name.startswith("@") else _is_known(user_id, name)):
                yield Contradiction(
                    (f"api.{right}",), f"there is no '{name}' on this host", "name users, and groups as '@group'"
                )


def _root(root: Path) -> Iterator[Contradiction]:
    keys = ("cache.root",)
    if not root.exists():
        yield Contradiction(keys, f"{root} does not exist", f"mount the disk, or make the directory: mkdir -p {root}")
    elif not root.is_dir():
        yield Contradiction(keys, f"{root} is not a directory", "name the directory that holds the media")
    elif not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield Contradiction(keys, f"{root} is not writable", f"let {_user_name()} read and write it")


def _store_directory(settings: Settings) -> Iterator[Contradiction]:
    """A directory that the first start makes a store. Later starts make nothing: its disk may not be mounted."""
    directory = settings.store.directory
    if directory is not None and not settings.index.path.exists():
        yield from _to_make("store.url", directory, nearest=_above(directory / "x"))


def _file_to_write(key: str, path: Path) -> Iterator[Contradiction]:
    """A file that the daemon makes, and the directories above it, too, where they are missing."""
    if path.is_dir():
        yield Contradiction((key,), f"{path} is a directory", "name a file in it")
    else:
        yield from _to_make(key, path, nearest=_above(path))


def _to_make(key: str, path: Path, *, nearest: Path) -> Iterator[Contradiction]:
    """What is to be made in the nearest directory that there is."""
    if not nearest.is_dir():
        yield Contradiction(
            (key,), f"{nearest} is not a directory", f"{path} is to be made there: choose another place"
        )
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield Contradiction(
            (key,), f"{nearest} is not writable", f"let {_user_name()} write it, or choose another place"
        )


def _above(path: Path) -> Path:
    return next(above for above in path.parents if os.path.lexists(above))


def _is_within(path: Path, directory: Path) -> bool:
    real, above = os.path.realpath(path), os.path.realpath(directory)
    return os.path.commonpath((real, above)) == above


def _is_known(look_up: Callable[[str], int], name: str) -> bool:
    try:
        look_up(name)
    except LookupError:
        return False
    return True


def _user_name() -> str:
    try:
        return f"the user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"the user {os.geteuid()}"
