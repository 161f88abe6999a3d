"""Which assets leave the disk now, and why the others stay. Pure: no clock, no disk, no store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index.lifecycle import State
from tiering.rollout import EVERYTHING, Rollout
from tiering.rules import preference, reason_to_stay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from index.asset import Asset, AssetId
    from tiering.policy import TierPolicy
    from tiering.rules import Rule


@dataclass(frozen=True, slots=True)
class Residence:
    """For how long an asset stays, in seconds: unused before age sends it, after its upload, after its promotion."""

    cold_after: float
    cool_down: float
    min_residence: float


@dataclass(frozen=True, slots=True)
class Demotion:
    """One step of a plan: `reason` is `watermark`, `age`, `space` or `request`."""

    asset: Asset
    reason: str


class Planner:
    """Says of an asset whether it may leave the disk, and of a list how much of it should."""

    def __init__(
        self,
        residence: Residence,
        policy: TierPolicy,
        *,
        is_leased: Callable[[AssetId], bool],
        rules: Sequence[Rule] = (),
        rollout: Rollout = EVERYTHING,
    ) -> None:
        self.residence = residence
        self.rules = rules
        self.rollout = rollout
        self.policy = policy
        self._is_leased = is_leased

    def reason_to_stay(self, asset: Asset, *, now: float, by_hand: bool = False) -> str | None:
        """Return why the asset may not be demoted now, or None. A person's request overrides times, never safety."""
        if asset.state is not State.REPLICATED:
            return f"it is {asset.state}, and only a replicated asset can be demoted"
        if not asset.is_proven:
            return "its remote copy is not proven"
        if asset.pinned:
            return "it is pinned"
        if self._is_leased(asset.id):
            return "it is leased"
        if asset.links > 1:
            return "it has several hard links: removing one name would free nothing"
        outside = None if self.rollout.covers(asset.path) else self.rollout.reason
        ruled = outside or reason_to_stay(self.rules, asset, now=now, by_hand=by_hand)
        return ruled or (None if by_hand else self._too_young(asset, now))

    def _too_young(self, asset: Asset, now: float) -> str | None:
        # A time that is yet to come was written before the clock was set back: it keeps nothing here for longer.
        proven_for = abs(now - (asset.proof.at if asset.proof else now))
        if proven_for < self.residence.cool_down:
            return f"it was uploaded {proven_for:.0f} s ago, and stays for {self.residence.cool_down:.0f} s"
        back_for = abs(now - asset.promoted_at)
        if back_for < self.residence.min_residence:
            return f"it was promoted {back_for:.0f} s ago, and stays for {self.residence.min_residence:.0f} s"
        return None

    def is_old(self, asset: Asset, *, now: float) -> bool:
        """Whether nobody has asked for it for so long that it leaves even where there is room."""
        return self.policy.idle(asset, now=now) >= self.residence.cold_after

    def grades(self, *, now: float) -> list[int]:
        """Return the grades of preference that there are, the lowest first: who has none has 0."""
        return sorted({0, *(rule.grade for rule in self.rules if now < rule.until)})

    def plan(
        self, coldest_first: Iterable[Asset], *, excess: int, reason: str, now: float, grade: int = 0
    ) -> list[Demotion]:
        """Choose, in the given order, what frees `excess` bytes and has no higher grade; beyond that what is old."""
        chosen: list[Demotion] = []
        for asset in coldest_first:
            old = self.is_old(asset, now=now)
            if not old and (excess <= 0 or asset.disk_bytes == 0):
                continue
            if self.reason_to_stay(asset, now=now) is not None:
                continue
            preferred = preference(self.rules, asset, now=now)
            if not old and preferred is not None and preferred.grade > grade:
                continue
            chosen.append(Demotion(asset, reason if excess > 0 else "age"))
            excess -= asset.disk_bytes
        return chosen
