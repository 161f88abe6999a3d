"""s5cmd: an S3 client that knows nothing of tierd, to see what is really in the bucket."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo.child import program
from demo.seaweed import CREDENTIALS

if TYPE_CHECKING:
    from pathlib import Path

SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class S5cmd:
    """The client for one endpoint."""

    endpoint: str

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        self._run("mb", f"s3://{name}")

    def download(self, url: str, into: Path) -> None:
        """Download every object below `s3://bucket/prefix` into a directory, each at its key without the prefix."""
        into.mkdir()
        self._run("cp", f"{url}/*", f"{into}/")

    def read(self, url: str) -> bytes:
        """Return the bytes of one object, whatever is in its key."""
        return self._run("cat", "--raw", url)

    def _run(self, *words: str) -> bytes:
        command = [program("s5cmd"), "--log", "error", "--endpoint-url", self.endpoint, *words]
        environment = {**os.environ, **CREDENTIALS, "AWS_REGION": "us-east-1"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"s5cmd {words[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
        return done.stdout
