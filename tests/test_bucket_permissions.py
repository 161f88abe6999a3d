"""The policies that `--iam` prints, under a server that goes by them: they serve, and nothing in them is too much."""

from __future__ import annotations

import hashlib
import json
import urllib.request
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tiering.bucket.permissions import daemon_policy, setup_policy
from tiering.bucket.plan import Outcome
from tiering.bucket.setup import Setup
from tiering.bucket.wishes import Wishes
from tiering.store import Attributes, StoreError
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tiering.bucket.permissions import Policy

WISHED = {"versioning": True, "encryption": "AES256", "block_public_access": True, "abort_uploads_after": 7}
HEAD_BUCKET = {"Sid": "Moto", "Effect": "Allow", "Action": ["s3:HeadBucket"], "Resource": ["*"]}
"""What moto calls what AWS calls s3:ListBucket."""


class Account:
    """A bucket of an account on moto, and users of it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.bucket = f"rights-{uuid.uuid4().hex[:8]}"
        for name in ("s3", "iam"):
            client = boto3.client(
                name, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="a"
            )
            setattr(self, name, client)
        self._s3: Any = vars(self)["s3"]
        self._iam: Any = vars(self)["iam"]
        self._s3.create_bucket(Bucket=self.bucket)
        self.wishes = Wishes(bucket=self.bucket, prefix="studio/", region="us-east-1", **WISHED)  # type: ignore[arg-type]

    def close(self) -> None:
        """Let its connections go."""
        self._s3.close()
        self._iam.close()

    def user(self, policy: Policy) -> dict[str, str]:
        """Return the credentials of a new user who may do this."""
        name = uuid.uuid4().hex
        allowed = policy | {"Statement": [*policy["Statement"], HEAD_BUCKET]}
        self._iam.create_user(UserName=name)
        self._iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(allowed))
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Let the server ask what users may."""
        try:
            self._enforce_after("0")
            yield
        finally:
            self._enforce_after("inf")

    def _enforce_after(self, requests: str) -> None:
        url, kind = f"{self.endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, data=requests.encode(), method="POST", headers=kind)
        urllib.request.urlopen(request, timeout=20).close()


@pytest.fixture
def account(moto_endpoint: str) -> Iterator[Account]:
    """One of its own."""
    made = Account(moto_endpoint)
    yield made
    made.close()


async def work(store: S3Store) -> set[str]:
    """Do what a daemon does with a store; return what of it was refused."""
    refused: set[str] = set()

    async def attempt(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await act()
        except StoreError:
            refused.add(name)

    plain = Attributes(tags={"team": "media"})
    info = await attempt("put", lambda: store.put("a", b"x", plain))
    await attempt("list", lambda: anext(store.list(), None))
    await attempt("head", lambda: store.head("a"))
    if info is not None:
        await attempt("copy", lambda: store.copy("a", "b", plain, etag=info.etag))
    await attempt("uploads", lambda: anext(store.list_uploads(), None))
    upload = await attempt("begin", lambda: store.create_upload("m", plain))
    if upload is not None:
        await attempt("part", lambda: store.put_part("m", upload, 1, b"x", md5=hashlib.md5(b"x").digest()))
        await attempt("parts", lambda: store.list_parts("m", upload))
        await attempt("abort", lambda: store.abort("m", upload))
    await attempt("delete", lambda: store.delete("a"))
    return refused


async def as_user(
    account: Account, monkeypatch: pytest.MonkeyPatch, policy: Policy, act: Callable[[S3Store], Any]
) -> Any:
    """Do something as a user who may do this and no more."""
    for name, value in account.user(policy).items():
        monkeypatch.setenv(name, value)
    settings = S3Settings(bucket=account.bucket, prefix="studio", endpoint=account.endpoint, region="us-east-1")
    store = await S3Store.connect(settings)
    try:
        with account.enforced():
            return await act(store)
    finally:
        await store.close()


async def test_they_serve(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setup sets all up by its policy; a daemon works by its own, and sees with it what is set up."""

    async def set_up(store: S3Store) -> set[Outcome]:
        setup = Setup(store.requests, store, account.wishes)
        return {step.outcome async for step in setup.apply(await setup.survey())}

    assert await as_user(account, monkeypatch, setup_policy(account.wishes), set_up) == {
        Outcome.UNCHANGED,
        Outcome.DONE,
    }
    policy = daemon_policy(account.wishes)
    assert await as_user(account, monkeypatch, policy, work) == set()
    assert await as_user(account, monkeypatch, policy, set_up) == {Outcome.UNCHANGED}


@pytest.mark.parametrize(
    ("action", "refused"),
    [
        ("s3:GetObject", {"head", "copy", "delete"}),
        ("s3:PutObject", {"put", "head", "begin"}),
        ("s3:DeleteObject", {"delete"}),
        ("s3:AbortMultipartUpload", {"abort"}),
        ("s3:ListMultipartUploadParts", {"parts"}),
        ("s3:ListBucket", {"list"}),
        ("s3:ListBucketMultipartUploads", {"uploads"}),
    ],
)
async def test_nothing_is_too_much(
    account: Account, monkeypatch: pytest.MonkeyPatch, action: str, refused: set[str]
) -> None:
    """Without any one action something is refused that a daemon does."""
    policy = daemon_policy(account.wishes)
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    assert refused & await as_user(account, monkeypatch, policy, work)
