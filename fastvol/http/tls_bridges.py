"""The TLS connections of one data plane."""

import socket
import ssl
from typing import TYPE_CHECKING, Final

from fastvol.http.readiness import Poller
from fastvol.http.tls_bridge import TlsBridge
from fastvol.limits import TLS_PIECE_BYTES

if TYPE_CHECKING:
    from fastvol.http.connection import Connection
    from fastvol.http.plane import DataPlane


class TlsBridges:
    """All TLS connections of one data plane."""

    def __init__(self, plane: "DataPlane") -> None:
        self.plane = plane
        self.poller = Poller(plane.loop)
        self.room: Final = memoryview(bytearray(TLS_PIECE_BYTES))
        """For one step of any of them; nothing stays in it."""
        self._bridges: set[TlsBridge] = set()
        self._behind: dict[int, TlsBridge] = {}

    def __len__(self) -> int:
        return len(self._bridges)

    def accept(self, outer: socket.socket, peer: str, context: ssl.SSLContext) -> None:
        """Takes over a client's socket."""
        self._bridges.add(TlsBridge(self, outer, peer, context))

    def behind(self, connection: "Connection", bridge: TlsBridge) -> None:
        """``connection`` is served through ``bridge``."""
        self._behind[connection.token] = bridge

    def on_connection_closed(self, connection: "Connection") -> None:
        """Tells the bridge before ``connection``, if there is one."""
        bridge = self._behind.pop(connection.token, None)
        if bridge is not None:
            bridge.on_connection_closed()

    def forget(self, bridge: TlsBridge) -> None:
        """A bridge has closed."""
        self._bridges.discard(bridge)

    def sweep(self) -> None:
        """Ends what takes too long."""
        now = self.plane.loop.time()
        for bridge in list(self._bridges):
            bridge.on_sweep(now)

    def close_new(self) -> None:
        """Closes those on which no request can have come yet."""
        for bridge in list(self._bridges):
            if bridge.is_new:
                bridge.close()

    def close(self) -> None:
        """Closes all, whatever is on its way."""
        for bridge in list(self._bridges):
            bridge.close()
        self.poller.close()
