"""Whose content a file has: what was moved, or got another extension, is known by its digest and not by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from index.asset import ProofMethod
from index.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.asset import Asset, Proof

_AT_REST: Final = frozenset({State.REPLICATED, State.COLD})


def copy_source(asset: Asset, twins: Iterable[Asset]) -> Proof | None:
    """Return the remote copy of another asset of which this one's can be made; one that was proven goes first."""
    proofs = [twin.proof for twin in twins if twin.id != asset.id and twin.state in _AT_REST and twin.proof is not None]
    return min(proofs, key=lambda proof: proof.method is ProofMethod.CLAIMED, default=None)
