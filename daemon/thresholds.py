"""When assets leave the disk, as the settings say it and as the core takes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from daemon.opening import shares_file_system
from tiering import retention as retaining
from tiering.planner import Residence
from tiering.rollout import Mode, Rollout
from tiering.rules import Rule, rule
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from daemon.settings import Settings

log = logging.getLogger(__name__)


def residence(settings: Settings) -> Residence:
    """Return for how long assets stay."""
    tiering = settings.tiering
    return Residence(
        cold_after=tiering.cold_after.total_seconds(),
        cool_down=tiering.cool_down.total_seconds(),
        min_residence=tiering.min_residence.total_seconds(),
    )


def rules(settings: Settings) -> list[Rule]:
    """Return what is above the policy."""
    return [rule(text) for text in settings.tiering.rules]


def retention(settings: Settings) -> retaining.Retention:
    """Return what goes from the store because it is old."""
    said = settings.retention
    return retaining.Retention(tuple(map(retaining.rule, said.rules)), said.grace.total_seconds())


def rollout(settings: Settings) -> Rollout:
    """Return which assets are to be in the store."""
    return Rollout.of(Mode(settings.store.mode), settings.store.percent)


def watermarks(settings: Settings) -> Watermarks | None:
    """Return the marks; None where the disk cannot tell: what is demoted would only move about on it."""
    cache = settings.cache
    if cache.size_limit is None and shares_file_system(settings):
        log.warning("watermarks are off: the store lies on the cache root's own file system; set [cache] size_limit")
        return None
    return Watermarks(cache.high_watermark, cache.low_watermark)
