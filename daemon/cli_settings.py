"""What commands read of the configuration that need no daemon for it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.sources import ConfigError, find_file

if TYPE_CHECKING:
    from daemon.settings import Settings
    from tiering.prices import Prices


def settings_for(named: Path | None, *tables: str) -> "Settings":
    """Return the settings, defaults where there is no file. Raise ConfigError where one of these tables is wrong."""
    from daemon import config  # noqa: PLC0415 - takes long

    settings, problems = config.judge(find_file(named, os.environ), os.environ)
    concerned = [problem for problem in problems if problem.key.partition(".")[0] in {"", *tables}]
    if concerned:
        raise ConfigError(concerned)
    return settings


def prices_of(settings: "Settings") -> "Prices":
    """Return the table of prices that the configuration says."""
    from tiering.prices import Prices  # noqa: PLC0415 - only some commands count

    return Prices(**settings.prices.model_dump())
