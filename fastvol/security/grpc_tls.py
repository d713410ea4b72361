"""TLS of the gRPC port and of the channels to other servers.

grpcio brings a TLS of its own (BoringSSL) that speaks TLS 1.2 and 1.3 and takes certificates as
bytes.  What it cannot be told is settled here: limits that it could not keep are refused at the
start, and files are tried with OpenSSL first, for grpcio reports a broken one in the middle of a
handshake or not at all.

Source of the rules: ``weed/security/tls.go: LoadServerTLS, LoadClientTLS``.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from fastvol.errors import ConfigError, reason_of
from fastvol.security.caller_names import CallerNames
from fastvol.security.tls import ClientTls, ServerTls, client_context, server_context
from fastvol.security.tls_names import suites_of, version_of
from fastvol.security.tls_reload import Fresh

SUITES_VARIABLE: Final = "GRPC_SSL_CIPHER_SUITES"
_USUAL_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
)
"""grpcio's suites below TLS 1.3."""


@dataclass(frozen=True, slots=True)
class GrpcTls:
    """``grpc.ca``, ``grpc.volume.*`` and ``tls.*``; the client's pair is the server's or its own."""

    ca: str
    certificate: str
    key: str
    client_certificate: str
    client_key: str
    callers: CallerNames = field(default_factory=CallerNames)
    min_version: str = ""
    max_version: str = ""
    cipher_suites: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read from the disk."""
        return (self.ca, self.certificate, self.key, self.client_certificate, self.client_key)


@dataclass(frozen=True, slots=True)
class GrpcIdentity:
    """What new connections use, of one reading of the files."""

    server: grpc.ServerCertificateConfiguration
    channel: grpc.ChannelCredentials
    probe: ssl.SSLContext
    """Shows the same certificate and trusts the same CA as ``channel``, and checks no names."""


class GrpcIdentities(Fresh[GrpcIdentity]):
    """``current`` is what new connections of either side use."""

    def __init__(self, settings: GrpcTls, *, environ: Mapping[str, str] = os.environ) -> None:
        """Raises ConfigError when the files or the limits cannot be used."""
        self.callers = settings.callers
        self.only_tls13 = _only_tls13(settings, environ)
        """Calls over TLS 1.2 are to be refused."""
        super().__init__(settings.certificate, settings.files, lambda: _identity(settings))

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a port that demands client certificates; takes up new files by itself."""
        used = self.current

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal used  # called before each handshake, on a thread of grpcio's
            if used is self.current:
                return None
            used = self.current
            return used.server

        return grpc.dynamic_ssl_server_credentials(
            used.server,
            newer,  # type: ignore[arg-type]  # None is for "the same as before"
            require_client_authentication=True,
        )


def _identity(settings: GrpcTls) -> GrpcIdentity:
    before = _read_all(settings)
    server_context(ServerTls(settings.certificate, settings.key, settings.ca))
    pair = settings.client_certificate, settings.client_key
    probe = client_context(ClientTls(*pair, settings.ca))
    probe.check_hostname = False
    probe.set_alpn_protocols(["h2"])
    if _read_all(settings) != before:
        raise ConfigError(f"TLS certificate {settings.certificate} is just being replaced")
    ca, certificate, key, client_certificate, client_key = before
    return GrpcIdentity(
        grpc.ssl_server_certificate_configuration([(key, certificate)], ca),
        grpc.ssl_channel_credentials(ca, client_key, client_certificate),
        probe,
    )


def _read_all(settings: GrpcTls) -> tuple[bytes, ...]:
    try:
        return tuple(Path(path).read_bytes() for path in settings.files)
    except OSError as error:
        raise ConfigError(f"failed to load TLS certificate: {reason_of(error)}") from error


# --- limits -------------------------------------------------------------------------------------


def _only_tls13(settings: GrpcTls, environ: Mapping[str, str]) -> bool:
    """Whether nothing below TLS 1.3 may be spoken; refuses what grpcio could not keep."""
    lowest = version_of("tls.min_version", settings.min_version)
    highest = version_of("tls.max_version", settings.max_version)
    if highest is not None and highest < ssl.TLSVersion.TLSv1_3:
        raise ConfigError(
            f"tls.max_version {settings.max_version} cannot be kept for gRPC, which also speaks "
            "TLS 1.3 here"
        )
    if lowest is ssl.TLSVersion.TLSv1_3:
        return True
    if not settings.cipher_suites.strip():
        return False
    wanted, has_tls13 = suites_of("tls.cipher_suites", settings.cipher_suites)
    if has_tls13 and not wanted:
        return True
    spoken = environ.get(SUITES_VARIABLE) or _USUAL_SUITES
    if not {suite for suite in spoken.split(":") if suite[:4] != "TLS_"} <= set(wanted):
        raise ConfigError(
            "tls.cipher_suites cannot be set for gRPC by fastvol; start it with "
            f"{SUITES_VARIABLE}={':'.join(wanted)} in its environment"
        )
    return False
