"""A content delivery network forgets what was overwritten or removed: told once, and later where it has to be."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from core import a_place
from trees import plant

from daemon.addresses import Addresses
from tiering.cdn import Invalidator
from tiering.store import RefusedError, UnavailableError
from tiering.stores.cloudfront import Distribution
from tiering.stores.s3_connection import S3Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from core import Core

PATTERNS = ("posters/", "shots/*")
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
    (found,) = cloudfront.list_invalidations(DistributionId=made)["InvalidationList"]["Items"]
    told = cloudfront.get_invalidation(DistributionId=made, Id=found["Id"])["Invalidation"]["InvalidationBatch"]
    assert (told["Paths"]["Items"], told["CallerReference"]) == (["/posters/a.jpg", "/shots/*"], "tierd-1")
    async with Distribution("EXXX", SETTINGS, endpoint=moto_endpoint) as distribution:
        with pytest.raises(RefusedError, match="there is no distribution EXXX") as error:
            await distribution.invalidate(["/a"], reference="tierd-2")
        assert "[cdn] distribution" in error.value.hint


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
