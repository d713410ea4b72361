"""The name that the certificate of a server goes by.

Servers of a cluster check one another's certificates against their own CA and take any name, for
they are found by address.  grpcio always compares names.  So the certificate is looked at first, in
a handshake of its own, and the channel is then told to expect one of the names in it.  That gives
away nothing: the channel checks the chain itself, and whoever holds a certificate of the CA may
serve under any address, as with upstream.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from fastvol.limits import PEER_NAME_SECONDS_MAX
from fastvol.log_limiter import LogLimiter

_warnings = LogLimiter(logging.getLogger(__name__))


async def name_of(address: str, context: ssl.SSLContext) -> str | None:
    """A name that the server at ``host:port`` has a certificate for.

    None when it cannot be had, which is for the channel to report in its own words.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(PEER_NAME_SECONDS_MAX):
            _, writer = await asyncio.open_connection(
                host, int(port), ssl=context, server_hostname=host
            )
    except (OSError, ValueError):  # timeouts, failed handshakes and unusable names included
        return None
    try:
        certificate = writer.get_extra_info("peercert")
    finally:
        writer.transport.abort()
    name = usable_name(certificate)
    if name is None:
        _warnings.warning(
            address, "the certificate of %s has no name that gRPC could expect of it", address
        )
    return name


def usable_name(certificate: Mapping[str, Any]) -> str | None:
    """The first name in ``certificate`` (as ``SSLSocket.getpeercert`` shows it) that grpcio accepts.

    It looks at DNS names and addresses and, where there is no DNS name, at the subject's first
    common name.
    """
    alternatives = certificate.get("subjectAltName", ())
    names = [value for kind, value in alternatives if kind == "DNS"]
    if not names:
        names = [_address(value) for kind, value in alternatives if kind == "IP Address"]
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        names += [value for kind, value in subject if kind == "commonName"][:1]
    # A wildcard stands for one label.
    concrete = (f"any{name[1:]}" if name.startswith("*.") else name for name in names)
    return next(filter(_can_be_expected, concrete), None)


def _address(text: str) -> str:
    """The address as grpcio writes it: ssl has its own way with IPv6."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""


def _can_be_expected(name: str) -> bool:
    """Whether grpcio takes ``name`` as it is: not for ``host:port``, nor for a quoted text."""
    return (
        bool(name) and not name.startswith("[") and name.count(":") != 1 and not {*name} & {*"*%"}
    )
