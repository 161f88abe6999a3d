"""SIGHUP: read the configuration anew, take what can change while everything runs, and say what cannot."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from daemon import journal
from daemon.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.notify import Notifier
    from daemon.settings import Settings

log = logging.getLogger(__name__)

RELOADABLE: Final = frozenset(
    {
        "cache.size_limit",
        "cache.high_watermark",
        "cache.low_watermark",
        "store.mode",
        "store.percent",
        "tiering.rules",
        "retention.rules",
        "retention.grace",
        "tiering.cold_after",
        "tiering.cool_down",
        "tiering.min_residence",
        "tiering.interval",
        "upload.bandwidth",
        "log.level",
        "log.format",
    }
)


class Reloading:
    """Holds the settings in force; `apply` is told of new ones, `notifier` when it begins and when it is done."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        *,
        apply: Callable[[Settings], None],
        notifier: Notifier,
    ) -> None:
        self._begun_with = settings
        self._settings = settings
        self._load = load
        self._apply = apply
        self._notifier = notifier

    def reload(self) -> None:
        """Take over what can be taken over. A configuration that is wrong changes nothing."""
        self._notifier.reloading()
        self._take_over()
        self._notifier.ready()

    def _take_over(self) -> None:
        try:
            fresh = self._load()
        except ConfigError as error:
            log.error("configuration not reloaded, the old one holds: %s", error)  # noqa: TRY400 - the message says it all
            return
        stays = sorted(set(differences(self._begun_with, fresh)) - RELOADABLE)
        taken = sorted(set(differences(self._settings, fresh)) & RELOADABLE)
        if stays:
            log.warning("these keys take effect at the next start: %s", ", ".join(stays))
        journal.configure(fresh.log.level, fresh.log.format)
        self._apply(fresh)
        self._settings = fresh
        log.info("configuration reloaded: %s", ", ".join(taken) or "nothing changed")


def differences(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the keys whose values differ, as `table.key`."""
    for table in type(old).model_fields:
        before, after = getattr(old, table), getattr(new, table)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                yield f"{table}.{key}"
