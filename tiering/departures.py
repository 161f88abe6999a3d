"""What the policy sent away lately: how warm the last of it was, and what was asked for again too soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.asset import Asset, AssetId
    from tiering.observer import Observer
    from tiering.thermometer import Thermometer

REMEMBERED: Final = 32_768
"""How many departures are remembered, some megabytes: those that are asked for again soon left lately."""


class Departures:
    """Is told of each asset that the policy sent away, and of each that is asked for while it is cold."""

    def __init__(self, thermometer: Thermometer, *, observer: Observer) -> None:
        self._thermometer = thermometer
        self._observer = observer
        self._floor: float | None = None
        self._left: dict[AssetId, float] = {}
        """When each left, in volumes; the oldest first."""

    def __repr__(self) -> str:
        return f"<Departures {len(self._left)} remembered>"

    def left(self, asset: Asset) -> None:
        """The policy has sent it away."""
        self._floor = asset.heat if asset.heat is not None else self._floor
        self._left.pop(asset.id, None)
        self._left[asset.id] = self._thermometer.reads.volumes
        if len(self._left) > REMEMBERED:
            del self._left[next(iter(self._left))]

    def asked(self, asset: Asset) -> None:
        """Somebody wants it, and it is cold: within a half-life it was sent away too early."""
        left = self._left.pop(asset.id, None)
        if left is not None and self._thermometer.reads.volumes - left < self._thermometer.policy.preset.half_life:
            self._observer.regretted(asset)

    def judged(self, asset: Asset, *, admitted: bool) -> None:
        """Somebody wants its content: it is promoted for that, or passes through."""
        self._observer.admitted(asset, "promoted" if admitted else "streamed")

    def would_be_next(self, asset: Asset) -> bool:
        """Whether the asset, once it was asked for, would still be colder than what left last."""
        if self._floor is None:
            return False
        meter = self._thermometer
        return self._floor > meter.policy.after_access(asset.heat, size=asset.size, seconds=0.0, reads=meter.reads)
