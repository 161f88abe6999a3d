"""The tools that people would use instead, as they would start them: on the same files, against the same server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import obstore
from obstore.store import S3Store

from benchmarks.ground import BUCKET
from demo.child import program
from demo.seaweed import CREDENTIALS

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE: Final = 32
SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Peers:
    """The peers for one endpoint. Directories are copied as they are, below a prefix of the bucket."""

    endpoint: str

    def s5cmd_up(self, directory: Path, prefix: str) -> None:
        """Upload a directory."""
        self._run(*self._s5cmd(), "cp", f"{directory}/", f"s3://{BUCKET}/{prefix}/")

    def s5cmd_down(self, prefix: str, directory: Path) -> None:
        """Download a prefix."""
        self._run(*self._s5cmd(), "cp", f"s3://{BUCKET}/{prefix}/*", f"{directory}/")

    def rclone_up(self, directory: Path, prefix: str) -> None:
        """Upload a directory."""
        self._run(*self._rclone(), "copy", str(directory), f"{self.remote}:{BUCKET}/{prefix}", "--no-traverse")

    def rclone_down(self, prefix: str, directory: Path) -> None:
        """Download a prefix."""
        self._run(*self._rclone(), "copy", f"{self.remote}:{BUCKET}/{prefix}", str(directory))

    @property
    def remote(self) -> str:
        """What rclone calls the server: everything on the command line, nothing in a file."""
        return f":s3,provider=Other,env_auth=true,endpoint='{self.endpoint}',force_path_style=true"

    def bare_up(self, directory: Path, prefix: str) -> None:
        """Upload a directory with the library that tierd uses and nothing else: what the machine allows."""
        asyncio.run(self._put_all([path for path in directory.rglob("*") if path.is_file()], directory, prefix))

    def bare_get(self, key: str) -> tuple[float, float]:
        """Download one object with the library alone; return the seconds to its first bytes, and to its last."""
        return asyncio.run(self._get(key))

    async def _get(self, key: str) -> tuple[float, float]:
        store = self._store()
        await obstore.head_async(store, key)  # the connection is there already, as the daemon's is
        began, first = time.perf_counter(), 0.0
        answer = await obstore.get_async(store, key)
        async for _ in answer.stream():
            first = first or time.perf_counter() - began
        return first, time.perf_counter() - began

    def _store(self) -> S3Store:
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            client_options={"allow_http": True},
            unsigned_payload=True,
        )

    async def _put_all(self, paths: list[Path], directory: Path, prefix: str) -> None:
        store = self._store()
        todo = iter(paths)

        async def work() -> None:
            for path in todo:
                key = f"{prefix}/{path.relative_to(directory)}"
                await obstore.put_async(store, key, path.read_bytes(), use_multipart=False)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    def _s5cmd(self) -> list[str]:
        return [program("s5cmd"), "--log", "error", "--numworkers", str(AT_ONCE), "--endpoint-url", self.endpoint]

    def _rclone(self) -> list[str]:
        return [program("rclone"), "--config", os.devnull, "--transfers", str(AT_ONCE), "--checkers", str(AT_ONCE)]

    def _run(self, *command: str) -> None:
        environment = {**os.environ, **CREDENTIALS, "AWS_REGION": "us-east-1"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
