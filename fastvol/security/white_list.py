"""Which peers may write: addresses and networks (``weed/security/guard.go``)."""

import ipaddress
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_log = logging.getLogger(__name__)

_CACHED_PEERS_MAX: Final = 1024
_IPV4_IN_IPV6: Final = "::ffff:"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WhiteList:
    """An immutable list; a reload builds a new one.

    Items with a slash are networks, all others are compared with the peer's address as text. An
    empty list lets everybody in. A list whose items are all unusable lets nobody in: a typo must
    not open the server.
    """

    def __init__(self, items: Iterable[str]) -> None:
        listed = tuple(items)
        self._open = not listed
        self._hosts = frozenset(item for item in listed if "/" not in item)
        self._networks = tuple(_networks(item for item in listed if "/" in item))
        self._decide = lru_cache(maxsize=_CACHED_PEERS_MAX)(self._listed)

    @property
    def is_open(self) -> bool:
        """Whether everybody is allowed."""
        return self._open

    def allows(self, host: str) -> bool:
        """Whether the peer with this TCP address (no port, no brackets) may write."""
        return self._open or self._decide(host)

    def _listed(self, host: str) -> bool:
        # A dual-stack listener sees IPv4 peers in IPv6 dress.
        if host.startswith(_IPV4_IN_IPV6):
            host = host[len(_IPV4_IN_IPV6) :]
        if host in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _networks(items: Iterable[str]) -> Iterable[_Network]:
    for item in items:
        try:
            yield ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            _log.error("Parse CIDR %s in whitelist failed: %s", item, error)
