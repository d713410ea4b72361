"""The address a server takes for itself."""

import ipaddress
import socket

import psutil


def detected_host_address() -> str:
    """The address advertised when ``-ip`` is not given (``weed/util/network.go``).

    First non-loopback IPv4 of an interface that is up, else first IPv6 that is neither loopback
    nor link-local, else ``localhost``.
    """
    states = psutil.net_if_stats()
    addresses = [
        entry
        for name, entries in psutil.net_if_addrs().items()
        if name in states and states[name].isup
        for entry in entries
    ]
    for family in (socket.AF_INET, socket.AF_INET6):
        for entry in addresses:
            if entry.family != family:
                continue
            address = ipaddress.ip_address(entry.address.partition("%")[0])
            if not (address.is_loopback or (address.version == 6 and address.is_link_local)):
                return str(address)
    return "localhost"
