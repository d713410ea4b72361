"""Go's names of TLS versions and cipher suites, as ``security.toml`` spells them.

Source of the names: ``weed/security/tls.go: TlsVersionByName, TlsCipherSuiteByNames`` and Go's
``crypto/tls``.
"""

import ssl
from typing import Final

from fastvol.errors import ConfigError

_VERSIONS: Final[dict[str, ssl.TLSVersion]] = {
    "SSLv3": ssl.TLSVersion.SSLv3,
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.3": ssl.TLSVersion.TLSv1_3,
}

TLS13_SUITES: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Always on where TLS 1.3 is: Go does not let them be chosen either."""

_SUITES: Final[dict[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_RC4_128_SHA": "RC4-SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": "ECDHE-ECDSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "ECDHE-RSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "ECDHE-RSA-DES-CBC3-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
}


def version_of(key: str, name: str) -> ssl.TLSVersion | None:
    """The version that the setting ``key`` names; None for an empty name.

    Raises:
        ConfigError: no such version.
    """
    if not name:
        return None
    version = _VERSIONS.get(name)
    if version is None:
        known = ", ".join(_VERSIONS)
        raise ConfigError(f"{key}: invalid tls version {name} (known: {known})")
    return version


def suites_of(key: str, names: str) -> tuple[tuple[str, ...], bool]:
    """OpenSSL's names of a comma list of Go's, and whether suites of TLS 1.3 are among them.

    Raises:
        ConfigError: a name is unknown, or OpenSSL has no such suite any more.
    """
    found: list[str] = []
    has_tls13 = False
    for item in names.split(","):
        name = item.strip()
        if name in TLS13_SUITES:
            has_tls13 = True
            continue
        suite = _SUITES.get(name)
        if suite is None:
            raise ConfigError(f"{key}: invalid tls cipher suite name {name or repr(name)}")
        if not _is_available(suite):
            raise ConfigError(f"{key}: {name} is not available in {ssl.OPENSSL_VERSION}")
        found.append(suite)
    return tuple(found), has_tls13


def _is_available(suite: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
    except ssl.SSLError:
        return False
    return True
