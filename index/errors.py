"""What can go wrong between us and the index."""

from __future__ import annotations


class CatalogError(Exception):
    """The index could not do what was asked."""


class UnknownAssetError(CatalogError):
    """No asset has this path or id."""


class StaleTransitionError(CatalogError):
    """The asset is no longer in the state, or of the generation, that the event is about."""


class IndexFaultError(CatalogError):
    """SQLite or its disk refused. Whether what was asked has happened is known only after the next start."""


class IndexFullError(IndexFaultError):
    """There is no room for the index to grow: what was asked has not happened."""


class CorruptIndexError(IndexFaultError):
    """SQLite does not recognise its own file. The index can be rebuilt from the tree and the store."""
