"""What a shell offers for the beginning of an asset's path. It must be there before the next key is pressed.

So it speaks to the socket itself, and imports nothing that takes time. Whatever goes wrong, nothing is offered: a shell
that is completing has no place for a message.
"""

import json
import os
import re
import socket
import sys
from collections.abc import Iterable

from daemon.sources import ConfigError, find_socket

LIMIT = 1000
"""So many assets are looked at; who has more types another letter."""
SECONDS = 1.0


def main(prefix: str) -> int:
    """Print what `prefix` may become, a line each, directories with a slash."""
    try:
        paths = _ask(prefix)
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return 0
    sys.stdout.writelines(f"{each}\n" for each in candidates(prefix, paths))
    return 0


def candidates(prefix: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that begin so, each as far as its next slash; what does not print is left out."""
    beginning = len(prefix)
    found = {path[: _end(path, beginning)] for path in paths if path.startswith(prefix)}
    return sorted(each for each in found if each.isprintable())


def _end(path: str, beginning: int) -> int:
    slash = path.find("/", beginning)
    return len(path) if slash < 0 else slash + 1


def _ask(prefix: str) -> list[str]:
    """Return the paths of assets that have the words of `prefix` in them."""
    words = "+".join(re.findall(r"[A-Za-z0-9]+", prefix))
    query = f"&q={words}" if words else ""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(os.fspath(find_socket(None, os.environ)))
        request = f"GET /v1/assets?limit={LIMIT}{query} HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        answer = b"".join(iter(lambda: client.recv(1 << 20), b""))
    return [asset["path"] for asset in json.loads(answer.partition(b"\r\n\r\n")[2])["assets"]]
