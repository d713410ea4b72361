"""Certificates made on the spot: an authority, and what it issues."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_HERE = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """A self-signed CA in a directory; ``path`` is its certificate."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, name, self._key, self._key, is_ca=True)
        self.path = str(directory / f"{name}.crt")
        Path(self.path).write_bytes(certificate)

    def issue(
        self,
        name: str,
        *,
        password: bytes | None = None,
        common_name: str | None = None,
        names: Sequence[x509.GeneralName] = _HERE,
    ) -> Pair:
        """A certificate for either side of a connection; its files are called ``name``."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(*(str(self._directory / f"{name}.{end}") for end in ("crt", "key")))
        Path(pair.certificate).write_bytes(
            _certificate(common_name or name, self._name, key, self._key, names)
        )
        Path(pair.key).write_bytes(_pem(key, password))
        return pair

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A client that trusts this authority only, with a certificate of its own or without."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.path)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes | None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def _certificate(
    name: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: Sequence[x509.GeneralName] = (),
    *,
    is_ca: bool = False,
) -> bytes:
    now = datetime.datetime.now(tz=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
