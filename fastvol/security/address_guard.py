"""Which addresses this server lets a caller of its own point it at.

Some calls name a server to copy from, to send to or to fetch from.  Whoever may make such a call could
otherwise have this server reach what only it can reach: itself, its neighbours on the link, or the
metadata service of a cloud.  A name is resolved once here and the connection is made to an address
that was checked, so that a name server which answers differently the second time gains nothing.
``-volume.allowUntrustedRemoteEndpoints`` turns all of it off.

Source of the rules and texts: weed/server/volume_grpc_remote.go: validateRemoteEndpoint,
validateReplicaTarget, checkBlockedIPPolicy.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

from fastvol.errors import InvalidRequestError
from fastvol.formats.go_numbers import quote
from fastvol.limits import ADDRESS_LOOKUP_SECONDS

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address
_Address = _IPv4 | _IPv6

_UNKNOWN_HOST: Final = (socket.EAI_NONAME, socket.EAI_NODATA)
_METADATA_HOSTS: Final = ("metadata", "metadata.google.internal")
_METADATA_ADDRESS: Final = _IPv4("169.254.169.254")
_LINK_LOCAL: Final = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "224.0.0.0/24", "ff02::/16"))
)
_INTERFACE_LOCAL: Final = ipaddress.ip_network("ff01::/16")
_PRIVATE: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
_CGNAT: Final = ipaddress.ip_network("100.64.0.0/10")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_6TO4: Final = ipaddress.ip_network("2002::/16")
_TEREDO: Final = ipaddress.ip_network("2001::/32")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


def check_address(name: str, address: _Address, *, allow_private: bool) -> None:
    """Raises InvalidRequestError for an address that ``name`` must not stand for."""
    found = f"remote endpoint {quote(name)}"
    address = getattr(address, "ipv4_mapped", None) or address
    if address == _METADATA_ADDRESS:
        raise InvalidRequestError(f"{found} targets instance metadata service {address}")
    kind = _blocked_kind(address, allow_private=allow_private)
    if kind:
        raise InvalidRequestError(f"{found} resolves to {kind} address {address}")
    carried = _carried_ipv4(address)
    if carried is not None:
        check_address(name, carried, allow_private=allow_private)


def _blocked_kind(address: _Address, *, allow_private: bool) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified:
        return "unspecified"
    if _within(address, *_LINK_LOCAL):
        return "link-local"
    if _within(address, _INTERFACE_LOCAL):
        return "interface-local"
    if allow_private:
        return ""
    if _within(address, *_PRIVATE):
        return "private"
    return "CGNAT" if _within(address, _CGNAT) else ""


def _within(address: _Address, *networks: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return any(address.version == net.version and address in net for net in networks)


def _carried_ipv4(address: _Address) -> _IPv4 | None:
    """The IPv4 address within an IPv6 one by which gateways reach it."""
    packed = address.packed
    if address.version == 4:
        return None
    if _within(address, _NAT64, _COMPATIBLE):
        return _IPv4(packed[12:])
    if _within(address, _6TO4):
        return _IPv4(packed[2:6])
    if _within(address, _TEREDO):
        return _IPv4(bytes(byte ^ 0xFF for byte in packed[12:]))
    return None


async def checked_endpoint(url: str) -> list[str]:
    """Addresses of the host of an http(s) URL, all of them allowed; private ones are not.

    Raises InvalidRequestError.
    """
    if not url.strip():
        raise InvalidRequestError("remote endpoint is empty")
    named = f"remote endpoint {quote(url)}"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise InvalidRequestError(f"parse {named}: {error}") from error
    if not parts.scheme and ":" in url.partition("/")[0]:
        raise InvalidRequestError(
            f"parse {named}: parse {quote(url)}: first path segment in URL cannot contain colon"
        )
    if parts.scheme.lower() not in ("http", "https"):
        raise InvalidRequestError(f"{named} must use http or https, got {quote(parts.scheme)}")
    if not host:
        raise InvalidRequestError(f"{named} has no host")
    if host.lower() in _METADATA_HOSTS:
        raise InvalidRequestError(f"{named} targets instance metadata service")
    return await _checked_host(
        url, host, f"resolve remote endpoint host {quote(host)}", allow_private=False
    )


def checked_host(host: str) -> list[str]:
    """Addresses of a host that a connection is about to be made to, all of them allowed.

    Blocks.  Raises InvalidRequestError.
    """
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise InvalidRequestError(f"lookup {host}: {error}") from error
        addresses = _addresses(found)
    for address in addresses:
        check_address(host, address, allow_private=False)
    return [str(address) for address in addresses]


async def checked_target(target: str) -> list[str]:
    """Addresses of a bare ``host:port`` of another server, all of them allowed, private ones too.

    Raises InvalidRequestError.
    """
    if not target.strip():
        raise InvalidRequestError("replica target is empty")
    named = f"replica target {quote(target)}"
    if "://" in target or any(character in target for character in "/?#@\\"):
        raise InvalidRequestError(f"{named} must be a bare host:port")
    host = _host_of(target, named)
    if not host:
        raise InvalidRequestError(f"{named} has no host")
    if host.lower() in _METADATA_HOSTS:
        raise InvalidRequestError(f"{named} targets instance metadata service")
    return await _checked_host(
        target, host, f"resolve replica target host {quote(host)}", allow_private=True
    )


def _host_of(target: str, named: str) -> str:
    """The host, without brackets; texts of Go's net.SplitHostPort."""

    def refuse(reason: str) -> InvalidRequestError:
        return InvalidRequestError(f"{named} must be a bare host:port: address {target}: {reason}")

    host, colon, _ = target.rpartition(":")
    if not colon:
        raise refuse("missing port in address")
    if target.startswith("["):
        end = target.find("]")
        if end < 0:
            raise refuse("missing ']' in address")
        if end + 1 != len(host):
            raise refuse(
                "missing port in address"
                if end + 1 == len(target)
                else "too many colons in address"
            )
        return host[1:-1]
    if ":" in host:
        raise refuse("too many colons in address")
    if "[" in target:
        raise refuse("unexpected '[' in address")
    if "]" in target:
        raise refuse("unexpected ']' in address")
    return host


async def _checked_host(name: str, host: str, doing: str, *, allow_private: bool) -> list[str]:
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        addresses = await _resolve(host, doing)
    for address in addresses:
        check_address(name, address, allow_private=allow_private)
    return [str(address) for address in addresses]


async def _resolve(host: str, doing: str) -> list[_Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ADDRESS_LOOKUP_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        unknown = isinstance(error, socket.gaierror) and error.errno in _UNKNOWN_HOST
        reason = "no such host" if unknown else getattr(error, "strerror", None) or str(error)
        raise InvalidRequestError(f"{doing}: lookup {host}: {reason}") from error
    except TimeoutError as error:
        raise InvalidRequestError(f"{doing}: lookup {host}: i/o timeout") from error
    return _addresses(found)


def _addresses(found: list[Any]) -> list[_Address]:
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
