"""The check of the content delivery network before the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daemon.doctor import failed, ok, warning
from tiering.store import StoreError
from tiering.stores.cloudfront import Distribution
from tiering.stores.cloudfront_urls import read_key
from tiering.stores.s3 import S3Store

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.circumstances import Circumstances
    from daemon.doctor import Finding
    from daemon.settings import Cdn
    from tiering.stores.cloudfront import View


async def network(at: Circumstances) -> list[Finding]:
    """Whether CloudFront is as the configuration says, and the key that signs URLs can be used."""
    cdn = at.settings.cdn
    found = [] if cdn.key_file is None else [_key(cdn.key_file)]
    if cdn.distribution is None or not isinstance(at.store, S3Store):
        return found or [ok("no [cdn] distribution: nobody is to be told what was overwritten or removed")]
    try:
        async with Distribution(cdn.distribution, at.store.requests.settings) as there:
            view = await there.view()
    except StoreError as error:
        return [*found, failed(str(error), error.hint or "see docs/stores.md")]
    return [*found, *_judge(cdn, view)]


def _key(path: Path) -> Finding:
    try:
        read_key(path)
    except StoreError as error:
        return failed(str(error), error.hint)
    return ok(f"{path} can sign URLs")


def _judge(cdn: Cdn, view: View) -> list[Finding]:
    name = f"distribution {cdn.distribution}"
    found = [ok(f"{name} is there, and enabled")]
    if not view.is_enabled:
        found = [warning(f"{name} is disabled: nobody can read by it", "enable it at CloudFront")]
    host = urlsplit(cdn.public_url or "").hostname
    if host is not None and host not in view.hosts:
        said = f"{name} does not answer as {host}, but as {', '.join(sorted(view.hosts))}"
        found.append(warning(said, "name one of these in [cdn] public_url, or add an alternate domain name there"))
    if cdn.key_pair is not None and not view.trusts_keys:
        said = f"{name} trusts no key group: it asks for no signature, and looks at none"
        found.append(warning(said, "have its behaviour restrict viewers to a key group that has [cdn] key_pair"))
    if cdn.key_pair is None and cdn.public_url is not None and view.trusts_keys:
        said = f"{name} asks for signatures, and the URLs of assets have none"
        found.append(warning(said, "set [cdn] key_pair and key_file"))
    return found
