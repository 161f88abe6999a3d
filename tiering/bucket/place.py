"""Whether the bucket is there, is ours, and is where we look for it; and making it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tiering.store import CredentialsError, RefusedError, StoreError, UnavailableError
from tiering.stores.s3_errors import read_answer

if TYPE_CHECKING:
    from tiering.stores.s3_requests import Requests

_NAME: Final = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_ADDRESS: Final = re.compile(r"\d+(\.\d+){3}")
_RESERVED: Final = re.compile(r"(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)")
_FIRST_REGION: Final = "us-east-1"
"""The one that must not be named when a bucket is made."""


def name_fault(name: str) -> str:
    """Return why S3 would make no bucket of this name; nothing where it would."""
    if not _NAME.fullmatch(name):
        return "a bucket's name has 3 to 63 lower-case letters, digits, hyphens, and single dots between them"
    if _ADDRESS.fullmatch(name):
        return "a bucket's name cannot be an IP address"
    if _RESERVED.fullmatch(name):
        return "S3 keeps names that begin or end so for itself"
    return ""


async def is_there(requests: Requests) -> bool:
    """Whether the bucket is there. Raise RefusedError where it is somebody else's, or in another region."""
    name = requests.settings.bucket
    try:
        answer = await requests.ask("head_bucket", "")
    except StoreError as error:
        said = read_answer(error.__cause__ or error)
        if isinstance(error, CredentialsError) or not said.status:
            raise
        _check_region(requests, _region_of(error))
        if said.status == 403:  # noqa: PLR2004 - a status
            # The answer to a HEAD has no body that tells whose fault it is.
            await _require_credentials(requests)
            raise RefusedError(
                f"the bucket {name} is somebody else's, or may not be looked at",
                hint="name another bucket in [store] url, or let these credentials do s3:ListBucket",
            ) from error
        if said.status in {400, 404}:
            return False
        raise UnavailableError(f"the bucket {name}: {said.status} {said.code}", hint="try again") from error
    _check_region(requests, answer["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region"))
    return True


async def _require_credentials(requests: Requests) -> None:
    """Raise CredentialsError where the store does not accept who we are."""
    try:
        await requests.ask("list_objects_v2", "", MaxKeys=1, Prefix=requests.prefix)
    except CredentialsError:
        raise
    except StoreError:
        return  # It knows who we are, and will not.


def check_name(name: str) -> None:
    """Raise RefusedError where S3 would make no bucket of this name."""
    fault = name_fault(name)
    if fault:
        raise RefusedError(f"there is no bucket {name}, and none can be made: {fault}", hint="correct [store] url")


async def make(requests: Requests) -> None:
    """Make the bucket, in the region of the settings. Raise RefusedError where somebody else has it."""
    name, region = requests.settings.bucket, requests.region
    place: dict[str, Any] = (
        {} if region == _FIRST_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        await requests.ask("create_bucket", "", seconds=requests.settings.assembly_seconds, **place)
    except StoreError as error:
        code = read_answer(error.__cause__ or error).code
        if code == "BucketAlreadyOwnedByYou":
            return
        if code == "BucketAlreadyExists":
            hint = "names are the whole world's: choose another in [store] url"
            raise RefusedError(f"the bucket {name} is somebody else's", hint=hint) from error
        if code == "AccessDenied":
            hint = "let these credentials do s3:CreateBucket, or have the bucket made"
            raise RefusedError(f"the bucket {name} is not there, and may not be made", hint=hint) from error
        raise


def _region_of(error: StoreError) -> str | None:
    response = getattr(error.__cause__, "response", {})
    headers: dict[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region")


def _check_region(requests: Requests, there: str | None) -> None:
    here = requests.region
    if there not in {None, here}:
        raise RefusedError(
            f"the bucket {requests.settings.bucket} is in {there}, and not in {here}",
            hint=f'set region = "{there}" in [store]',
        )
