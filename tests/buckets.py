"""A place in a real bucket, as clients see it that know nothing of tierd: boto3 for one object, s5cmd for all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from demo.audit import sha256_of
from demo.s5cmd import S5cmd
from demo.seaweed import CREDENTIALS
from tiering.keys import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "end-to-end"
LONGEST = 240
"""Bytes of a name that s5cmd can write: it makes a longer one of it, for a while."""


class Bucket:
    """All keys below a prefix of its own, told and taken without it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.prefix = uuid.uuid4().hex[:8]
        self.url = f"s3://{NAME}/{self.prefix}"
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def make(self) -> None:
        """Make the bucket, unless another test did."""
        try:
            self._s3.create_bucket(Bucket=NAME)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("BucketAlready"):
                raise

    def close(self) -> None:
        """Let its connections go."""
        self._s3.close()

    def keys(self) -> set[str]:
        """Return the keys of all objects but tierd's own: a kill in a probe leaves those, to be swept in a day."""
        return {key.removeprefix(f"{self.prefix}/") for key in self.listed() if RESERVED not in key}

    def etags(self) -> set[str]:
        """Return the ETags of all objects."""
        return set(self.listed().values())

    def probes(self) -> set[str]:
        """Return the keys of what probes have left."""
        return {key for key in self.listed() if RESERVED in key}

    def head(self, key: str) -> dict[str, Any]:
        """Return what the server says about an object."""
        answer: dict[str, Any] = self._s3.head_object(Bucket=NAME, Key=self._whole(key))
        return answer

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        with self._s3.get_object(Bucket=NAME, Key=self._whole(key))["Body"] as body:
            content: bytes = body.read()
        return content

    def put(self, key: str, body: bytes, **more: Any) -> None:
        """Write an object over whatever is there."""
        self._s3.put_object(Bucket=NAME, Key=self._whole(key), Body=body, **more)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._s3.delete_object(Bucket=NAME, Key=self._whole(key))

    def unfinished(self) -> list[str]:
        """Return the keys of all uploads that were begun and neither completed nor aborted."""
        found = self._s3.list_multipart_uploads(Bucket=NAME, Prefix=f"{self.prefix}/").get("Uploads", ())
        return [upload["Key"] for upload in found]

    def parts(self) -> dict[str, set[int]]:
        """Return the parts that unfinished uploads have, by key."""
        found = self._s3.list_multipart_uploads(Bucket=NAME, Prefix=f"{self.prefix}/").get("Uploads", ())
        return {
            upload["Key"].removeprefix(f"{self.prefix}/"): self._parts_of(upload)
            for upload in found
            if RESERVED not in upload["Key"]
        }

    def download(self, keys: set[str]) -> dict[str, str]:
        """Return the SHA-256 of all objects, by key, as s5cmd downloads them."""
        client = S5cmd(self.endpoint)
        if any(len(os.fsencode(part)) > LONGEST for key in keys for part in key.split("/")):
            return {key: hashlib.sha256(client.read(f"{self.url}/{key}")).hexdigest() for key in keys}
        with tempfile.TemporaryDirectory(prefix="s5cmd-") as name:
            into = Path(name, "all")
            client.download(self.url, into)
            return {str(path.relative_to(into)): sha256_of(path) for path in into.rglob("*") if path.is_file()}

    def listed(self) -> dict[str, str]:
        """Return the ETag of every object, by its whole key."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=NAME, Prefix=f"{self.prefix}/")
        return {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", ())}

    def _parts_of(self, upload: dict[str, Any]) -> set[int]:
        try:
            answer = self._s3.list_parts(Bucket=NAME, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError:
            return set()  # It was completed a moment ago.
        return {part["PartNumber"] for part in answer.get("Parts", ())}

    def _whole(self, key: str) -> str:
        return f"{self.prefix}/{key}"


@pytest.fixture
def bucket(seaweed_endpoint: str) -> Iterator[Bucket]:
    """An empty place in a bucket of SeaweedFS."""
    place = Bucket(seaweed_endpoint)
    place.make()
    yield place
    place.close()
