"""URLs by which others read and write objects themselves, for a while: what they may, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from index.asset import RelPath, printable
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.outcome import ConflictError, IgnoredError
from tiering.store import CredentialsError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from index.asset import Asset
    from tiering.inbox import Inbox

LONGEST_SECONDS: Final = 7 * 86_400
"""No signature of this kind is good for longer."""
_REMOTE: Final = frozenset({State.REPLICATED, State.DEMOTING, State.COLD, State.PROMOTING})


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload by a form may be: at most so many bytes, and of a media type that begins so."""

    size: int
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that is good for so many `seconds`, until `until`.

    `fields` are what a form must send before its file, `headers` what a PUT must send.
    """

    url: str
    method: str
    seconds: int
    until: float
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Signer(Protocol):
    """What a store must have to give URLs. Keys are the store's own; times are in seconds."""

    @property
    def put_headers(self) -> Mapping[str, str]:
        """What whoever uploads by a PUT must send."""

    async def identity(self) -> tuple[str, float | None]:
        """Return where the credentials come from, and when they run out."""

    async def sign(self, method: str, key: str, seconds: int) -> str:
        """Return the URL for a GET or a PUT. Raise RefusedError where there can be none."""

    async def sign_form(self, key: str, seconds: int, *, size: int, content_type: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL and the fields for a POST. Raise RefusedError where there can be none."""


class Presigner:
    """Gives URLs. `signer` is None where the store has none to give."""

    def __init__(
        self,
        signer: Signer | None,
        inbox: Inbox,
        *,
        longest: float,
        find: Callable[[RelPath], Awaitable[Asset]],
        is_ignored: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        """`longest`: what nobody gets more than, in seconds."""
        self._signer = signer
        self._inbox = inbox
        self._longest = longest
        self._find = find
        self._is_ignored = is_ignored
        self._clock = clock

    async def presign(self, path: RelPath, method: str, seconds: float, limits: Limits) -> Link:
        """Return a URL for a `GET`, a `PUT` or a `POST`. Raise ConflictError where there is nothing to give one for."""
        if self._signer is None:
            raise ConflictError("the store has no URLs to give", hint="only s3://, gs:// and az:// stores have")
        key = await self._key_to_read(path) if method == "GET" else await self._key_to_write(path)
        good_for = await self._term(self._signer, seconds)
        try:
            return await self._sign(self._signer, method, key, good_for, limits)
        except RefusedError as error:
            raise ConflictError(str(error), hint=error.hint) from error

    async def _sign(self, signer: Signer, method: str, key: str, seconds: int, limits: Limits) -> Link:
        until = self._clock() + seconds
        if method == "POST":
            url, fields = await signer.sign_form(key, seconds, size=limits.size, content_type=limits.content_type)
            link = Link(url, method, seconds, until, fields)
        else:
            headers = signer.put_headers if method == "PUT" else {}
            link = Link(await signer.sign(method, key, seconds), method, seconds, until, headers=headers)
        if method != "GET":
            self._inbox.expect(until=until)
        return link

    async def _term(self, signer: Signer, seconds: float) -> int:
        """Return how long a URL is good for, in truth: it ends with the credentials that signed it."""
        _, end = await signer.identity()
        left = LONGEST_SECONDS if end is None else end - self._clock()
        if left < 1:
            raise CredentialsError("the credentials that would sign run out now", hint="ask again")
        return int(max(min(seconds, self._longest, LONGEST_SECONDS, left), 1))

    async def _key_to_read(self, path: RelPath) -> str:
        asset = await self._find(path)
        if asset.proof is None or asset.state not in _REMOTE:
            raise ConflictError(
                f"{printable(path)} is {asset.state}: the store has no proven copy of it", hint="wait for its upload"
            )
        return asset.proof.key

    async def _key_to_write(self, path: RelPath) -> str:
        if self._is_ignored(path):
            raise IgnoredError(f"{printable(path)} has a name that [cache] ignore leaves out", hint="choose another")
        try:
            asset = await self._find(path)
        except UnknownAssetError:
            pass
        else:
            raise ConflictError(f"{printable(path)} is there already ({asset.state})", hint="choose another path")
        key = self._inbox.key_for(path)
        if key is None:
            raise ConflictError(f"{printable(path)} is too long a path for an upload by URL", hint="shorten it")
        return key
