"""SIGHUP: what can change while everything runs changes, what cannot is named, and a broken file changes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from daemon import config, reloading
from daemon.config import ConfigError
from daemon.notify import Notifier
from daemon.reloading import RELOADABLE, Reloading, differences

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.settings import Settings

OTHER = {
    "cache": {
        "root": "other",
        "size_limit": "1 GiB",
        "high_watermark": 0.95,
        "low_watermark": 0.6,
        "ignore": ["*.bak"],
    },
    "index": {"path": "other/index.db"},
    "store": {"url": "file:./elsewhere"},
    "tiering": {"policy": "age", "cold_after": "1d", "cool_down": "1s", "min_residence": "1s", "interval": "1s"},
    "upload": {"concurrency": 3, "bandwidth": "1 MiB", "settle": "9s"},
    "api": {"socket": "other.sock", "mode": "0600"},
    "metrics": {"listen": "127.0.0.1:9999"},
    "log": {"level": "warning", "format": "json"},
}
"""Another value for most keys there are."""


@pytest.fixture(autouse=True)
def _loggers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading.journal, "configure", lambda *_how: None)


class Daemon:
    """Somebody who reads a configuration, and is told of new ones."""

    def __init__(self, place: Path) -> None:
        self.file = place / "config.toml"
        for directory in ("media", "other"):
            (place / directory).mkdir()
        self.write({})
        self.told: list[Settings] = []
        self.reloading = Reloading(self.load(), self.load, apply=self.told.append, notifier=Notifier(None))

    def write(self, tables: dict[str, dict[str, object]]) -> None:
        """Write the configuration file."""
        lines = []
        for table, keys in tables.items():
            lines += [f"[{table}]", *(f"{key} = {value!r}" for key, value in keys.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def load(self) -> Settings:
        """Read the configuration file."""
        return config.load(self.file, {})


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """Return a daemon that runs on the defaults."""
    return Daemon(tmp_path)


@pytest.mark.parametrize("key", [f"{table}.{key}" for table, keys in OTHER.items() for key in keys])
def test_each_key_takes_effect_or_is_named(daemon: Daemon, caplog: pytest.LogCaptureFixture, key: str) -> None:
    """Never neither: who changed it must not be left to wonder."""
    caplog.set_level(logging.INFO)
    table, name = key.split(".")
    daemon.write({table: {name: OTHER[table][name]}})
    assert set(differences(daemon.reloading._settings, daemon.load())) >= {key}
    daemon.reloading.reload()
    assert [getattr(getattr(fresh, table), name) for fresh in daemon.told] == [
        getattr(getattr(daemon.load(), table), name)
    ]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(key in said for said in warned) is (key not in RELOADABLE)
    assert any(f"reloaded: {key}" in record.getMessage() for record in caplog.records) is (key in RELOADABLE)


def test_every_reloadable_key_exists(daemon: Daemon) -> None:
    """A typing error would make a key that needs a restart look as if it did not."""
    keys = {f"{table}.{key}" for table, group in daemon.load() for key in type(group).model_fields}
    assert keys >= RELOADABLE


@pytest.mark.parametrize("text", ["[cache", "[cache]\nroots = 1\n", "[cache]\nhigh_watermark = 0.1\n", None])
def test_a_broken_file_changes_nothing(daemon: Daemon, caplog: pytest.LogCaptureFixture, text: str | None) -> None:
    """The old settings hold, and what is wrong is told; once it is mended it counts."""
    if text is None:
        daemon.file.unlink()
    else:
        daemon.file.write_text(text)
    with pytest.raises(ConfigError):
        daemon.load()
    daemon.reloading.reload()
    assert daemon.told == []
    assert "the old one holds" in caplog.text
    daemon.write({"tiering": {"interval": "1s"}})
    daemon.reloading.reload()
    assert len(daemon.told) == 1


def test_what_needs_a_restart_is_named_until_it_had_one(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """At each reload; and no more when it was taken back."""
    daemon.write({"upload": {"concurrency": 3}})
    for count in (1, 2):
        daemon.reloading.reload()
        assert caplog.text.count("next start: upload.concurrency") == count
    daemon.write({})
    daemon.reloading.reload()
    assert caplog.text.count("next start") == 2
