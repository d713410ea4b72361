"""``security.toml`` and ``volume.toml``: where they are found, and how keys are looked up.

Both files are merged into one tree, and any key can be overridden by an environment variable
(``weed/util/config.go: LoadConfiguration, GetViper``): ``jwt.signing.key`` by
``WEED_JWT_SIGNING_KEY``, an empty variable counting as unset.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastvol.config.go_values import parse_bool, parse_duration
from fastvol.errors import ConfigError, reason_of

_SYSTEM_DIRECTORIES: Final = (Path("/usr/local/etc/seaweedfs"), Path("/etc/seaweedfs"))

Tree = dict[str, object]


def find_settings_file(name: str, config_dir: str, environ: Mapping[str, str]) -> Path | None:
    """The first ``<name>.toml`` on the search path, or None."""
    directories = [Path(config_dir).expanduser()] if config_dir else []
    directories.append(Path())
    if environ.get("HOME"):
        directories.append(Path(environ["HOME"]) / ".seaweedfs")
    for directory in (*directories, *_SYSTEM_DIRECTORIES):
        path = directory / f"{name}.toml"
        if path.exists():
            return path
    return None


def read_toml(path: Path) -> Tree:
    """The file as a tree with lower-case keys.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            return _lowered(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"Reading {reason_of(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Reading {path}: {error}") from error


class Settings:
    """A merged tree under environment overrides; immutable."""

    def __init__(self, environ: Mapping[str, str], tree: Tree | None = None) -> None:
        self._environ = environ
        self._tree: Tree = {} if tree is None else tree

    def merged(self, tree: Tree) -> "Settings":
        """These settings with the keys of ``tree`` laid over them."""
        return Settings(self._environ, _merge(self._tree, tree))

    def text(self, key: str, default: str = "") -> str:
        """A value as text; numbers and booleans are spelled out."""
        value = self._lookup(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int, float)):
            return str(value)
        raise ConfigError(f"{key}: not a text")

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean; Go's spellings are understood in texts."""
        text = self.text(key)
        try:
            return parse_bool(text) if text else default
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error

    def integer(self, key: str, default: int) -> int:
        """A decimal integer."""
        text = self.text(key)
        try:
            return int(text) if text else default
        except ValueError as error:
            raise ConfigError(f"{key}: not an integer: {text}") from error

    def number(self, key: str, default: float) -> float:
        """A decimal number."""
        text = self.text(key)
        try:
            return float(text) if text else default
        except ValueError as error:
            raise ConfigError(f"{key}: not a number: {text}") from error

    def duration(self, key: str, default: float) -> float:
        """A Go duration, in seconds."""
        text = self.text(key)
        try:
            return parse_duration(text) if text else default
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error

    def _lookup(self, key: str) -> object:
        override = self._environ.get("WEED_" + key.upper().replace(".", "_"))
        if override:
            return override
        node: object = self._tree
        for name in key.lower().split("."):
            if not isinstance(node, dict):
                return None
            node = node.get(name)
        return None if isinstance(node, dict) else node


def _lowered(tree: Mapping[str, object]) -> Tree:
    return {
        key.lower(): _lowered(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }


def _merge(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = _merge(under, value) if both else value  # type: ignore[arg-type]
    return merged
