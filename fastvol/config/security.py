"""What ``security.toml`` says about who may do what.

TLS is not built yet. A configuration that asks for it is refused: running without it would open
what its operator meant to close.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastvol.config.settings import Settings, find_settings_file, read_toml
from fastvol.errors import ConfigError

_TLS_KEYS: Final = (
    "https.volume.cert",
    "https.volume.key",
    "https.volume.ca",
    "https.client.cert",
    "https.client.key",
    "https.client.ca",
    "grpc.ca",
    "grpc.allowed_wildcard_domain",
    "grpc.volume.cert",
    "grpc.volume.key",
    "grpc.volume.client_cert",
    "grpc.volume.client_key",
    "grpc.volume.allowed_commonNames",
)
_WRITE_EXPIRES_SECONDS: Final = 10
_READ_EXPIRES_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Keys are as configured, empty for "no check"; what SIGHUP replaces as a whole."""

    write_key: str = ""
    write_expires_seconds: int = _WRITE_EXPIRES_SECONDS
    read_key: str = ""
    read_expires_seconds: int = _READ_EXPIRES_SECONDS
    ui_access: bool = False
    white_list: tuple[str, ...] = ()
    """``-whiteList`` first, then ``guard.white_list``; items are not trimmed."""


@dataclass(frozen=True, slots=True)
class SecuritySource:
    """Where the security settings came from, so that SIGHUP can read them again."""

    config_dir: str
    file: str
    """``-securityFile``; empty for the search path."""
    white_list_flag: str
    environ: Mapping[str, str]


def load_security(source: SecuritySource, settings: Settings) -> tuple[SecuritySettings, Settings]:
    """Read ``security.toml`` over ``settings``; returns the merged settings too.

    To reload, pass the settings of the last load: a key that vanished from the file keeps its
    value, so that a half-written file does not open the server. On an error the caller keeps what
    it has.

    Raises:
        ConfigError: the file does not parse, or asks for TLS.
    """
    path: Path | None
    if source.file:
        path = Path(source.file).expanduser()
    else:
        path = find_settings_file("security", source.config_dir, source.environ)
    if path is not None:
        settings = settings.merged(read_toml(path))
    _refuse_tls(settings)
    return (
        SecuritySettings(
            write_key=settings.text("jwt.signing.key"),
            write_expires_seconds=settings.integer(
                "jwt.signing.expires_after_seconds", _WRITE_EXPIRES_SECONDS
            ),
            read_key=settings.text("jwt.signing.read.key"),
            read_expires_seconds=settings.integer(
                "jwt.signing.read.expires_after_seconds", _READ_EXPIRES_SECONDS
            ),
            ui_access=settings.flag("access.ui"),
            white_list=split_list(source.white_list_flag)
            + split_list(settings.text("guard.white_list")),
        ),
        settings,
    )


def split_list(text: str) -> tuple[str, ...]:
    """Items of a comma list, empty ones dropped, none trimmed (``weed/util: StringSplit``)."""
    return tuple(item for item in text.split(",") if item)


def _refuse_tls(settings: Settings) -> None:
    asked = [key for key in _TLS_KEYS if settings.text(key)]
    if settings.flag("https.client.enabled"):
        asked.append("https.client.enabled")
    if asked:
        raise ConfigError(
            f"security.toml sets {', '.join(asked)}, but TLS is not built yet; "
            "refusing to run without the protection that was asked for"
        )
