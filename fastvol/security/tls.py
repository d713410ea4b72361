"""TLS contexts from the files and names that ``security.toml`` gives.

Source of the rules: ``weed/command/volume.go: startClusterHttpService``, ``weed/security/tls.go:
LoadClientTLSHTTP, FixTlsConfig``, ``weed/util/http/client/http_client.go: NewHttpClient``.

Upstream leaves some broken configurations to fail handshake by handshake; here whatever cannot
work is a :class:`ConfigError` when the context is made, naming the file or key and the reason.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from fastvol.errors import ConfigError, reason_of
from fastvol.security.tls_names import suites_of, version_of

_OLD_SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:AES:!aNULL:!eNULL:@SECLEVEL=0"
"""TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL allows at its lowest level only."""
_OLDEST: Final = ssl.TLSVersion.TLSv1
"""Neither Go nor OpenSSL speaks SSL 3 any more, so a minimum of it means this."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """``https.volume.*`` and ``tls.*``: paths and Go's names; a CA demands client certificates."""

    certificate: str
    key: str
    ca: str = ""
    min_version: str = ""
    max_version: str = ""
    cipher_suites: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read from the disk."""
        return tuple(path for path in (self.certificate, self.key, self.ca) if path)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """``https.client.*``; without a CA the system's roots are trusted."""

    certificate: str = ""
    key: str = ""
    ca: str = ""
    skip_verify: bool = False


def server_context(settings: ServerTls) -> ssl.SSLContext:
    """For the HTTPS listener: HTTP/1.1 only, from TLS 1.2 on.

    ``tls.*`` counts only with a CA, as upstream has it.

    Raises:
        ConfigError: a file or a name cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if settings.ca:
        _limit(context, settings)
        _trust(context, settings.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    _load_pair(context, settings.certificate, settings.key)
    return context


def client_context(settings: ClientTls) -> ssl.SSLContext:
    """For calls to other volume servers.

    Raises:
        ConfigError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    if settings.ca:
        _trust(context, settings.ca)
    else:
        context.load_default_certs()
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate:
        _load_pair(context, settings.certificate, settings.key)
    return context


# --- limits -------------------------------------------------------------------------------------


def _limit(context: ssl.SSLContext, settings: ServerTls) -> None:
    lowest = version_of("tls.min_version", settings.min_version)
    highest = version_of("tls.max_version", settings.max_version)
    low = ssl.TLSVersion.TLSv1_2 if lowest is None else max(lowest, _OLDEST)
    suites, only_tls13 = _chosen_suites(settings.cipher_suites)
    if only_tls13:
        low = ssl.TLSVersion.TLSv1_3
    if highest is not None and highest < low:
        raise ConfigError(
            f"tls.max_version {settings.max_version}: nothing is left from {low.name} on"
        )
    old = low < ssl.TLSVersion.TLSv1_2
    if suites:
        context.set_ciphers(":".join((*suites, "@SECLEVEL=0") if old else suites))
    elif old:
        context.set_ciphers(_OLD_SUITES)
    context.minimum_version = low
    if highest is not None:
        context.maximum_version = highest


def _chosen_suites(names: str) -> tuple[tuple[str, ...], bool]:
    """OpenSSL's names, none for its defaults, and whether nothing below TLS 1.3 was chosen."""
    if not names.strip():
        return (), False
    suites, has_tls13 = suites_of("tls.cipher_suites", names)
    return suites, has_tls13 and not suites


# --- files --------------------------------------------------------------------------------------


def _trust(context: ssl.SSLContext, path: str) -> None:
    """Every certificate in the file is a root of trust, whoever issued it, as in Go."""
    _read(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _cannot_load(path, f"no usable CA certificate: {_words(error)}") from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    for path in (certificate, key):
        _read(path)

    def refuse() -> NoReturn:  # OpenSSL would ask at the terminal
        raise _cannot_load(key, "the key is encrypted")

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _cannot_load(key, f"not the key of {certificate}") from error
        if _is_certificate(certificate):
            raise _cannot_load(key, f"no usable private key: {_words(error)}") from error
        raise _cannot_load(certificate, f"no usable certificate: {_words(error)}") from error


def _is_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def _read(path: str) -> None:
    """OpenSSL does not say which file it could not open."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"failed to load TLS certificate: {reason_of(error)}") from error


def _cannot_load(path: str, why: str) -> ConfigError:
    return ConfigError(f"failed to load TLS certificate: {path}: {why}")


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
