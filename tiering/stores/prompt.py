"""A store for threads without an event loop: it writes small objects, and does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tiering.drive import MustWaitError

if TYPE_CHECKING:
    from tiering.store import Attributes, Condition, ObjectInfo, Store


class PromptStore:
    """A coat for any store. See tiering.store.Objects; what is more than one write raises MustWaitError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"<PromptStore {self._store!r}>"

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """See Objects."""
        return self._store.put_blocking(key, body, attributes, condition)

    async def head(self, key: str) -> NoReturn:
        """See Objects."""
        raise MustWaitError(key)

    async def copy(self, source: str, *_: object, **__: object) -> NoReturn:
        """See Objects."""
        raise MustWaitError(source)

    def get(self, key: str, **_: object) -> NoReturn:
        """See Objects."""
        raise MustWaitError(key)
