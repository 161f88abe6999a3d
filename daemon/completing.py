"""What a shell offers for the beginning of an asset's path. It must be there before the next key is pressed.

So it speaks to the socket itself, and imports nothing that takes time. Whatever goes wrong, nothing is offered: a shell
that is completing has no place for a message.
"""

import json
import os
import socket
import sys

from daemon.sources import ConfigError, find_socket

SECONDS = 1.0


def main(prefix: str) -> int:
    """Print what `prefix` may become, a line each, directories with a slash."""
    try:
        paths = _ask(prefix)
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return 0
    sys.stdout.writelines(f"{path}\n" for path in paths if path.isprintable())
    return 0


def _ask(prefix: str) -> list[str]:
    """Return the paths that begin so, each as far as its next slash."""
    encoded = "".join(f"%{byte:02X}" for byte in os.fsencode(prefix))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(os.fspath(find_socket(None, os.environ)))
        request = f"GET /v1/paths?prefix={encoded} HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        answer = b"".join(iter(lambda: client.recv(1 << 20), b""))
    paths: list[str] = json.loads(answer.partition(b"\r\n\r\n")[2])["paths"]
    return paths
