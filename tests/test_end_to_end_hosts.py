"""Two daemons as they are installed, on one bucket: each serves what the other wrote last."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buckets import Bucket
    from daemon_process import Launch


def test_two_hosts_share_a_bucket(bucket: Bucket, launch: Launch) -> None:
    """Put, replaced under a local copy, and written by both: the loser's bytes stay, and the conflict is shown."""
    here, there = (launch(bucket, STORE__LOOK_EVERY="1s") for _ in range(2))
    there.drop({"a": b"first", "b": b"first"})
    there.wait_replicated(2)
    here.wait("to know both", lambda: set(here.assets()) == {"a", "b"})
    assert {here.read("a"), here.read("b")} == {b"first"}
    there.drop({"a": b"second"})
    here.wait_state("a", "cold", generation=2)
    assert not (here.root / "a").exists()
    assert here.read("a") == b"second"
    there.signal(Signals.SIGSTOP)
    there.drop({"b": b"from there"})
    here.drop({"b": b"from here"})
    here.wait_state("b", "replicated", generation=2)
    there.signal(Signals.SIGCONT)
    there.wait("the conflict to be shown", lambda: there.state("b") == "stuck")
    assert there.assets()["b"]["failure"]["code"] == "conflict"
    assert (there.root / "b").read_bytes() == b"from there"
    assert bucket.get("b") == here.read("b") == b"from here"
