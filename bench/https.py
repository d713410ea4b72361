"""GET over HTTPS: fastvol against ``weed volume``, page cache warm, loopback, keep-alive.

Both speak HTTP/1.1 with the same certificate; fastvol without TLS stands beside them.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.harness import LOAD_HEADER, Bench, Sample, arguments, load, load_rows, put, report

SIZES = (1 << 10, 64 << 10, 1 << 20)
_PLAIN = "fastvol (plain HTTP)"


def make_certificate(directory: Path) -> dict[str, str]:
    """A self-signed one for 127.0.0.1; returns the environment that makes servers use it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "bench.crt", directory / "bench.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {
        "WEED_HTTPS_VOLUME_CERT": str(certificate_path),
        "WEED_HTTPS_VOLUME_KEY": str(key_path),
    }


def main() -> None:
    options = arguments(__doc__ or "", rounds=5, seconds=3, connections=32)
    with Bench() as bench:
        plain = bench.fastvol(name=_PLAIN)
        os.environ.update(make_certificate(bench.directory))
        servers = [bench.weed_volume(), bench.fastvol()]
        for server in servers:
            server.scheme = "https"
        servers.append(plain)
        for size in SIZES:
            data = os.urandom(size)
            for server in servers:
                put(server, size, data)
        samples: dict[tuple[str, int], list[Sample]] = {}
        for size in SIZES:
            for _ in range(options.rounds):
                for server in servers:
                    sample = load(
                        server,
                        server.url(size),
                        seconds=options.seconds,
                        connections=options.connections,
                    )
                    samples.setdefault((server.name, size), []).append(sample)
        report("https", "GET over HTTPS", LOAD_HEADER, load_rows(samples))


if __name__ == "__main__":
    main()
