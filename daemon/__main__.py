"""`tierd`: nothing is imported before it is known what is wanted."""

import os
import sys
from collections.abc import MutableMapping

_CREDENTIALS = (
    ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "google-credentials"),
    ("AZURE_STORAGE_CONNECTION_STRING_FILE", "azure-connection-string"),
    ("TIERD_CDN__KEY_FILE", "cloudfront-key"),
)


def main() -> int:
    """Run the command that was typed; return its exit code."""
    if sys.argv[1:2] == ["_complete"]:  # A shell asks between two keys: it has no time for what commands need.
        from daemon.completing import main as complete  # noqa: PLC0415 - see above

        return complete("".join(sys.argv[2:3]))
    adopt_credentials(os.environ)
    from daemon.cli import run  # noqa: PLC0415 - see above

    return run(sys.argv[1:])


def adopt_credentials(environ: MutableMapping[str, str]) -> None:
    """Let systemd's credentials be what the stores' libraries look for, unless the environment names another file."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    for name, credential in _CREDENTIALS:
        file = f"{directory}/{credential}"
        if directory and name not in environ and os.path.exists(file):  # noqa: PTH110 - at once
            environ[name] = file


if __name__ == "__main__":
    sys.exit(main())
