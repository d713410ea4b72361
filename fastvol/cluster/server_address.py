"""Addresses of SeaweedFS servers, whose text may carry a gRPC port after the HTTP port.

``host:8080`` is dialled at gRPC port 18080, ``host:8080.9333`` at 9333. Logs, messages and
comparisons use the HTTP form ``host:8080`` only. Source of the rules:
weed/pb/server_address.go: ToHttpAddress, ToGrpcAddress.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastvol.errors import InvalidRequestError
from fastvol.limits import GRPC_PORT_OFFSET


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server address as it was given; ``str()`` is its HTTP form."""

    text: str

    @property
    def http(self) -> str:
        """``host:port`` without the gRPC port; texts without a port are returned unchanged."""
        host, ports = self._split()
        http_port, dot, _ = ports.rpartition(".")
        return join_host_port(host, http_port) if dot else self.text

    @property
    def grpc(self) -> str:
        """The ``host:port`` to dial for gRPC.

        Raises InvalidRequestError when a port is no number (upstream ends the process there).
        """
        host, ports = self._split()
        if not ports:
            return self.text
        http_port, dot, grpc_port = ports.rpartition(".")
        if dot:
            self._number(http_port)
            return join_host_port(host, self._number(grpc_port))
        return join_host_port(host, self._number(ports) + GRPC_PORT_OFFSET)

    def same_server(self, other: ServerAddress) -> bool:
        """Whether both name one server, whatever gRPC port their texts carry."""
        return self.http == other.http

    def _split(self) -> tuple[str, str]:
        host, colon, ports = self.text.rpartition(":")
        return (host, ports) if colon else (self.text, "")

    def _number(self, port: str) -> int:
        if not (port.isascii() and port.isdigit()):
            raise InvalidRequestError(f"server address {self.text}: port {port!r} is not a number")
        return int(port)

    def __str__(self) -> str:
        return self.http


def parse_addresses(text: str) -> tuple[ServerAddress, ...]:
    """Addresses of a comma separated list; blanks, empty items and repetitions are dropped."""
    items = (item.strip() for item in text.split(","))
    return tuple(ServerAddress(item) for item in dict.fromkeys(items) if item)


def join_host_port(host: str, port: int | str) -> str:
    """``host:port``, with brackets around a bare IPv6 address."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
