"""What the kernel says of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.mounts import MOUNTINFO, Mount, mount_of, mounts_below, parse

TEXT = r"""21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:5 / /srv/media rw,noatime - xfs /dev/sdb1 rw
23 22 0:6 / /srv/media/my\040shoot rw - nfs4 server:/x rw
24 21 0:7 / /srv/media rw,relatime - tmpfs tmpfs ro,size=1k
25 21 0:8 / /srv/mediathek rw - fuse.sshfs host:/ rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/srv/media/a/b", "tmpfs"),
        ("/srv/media/my shoot/x", "nfs4"),
        ("/srv/mediathek", "fuse.sshfs"),
        ("/srv/medial", "ext4"),
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, kind: str) -> None:
    """The longest, and of several at one place the one on top."""
    assert mount_of(Path(path), parse(TEXT)).kind == kind


def test_options_are_those_of_both() -> None:
    """A mount that is writable on a file system that is not is read-only."""
    assert {"ro", "rw", "relatime"} <= mount_of(Path("/srv/media"), parse(TEXT)).options
    assert str(parse(TEXT)[1]) == "/srv/media (xfs)"


def test_what_others_may_write_is_remote() -> None:
    """Network file systems, and those that a program serves."""
    assert [mount.kind for mount in parse(TEXT) if mount.is_remote] == ["nfs4", "fuse.sshfs"]


def test_mounts_beneath() -> None:
    """Not the directory's own, nor a neighbour with a longer name."""
    below = mounts_below(Path("/srv/media"), parse(TEXT))
    assert [mount.point for mount in below] == ["/srv/media/my shoot"]


def test_this_host(tmp_path: Path) -> None:
    """Every line of it is understood."""
    mounts = parse(MOUNTINFO.read_text())
    assert all(isinstance(mount, Mount) and mount.point.startswith("/") for mount in mounts)
    assert mount_of(tmp_path, mounts).kind
