"""What ``security.toml`` says about who may do what, and what is encrypted.

Half of TLS is refused where upstream goes on in plaintext: running so would open what the operator
meant to close.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastvol.config.go_values import parse_duration
from fastvol.config.settings import Settings, find_settings_file, read_toml
from fastvol.errors import ConfigError
from fastvol.limits import TLS_REFRESH_SECONDS
from fastvol.security.caller_names import CallerNames
from fastvol.security.grpc_tls import GrpcTls
from fastvol.security.tls import ClientTls, ServerTls

_GRPC_VOLUME_KEYS: Final = ("cert", "key", "client_cert", "client_key", "allowed_commonNames")
_GRPC_COMMON_KEYS: Final = ("grpc.ca", "grpc.allowed_wildcard_domain")
log = logging.getLogger(__name__)

_REFRESH_VARIABLE: Final = "WEED_TLS_CERT_REFRESH_INTERVAL"
_WRITE_EXPIRES_SECONDS: Final = 10
_READ_EXPIRES_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Read at the start only; upstream does not change them on SIGHUP either."""

    server: ServerTls | None = None
    """Of the admin port; None: plain HTTP."""
    client: ClientTls | None = None
    """For calls to other volume servers; None: plain HTTP."""
    grpc: GrpcTls | None = None
    """Of the gRPC port and of calls to masters and other volume servers; None: plaintext."""
    refresh_seconds: float = TLS_REFRESH_SECONDS


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
    tls: TlsSettings = field(default_factory=TlsSettings)


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
        ConfigError: the file does not parse, or asks for half of TLS.
    """
    path: Path | None
    if source.file:
        path = Path(source.file).expanduser()
    else:
        path = find_settings_file("security", source.config_dir, source.environ)
    if path is not None:
        settings = settings.merged(read_toml(path))
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
            tls=TlsSettings(
                server=_server_tls(settings),
                client=_client_tls(settings),
                grpc=_grpc_tls(settings),
                refresh_seconds=_refresh_seconds(source.environ),
            ),
        ),
        settings,
    )


def split_list(text: str) -> tuple[str, ...]:
    """Items of a comma list, empty ones dropped, none trimmed (``weed/util: StringSplit``)."""
    return tuple(item for item in text.split(",") if item)


def _server_tls(settings: Settings) -> ServerTls | None:
    """Upstream serves plain HTTP when one of certificate and key is missing; that is refused here."""
    certificate = settings.text("https.volume.cert")
    key = settings.text("https.volume.key")
    ca = settings.text("https.volume.ca")
    if not (certificate or key or ca):
        return None
    if not (certificate and key):
        raise ConfigError(
            f'https.volume: both cert and key must be set (got cert="{certificate}" key="{key}" '
            f'ca="{ca}")'
        )
    return ServerTls(
        certificate,
        key,
        ca,
        min_version=settings.text("tls.min_version"),
        max_version=settings.text("tls.max_version"),
        cipher_suites=settings.text("tls.cipher_suites"),
    )


def _client_tls(settings: Settings) -> ClientTls | None:
    if not settings.flag("https.client.enabled"):
        return None
    certificate = settings.text("https.client.cert")
    key = settings.text("https.client.key")
    if bool(certificate) != bool(key):
        raise ConfigError(
            f'https.client: both cert and key must be set (got cert="{certificate}" key="{key}")'
        )
    return ClientTls(
        certificate,
        key,
        settings.text("https.client.ca"),
        skip_verify=settings.flag("https.client.insecure_skip_verify"),
    )


def _refresh_seconds(environ: Mapping[str, str]) -> float:
    text = environ.get(_REFRESH_VARIABLE, "")
    if not text:
        return TLS_REFRESH_SECONDS
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{_REFRESH_VARIABLE}: {error}") from error
    if seconds <= 0:
        raise ConfigError(f"{_REFRESH_VARIABLE} must be positive: {text}")
    return seconds


def _grpc_tls(settings: Settings) -> GrpcTls | None:
    """Upstream is in plaintext when the CA, the certificate or the key is missing.

    Here a server that has been given any part of its own must have been given all three. The keys
    that programs share say nothing about this one when they stand alone.
    """
    own = {key: settings.text(f"grpc.volume.{key}") for key in _GRPC_VOLUME_KEYS}
    ca, domain = (settings.text(key) for key in _GRPC_COMMON_KEYS)
    if not any(own.values()):
        if ca or domain:
            log.warning(
                "gRPC is in plaintext: security.toml sets %s but nothing of grpc.volume",
                " and ".join(key for key in _GRPC_COMMON_KEYS if settings.text(key)),
            )
        return None
    certificate, key = own["cert"], own["key"]
    if not (ca and certificate and key):
        raise ConfigError(
            "grpc.volume: cert, key and grpc.ca must all be set "
            f'(got cert="{certificate}" key="{key}" ca="{ca}")'
        )
    client = own["client_cert"], own["client_key"]
    if not all(client):
        if any(client):
            log.warning(
                "grpc.volume: client_cert and client_key must be set together (got "
                'client_cert="%s" client_key="%s"); calls use cert and key',
                *client,
            )
        client = certificate, key
    return GrpcTls(
        ca,
        certificate,
        key,
        *client,
        callers=CallerNames(own["allowed_commonNames"], domain),
        min_version=settings.text("tls.min_version"),
        max_version=settings.text("tls.max_version"),
        cipher_suites=settings.text("tls.cipher_suites"),
    )
