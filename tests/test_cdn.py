"""A content delivery network forgets what was overwritten or removed: told once, and later where it has to be."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import boto3
import pytest
from core import a_place
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_elliptic
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from trees import plant

from daemon.addresses import Addresses
from daemon.api_assets import _views
from daemon.checks_cdn import _judge
from daemon.settings import Cdn
from daemon.views import asset_view
from tiering.cdn import Invalidator
from tiering.store import RefusedError, UnavailableError
from tiering.stores.cloudfront import Distribution, View
from tiering.stores.cloudfront_urls import UrlSigner, read_key
from tiering.stores.s3_connection import S3Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from core import Core

PATTERNS = ("posters/", "shots/*")
HOSTS = frozenset({"d1.cloudfront.net"})
SETTINGS = S3Settings(bucket="media", region="eu-central-1")


@dataclass
class Network:
    """Remembers what it was told."""

    told: list[list[str]] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    error: Exception | None = None

    async def invalidate(self, paths: Sequence[str], *, reference: str) -> None:
        """Be told."""
        if self.error is not None:
            raise self.error
        self.told.append([*paths])
        self.references.append(reference)


def an_invalidator(core: Core, network: Any, addresses: Addresses | None = None) -> Invalidator:
    """Return one, and begin now."""
    place = addresses or Addresses("s3://media/studio")
    return Invalidator(
        core.catalog, network, patterns=PATTERNS, path_of=place.viewers_path, host="h", told=lambda _: None
    )


async def overwrite(core: Core, *paths: str) -> None:
    """Write anew, and bring it to the store."""
    for path in paths:
        plant(core.tree, path, b"anew")
    await core.scan()
    await core.upload_all()


async def test_what_was_overwritten_is_told(tmp_path: Path) -> None:
    """Each by its path, a pattern as a whole, others not, and nothing that is new; all of it once, over a restart."""
    place = a_place(tmp_path)
    network = Network()
    async with place.core() as core:
        await core.hot("posters/before.jpg")
        await an_invalidator(core, network).cursor()
        for path in ("posters/a ü*.jpg", "shots/1.jpg", "shots/2.jpg", "other/a.jpg"):
            await core.hot(path)
        await an_invalidator(core, network).catch_up()
        assert network.told == []
        await overwrite(core, "posters/a ü*.jpg", "shots/1.jpg", "shots/2.jpg", "other/a.jpg")
        await an_invalidator(core, network).catch_up()
        assert network.told == [["/studio/posters/a%20%C3%BC%2A.jpg", "/studio/shots/*"]]
    async with place.core() as core:
        await an_invalidator(core, network).catch_up()
        assert len(network.told) == 1
        await overwrite(core, "posters/before.jpg")
        await an_invalidator(core, network, Addresses("s3://media", "https://cdn.example/x")).catch_up()
        assert network.told[1:] == [["/x/posters/before.jpg"]]
        assert len(set(network.references)) == 2


async def test_what_was_removed_is_told_once_it_is(tmp_path: Path) -> None:
    """Before that, the network would fetch it again."""
    async with a_place(tmp_path).core() as core:
        network = Network()
        asset = await core.cold("posters/a.jpg")
        teller = an_invalidator(core, network)
        await teller.cursor()
        await core.registry.remove(asset.path)
        await teller.catch_up()
        assert network.told == []
        await core.registry._purge_all()
        await teller.catch_up()
        assert network.told == [["/studio/posters/a.jpg"]]


async def test_what_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    """Nothing is forgotten for it."""
    async with a_place(tmp_path).core() as core:
        network = Network(error=UnavailableError("503"))
        await core.hot("posters/a.jpg")
        teller = an_invalidator(core, network)
        await teller.cursor()
        await overwrite(core, "posters/a.jpg")
        with pytest.raises(UnavailableError):
            await teller.catch_up()
        network.error = None
        await teller.catch_up()
        assert network.told == [["/studio/posters/a.jpg"]]


async def test_a_cursor_of_events_that_are_not_kept_begins_anew(tmp_path: Path) -> None:
    """As after the loss of the index."""
    async with a_place(tmp_path).core() as core:
        teller = an_invalidator(core, Network())
        await core.catalog.remember("cdn: cursor", "7")
        await core.hot("posters/a.jpg")
        assert await teller.cursor() == await core.catalog.newest_event()


@pytest.fixture
def cloudfront(moto_endpoint: str, credentials: None) -> Iterator[Any]:
    """CloudFront, as moto has it."""
    client = boto3.client("cloudfront", endpoint_url=moto_endpoint, region_name="us-east-1")
    yield client
    client.close()


async def test_a_distribution_is_told(cloudfront: Any, moto_endpoint: str) -> None:
    """And one that there is not is named, with what to do."""
    origin = {"Id": "media", "DomainName": "media.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    behaviour = {
        "TargetOriginId": "media",
        "ViewerProtocolPolicy": "allow-all",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
    }
    made = cloudfront.create_distribution(
        DistributionConfig={
            "CallerReference": uuid.uuid4().hex,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behaviour,
            "Comment": "",
            "Enabled": True,
        }
    )["Distribution"]["Id"]
    async with Distribution(made, SETTINGS, endpoint=moto_endpoint) as distribution:
        await distribution.invalidate(["/posters/a.jpg", "/shots/*"], reference="tierd-1")
        view = await distribution.view()
        assert (view.is_enabled, view.trusts_keys, len(view.hosts)) == (True, False, 1)
    (found,) = cloudfront.list_invalidations(DistributionId=made)["InvalidationList"]["Items"]
    told = cloudfront.get_invalidation(DistributionId=made, Id=found["Id"])["Invalidation"]["InvalidationBatch"]
    assert (told["Paths"]["Items"], told["CallerReference"]) == (["/posters/a.jpg", "/shots/*"], "tierd-1")
    async with Distribution("EXXX", SETTINGS, endpoint=moto_endpoint) as distribution:
        for ask in (distribution.invalidate(["/a"], reference="tierd-2"), distribution.view()):
            with pytest.raises(RefusedError, match="there is no distribution EXXX") as error:
                await ask
            assert "[cdn] distribution" in error.value.hint


@pytest.mark.parametrize(
    ("said", "view", "found"),
    [
        ({}, View(is_enabled=True, hosts=HOSTS, trusts_keys=False), ["is there, and enabled"]),
        ({}, View(is_enabled=False, hosts=HOSTS, trusts_keys=False), ["is disabled"]),
        (
            {"public_url": "https://elsewhere.example"},
            View(is_enabled=True, hosts=HOSTS, trusts_keys=False),
            ["enabled", "does not answer as elsewhere.example, but as d1.cloudfront.net"],
        ),
        (
            {"public_url": "https://d1.cloudfront.net/x"},
            View(is_enabled=True, hosts=HOSTS, trusts_keys=True),
            ["enabled", "asks for signatures"],
        ),
        (
            {"public_url": "https://d1.cloudfront.net", "key_pair": "K1"},
            View(is_enabled=True, hosts=HOSTS, trusts_keys=False),
            ["enabled", "trusts no key group"],
        ),
    ],
)
def test_what_is_told_of_a_distribution(said: dict[str, str], view: View, found: list[str]) -> None:
    """As it is beside what the configuration says."""
    told = [finding.message for finding in _judge(Cdn(distribution="E1", **said), view)]
    assert all(each in text for each, text in zip(found, told, strict=True)), told


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    """A key, such as CloudFront trusts."""
    return generate_private_key(65537, 2048)


async def test_the_url_of_an_asset_is_signed(key: RSAPrivateKey, tmp_path: Path) -> None:
    """By a signature that CloudFront takes, for as long as is said; the same for half of that; and for nobody else."""
    now = 1_000_000.0
    signer = UrlSigner("K1", key, seconds=7200, clock=lambda: now)
    addresses = Addresses("s3://media/studio", "https://cdn.example/x", signer)
    async with a_place(tmp_path).core() as core:
        asset = await core.hot("posters/a ü.jpg")
    plain, view = asset_view(asset, addresses), asset_view(asset, addresses, signs=True)
    assert (plain["url"], plain["url_expires"]) == ("https://cdn.example/x/posters/a%20%C3%BC.jpg", None)
    url, _, query = view["url"].partition("?")
    said = dict(parse_qsl(query))
    assert (url, said["Key-Pair-Id"], int(said["Expires"])) == (plain["url"], "K1", view["url_expires"])
    assert now + 3600 <= view["url_expires"] <= now + 7200
    policy = {"Statement": [{"Resource": url, "Condition": {"DateLessThan": {"AWS:EpochTime": view["url_expires"]}}}]}
    signature = base64.b64decode(said["Signature"].translate(str.maketrans("-_~", "+=/")))
    text = json.dumps(policy, separators=(",", ":")).encode()
    key.public_key().verify(signature, text, PKCS1v15(), SHA1())
    now = view["url_expires"] - 3600 - 1
    assert asset_view(asset, addresses, signs=True)["url"] == view["url"]
    now += 2
    assert asset_view(asset, addresses, signs=True)["url_expires"] == view["url_expires"] + 3600


def test_a_key_that_cloudfront_does_not_take(key: RSAPrivateKey, tmp_path: Path) -> None:
    """Each is told apart, and nothing of what was read."""
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(*form, NoEncryption()))
    assert read_key(path).private_numbers() == key.private_numbers()
    for content, wrong in (
        (key.private_bytes(*form, BestAvailableEncryption(b"secret")), "no key that can be used"),
        (b"not a key", "no key that can be used"),
        (generate_elliptic(SECP256R1()).private_bytes(*form, NoEncryption()), "no RSA key of 2048 bits"),
    ):
        path.write_bytes(content)
        with pytest.raises(RefusedError, match=wrong) as error:
            read_key(path)
        assert "not a key" not in str(error.value)


async def test_who_gets_a_signed_url(key: RSAPrivateKey, tmp_path: Path) -> None:
    """Who may hand on such; others get the one that is for all."""
    signer = UrlSigner("K1", key, seconds=7200, clock=lambda: 1e6)
    service: Any = SimpleNamespace(
        addresses=Addresses("s3://media", "https://cdn.example", signer),
        access=SimpleNamespace(may_presign=lambda peer: peer == "trusted"),
    )
    async with a_place(tmp_path).core() as core:
        asset = await core.hot("a.jpg")
    for peer, is_signed in (("trusted", True), ("any", False)):
        call: Any = SimpleNamespace(peer=peer)
        (view,) = await _views(service, call, [asset])
        assert ("Signature=" in view["url"]) is is_signed


@pytest.mark.parametrize(
    ("addresses", "url", "path"),
    [
        (Addresses("s3://media/studio"), "s3://media/studio/a b.jpg", "/studio/a%20b.jpg"),
        (Addresses("s3://media"), "s3://media/a b.jpg", "/a%20b.jpg"),
        (Addresses("s3://media/studio", "https://cdn.example"), "https://cdn.example/a%20b.jpg", "/a%20b.jpg"),
        (Addresses("s3://media/studio", "https://cdn.example/x"), "https://cdn.example/x/a%20b.jpg", "/x/a%20b.jpg"),
    ],
)
def test_where_others_look(addresses: Addresses, url: str, path: str) -> None:
    """The URL of an asset, and the path that the network knows it by."""
    assert (addresses.url("a b.jpg"), addresses.viewers_path("a b.jpg")) == (url, path)
