"""`tierd`: nothing is imported before it is known what is wanted."""

import sys


def main() -> int:
    """Run the command that was typed; return its exit code."""
    from daemon.cli import run  # noqa: PLC0415 - see above

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
