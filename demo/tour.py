"""What tierd is for, on real media and a real S3 server, killed five times on the way; every byte is checked.

    python -m demo.tour [--full] [--seed N]

The originals' SHA-256 decide, and a client that knows nothing of tierd looks into the bucket. Exit code 1 on any
difference.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon.client import TierdError
from demo.acts import ACTS
from demo.audit import DifferenceError
from demo.child import free_ports
from demo.media import SETS, collect, table
from demo.s5cmd import S5cmd
from demo.seaweed import CREDENTIALS, Seaweed
from demo.service import DiedError, Service
from demo.stage import KILLS, Account, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.media import Media

BUCKET: Final = "demo"
URL: Final = f"s3://{BUCKET}/studio"
LOG: Final = Path("var/demo/tierd.log")
FULL_FILES: Final = 500
FULL_BYTES: Final = 1024**3


def play(media: Sequence[Media], seed: int) -> None:
    """Set the stage and play all acts. Raise DifferenceError where something is not as it must be."""
    say = Account()
    LOG.unlink(missing_ok=True)
    # On a disk, not in memory, and with a path short enough for sockets.
    with tempfile.TemporaryDirectory(prefix="tierd-", dir="/var/tmp") as name:
        directory = Path(name)
        with Seaweed(directory / "weed") as seaweed:
            s5cmd = S5cmd(seaweed.endpoint)
            s5cmd.make_bucket(BUCKET)
            say(f"SeaweedFS answers on {seaweed.endpoint}, and s5cmd has made the bucket {BUCKET}")
            settings = _settings(seaweed.endpoint, sum(each.size for each in media))
            with Service(directory, LOG.absolute(), settings=settings, credentials=CREDENTIALS) as service:
                say(f"tierd serve answers on {directory}/tierd.sock")
                stage = Stage(directory, URL, media, s5cmd, service, random.Random(seed), say)
                for act in ACTS:
                    act(stage)


def _settings(endpoint: str, total: int) -> dict[str, str]:
    return {
        "STORE__URL": URL,
        "STORE__ENDPOINT": endpoint,
        # Room for what is asked for again, and little enough that most must go first.
        "CACHE__SIZE_LIMIT": f"{total * 9 // 10} B",
        "CACHE__HIGH_WATERMARK": "0.35",
        "CACHE__LOW_WATERMARK": "0.30",
        "TIERING__COOL_DOWN": "1s",
        "TIERING__MIN_RESIDENCE": "1s",
        "TIERING__INTERVAL": "1s",
        # So low that videos go in parts.
        "UPLOAD__MULTIPART_ABOVE": "8 MiB",
        "UPLOAD__PART_SIZE": "5 MiB",
        "METRICS__LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
    }


def main() -> None:
    """Collect the media, play, and say how it ended."""
    parser = argparse.ArgumentParser(prog="python -m demo.tour")
    parser.add_argument("--full", action="store_true", help="more than 500 files and 1 GiB, from Debian packages too")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="chooses the assets and the moments")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    media = collect(SETS["full" if asked.full else "small"])
    print(table(media))
    if asked.full and (len(media) < FULL_FILES or sum(each.size for each in media) < FULL_BYTES):
        sys.exit("the packages that could be fetched hold too little for the full tour")
    print(f"seed {asked.seed}")
    try:
        play(media, asked.seed)
    except (DifferenceError, DiedError, TierdError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"FAILED: {error}\nThe daemon's log is {LOG}.")
    print(f"{len(media):,} files, {KILLS} kills: nothing lost, nothing wrong.")


if __name__ == "__main__":
    main()
