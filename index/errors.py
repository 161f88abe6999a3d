"""What can go wrong between us and the index."""

from __future__ import annotations


class CatalogError(Exception):
    """The index could not do what was asked."""


class UnknownAssetError(CatalogError):
    """No asset has this path or id."""


class StaleTransitionError(CatalogError):
    """The asset is no longer in the state, or of the generation, that the event is about."""


class CorruptIndexError(CatalogError):
    """SQLite does not recognise its own file. The index can be rebuilt from the tree and the store."""
