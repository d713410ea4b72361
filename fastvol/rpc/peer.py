"""Who is calling, from grpcio's text form of a peer."""

import ipaddress
from urllib.parse import unquote


def peer_ip(peer: str) -> str:
    """The caller's IP as a white list spells it, or "" for a peer without one.

    grpcio writes ``ipv4:10.0.0.1:5000`` and ``ipv6:%5B::1%5D:5000``. An IPv4 address that arrives
    on a dual-stack socket is its plain IPv4 text, and a zone (``%eth0``) stays, as in Go.
    """
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    host, _, _ = unquote(rest).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
