"""`python -m benchmarks [P1 …]`: measure tierd beside the tools that people would use instead, and print what was seen.

Nothing is asserted. What compares is the ratio within one run: run it alone on the machine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import accesses, downloads, figures, million, policy, reads, scale, uploads
from benchmarks.machine import described

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: Final[dict[str, Callable[[Path], list[str]]]] = {
    "P1": uploads.small,
    "P2": uploads.large,
    "P3": downloads.promotions,
    "P4": reads.paths,
    "P5": reads.opens,
    "P6": reads.contents,
    "P7": reads.cold,
    "P8": reads.latency,
    "P9": million.million,
    "P10": scale.steady,
    "memory": figures.memory,
    "scan": figures.scan,
    "accesses": accesses.accesses,
    "policy": policy.policies,
}


def main() -> int:
    """Run what is asked for, or everything."""
    wanted = sys.argv[1:] or [*BENCHMARKS]
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}\n")
        return 2
    print(described(), flush=True)
    for name in wanted:
        # Not below /tmp, which may be memory: what is measured is a disk.
        with tempfile.TemporaryDirectory(prefix="tierd-bench-", dir="/var/tmp") as place:
            print("\n".join(BENCHMARKS[name](Path(place))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
