"""Where settings come from: a file and the environment, before anybody asks what they mean.

Standard library only: a client that wants nothing but the socket's path must start at once.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE_VARIABLE: Final = "TIERD_CONFIG"
PREFIX: Final = "TIERD_"
SEARCHED: Final = (Path("config.toml"), Path("/etc/tierd/config.toml"))
DEFAULT_SOCKET: Final = "./var/tierd.sock"


class Problem(NamedTuple):
    """One thing that is wrong: `where` (a file or a variable), which `key`, what is wrong, what would be right."""

    where: str
    key: str
    wrong: str
    right: str

    def __str__(self) -> str:
        subject = f"{self.where}: {self.key}" if self.key else self.where
        return f"{subject}: {self.wrong}; {self.right}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are all that were found."""

    code = "config"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Override(str):
    """A value from the environment: text, whatever its key wants."""

    __slots__ = ()


def find_file(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file: the named one, else `$TIERD_CONFIG`, else the first of the usual places, if any.

    Raise ConfigError where a file was named and there is none.
    """
    if named is not None:
        return _existing(named, "--config")
    if FILE_VARIABLE in environ:
        return _existing(Path(environ[FILE_VARIABLE]), FILE_VARIABLE)
    return next((path for path in SEARCHED if path.exists()), None)


def read_file(path: Path) -> dict[str, object]:
    """Return what the TOML file says. Raise ConfigError where it cannot be read or understood."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        problem = Problem(str(path), "", f"not valid TOML: {error}", "strings need quotes, tables look like [store]")
    except UnicodeDecodeError as error:
        problem = Problem(str(path), "", f"not UTF-8: byte {error.start}", "save the file as UTF-8")
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read: {error.strerror}", "name a file that this user can read")
    raise ConfigError([problem])


def read_overrides(environ: Mapping[str, str]) -> dict[str, Override]:
    """Return the `TIERD_` variables that stand for keys, known or not, by the name of the variable."""
    return {
        name: Override(value) for name, value in environ.items() if name.startswith(PREFIX) and name != FILE_VARIABLE
    }


def variable_name(section: str, key: str) -> str:
    """Return the variable that overrides a key."""
    return f"{PREFIX}{section}__{key}".upper()


def base_directory(file: Path | None) -> Path:
    """Return the directory that relative paths start from: the file's, or the current one where there is no file."""
    return Path.cwd() if file is None else file.absolute().parent


def resolve(base: Path, path: str | Path) -> Path:
    """Return the path as an absolute one, without `.` and `..`; symbolic links stay as they are."""
    return Path(os.path.normpath(base / path))


def find_socket(named: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the daemon's socket as configured, without judging the rest. Raise ConfigError as the above do."""
    file = find_file(named, environ)
    section = (read_file(file) if file else {}).get("api")
    written = section.get("socket") if isinstance(section, dict) else None
    text = environ.get(variable_name("api", "socket")) or written or DEFAULT_SOCKET
    return resolve(base_directory(file), str(text))


def _existing(path: Path, named_by: str) -> Path:
    if path.exists() and not path.is_dir():
        return path
    wrong = "is a directory" if path.is_dir() else "there is no such file"
    raise ConfigError([Problem(str(path), "", wrong, f"{named_by} must name a configuration file")])
