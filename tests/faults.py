"""Faults of system calls, the k-th of its kind in a life, and what is checked after each: bytes, words and rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fault_life
import pytest
from fault_life import content_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {"a.bin": 0, "b.bin": 500, "sub/c.bin": 4500}
"""Their sizes; the last one goes in parts."""
PROVEN = ("replicated", "cold")
MEMORY = "/dev/shm"
"""Where lives take place: whether a disk syncs is not asked of the disk here, and would take long."""


@dataclass(frozen=True)
class Fault:
    """The `call` of a thread fails with `error`, or ends in SIGKILL: once, or from then on for ever."""

    thread: str
    call: str
    error: str
    forever: bool

    def __str__(self) -> str:
        return f"{self.thread}-{self.call}-{self.error}-{'forever' if self.forever else 'once'}"

    def options(self, number: int) -> list[str]:
        """Return what strace is told, for the fault to begin at the call of this number."""
        what = "signal=KILL" if self.error == "KILL" else f"error={self.error}"
        # Whoever is interrupted begins again, so that for ever would be for ever.
        last = f"..{number + 9}" if self.error == "EINTR" else "+"
        when = f"{number}{last if self.forever else ''}"
        return [f"--trace={self.call}", f"--inject={self.call}:{what}:when={when}"]


class Lives:
    """The program that lives them."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._program = subprocess.Popen(
            [sys.executable, fault_life.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def close(self) -> None:
        """End it."""
        self._program.communicate()

    def ask(self, place: Path, act: str, **more: Any) -> dict[str, Any]:
        """Let one life be lived, and return what it said."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps({"place": str(place), "act": act, "cut": False, **more}) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, "the program that lives lives has ended; what it said is above"
        said: dict[str, Any] = json.loads(answer)
        return said

    def struck(self, fault: Fault, number: int) -> list[str] | None:
        """Live with the fault at its `number`th call, then without; return what was wrong. None: it never came."""
        with a_place() as place:
            is_cut = not fault.forever and fault.error != "KILL"
            said = self.ask(place, "live", thread=fault.thread, strace=fault.options(number), cut=is_cut)
            log = (place / "strace").read_text(encoding="utf-8", errors="replace")
            if "(INJECTED)" not in log and "killed by SIGKILL" not in log:
                return None if said == {**said, "code": 0, "failures": []} else [f"without a fault: {said}"]
            wrong = [*said.get("wrong", ()), *said.get("unforeseen", ()), *_lies(place, said.get("states", {}))]
            if said["code"] not in ({-9} if fault.error == "KILL" else {0}):
                wrong.append(f"ended with {said['code']}")
            after = self.ask(place, "recover")
            wrong += [f"afterwards: {each}" for name in ("wrong", "unforeseen", "failures") for each in after[name]]
            return [*wrong, *_lies(place, after["states"]), *([str(said.get("failures"))] if wrong else [])]

    def strike(self, fault: Fault, *, first: int, step: int) -> tuple[int, dict[int, list[str]]]:
        """Go on from call to call until none is struck; return how many were, and what was wrong at which."""
        wrong = {}
        for lives, number in enumerate(count(first, step)):
            found = self.struck(fault, number)
            if found is None:
                return lives, wrong
            if found:
                wrong[number] = found
        raise AssertionError


@contextmanager
def a_place() -> Iterator[Path]:
    """Make a root with three files, an owner's, all of them on the disk."""
    with tempfile.TemporaryDirectory(prefix="tierd-fault-", dir=MEMORY, ignore_cleanup_errors=True) as name:
        place = Path(name)
        for path, size in FILES.items():
            file = place / "media" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content_of(size))
        (place / "files.json").write_text(json.dumps(FILES), encoding="ascii")
        yield place


def _lies(place: Path, states: dict[str, str]) -> list[str]:
    """Compare the bytes on disk and in the store with what was said of them."""
    wrong = []
    for path, size in FILES.items():
        content = content_of(size)
        local, remote = _bytes(place / "media" / path), _bytes(place / "cold" / path)
        trash = [each.read_bytes() for each in (place / "media" / ".tierd" / "trash").glob("*")]
        if local not in {None, content}:
            wrong.append(f"{path} is partial or wrong on disk")
        if content not in (local, remote, *trash):
            wrong.append(f"{path} is lost")
        if states.get(path) in PROVEN and remote != content:
            wrong.append(f"{path} is said to be {states[path]}, and the store does not have it")
    return wrong


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


@pytest.fixture(scope="session")
def lives() -> Iterator[Lives]:
    """Start the program once."""
    assert shutil.which("strace"), "strace is not installed; as root: make tools"
    program = Lives()
    yield program
    program.close()
