"""`tierd`: nothing is imported before it is known what is wanted."""

import os
import sys
from collections.abc import MutableMapping


def main() -> int:
    """Run the command that was typed; return its exit code."""
    if sys.argv[1:2] == ["_complete"]:  # A shell asks between two keys: it has no time for what commands need.
        from daemon.completing import main as complete  # noqa: PLC0415 - see above

        return complete("".join(sys.argv[2:3]))
    adopt_credentials(os.environ)
    from daemon.cli import run  # noqa: PLC0415 - see above

    return run(sys.argv[1:])


def adopt_credentials(environ: MutableMapping[str, str]) -> None:
    """Let systemd's credential `aws-credentials` be the shared credentials file, unless the environment names one."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    file = f"{directory}/aws-credentials"
    if directory and "AWS_SHARED_CREDENTIALS_FILE" not in environ and os.path.exists(file):  # noqa: PTH110 - at once
        environ["AWS_SHARED_CREDENTIALS_FILE"] = file


if __name__ == "__main__":
    sys.exit(main())
