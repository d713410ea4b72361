"""The data plane: listeners, connections, timers, on one event loop.

Everything here runs on that loop's thread. Handlers that must wait are coroutines.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol._cffi.serve import NativeLoop, NativeServer
from fastvol.errors import ConfigError
from fastvol.http.connection import Connection
from fastvol.http.tls_bridges import TlsBridges
from fastvol.http.upload_limit import FRAMING_BYTES_MAX
from fastvol.limits import (
    HTTP_HEAD_SECONDS_MAX,
    HTTP_IDLE_SECONDS_DEFAULT,
    HTTP_LISTEN_BACKLOG,
    MIB,
)
from fastvol.log_limiter import LogLimiter

if TYPE_CHECKING:
    from fastvol.http.router import Router
    from fastvol.security.tls_reload import ServerContexts

log = logging.getLogger(__name__)

_ACCEPTS_PER_EVENT: Final = 64
_SWEEP_SECONDS: Final = 0.5
_FOREVER_SECONDS: Final = 10**9
_ACCEPT_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class PlaneOptions:
    """Timeouts in seconds, sizes in bytes; no idle timeout when it is not positive."""

    idle_seconds: float = HTTP_IDLE_SECONDS_DEFAULT
    head_seconds: float = HTTP_HEAD_SECONDS_MAX
    file_bytes_max: int = 256 * MIB


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    sock: socket.socket
    public: bool
    tls: "ServerContexts | None"


class DataPlane:
    """Owns the listening sockets and every connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        native: NativeServer,
        router: "Router",
        options: PlaneOptions,
    ) -> None:
        self.loop = loop
        self.router = router
        self.native_loop = NativeLoop(native)
        self.closing = False
        self.file_bytes_max = options.file_bytes_max
        self.body_bytes_max = options.file_bytes_max + FRAMING_BYTES_MAX
        idle_seconds = options.idle_seconds if options.idle_seconds > 0 else _FOREVER_SECONDS
        self.idle_seconds = idle_seconds
        self.head_seconds = min(options.head_seconds, idle_seconds)
        self._connections: dict[int, Connection] = {}
        self._bridges = TlsBridges(self)
        self._listeners: list[_Listener] = []
        self._next_token = 1
        self._accepting = LogLimiter(log)
        self._sweep: asyncio.TimerHandle | None = None
        loop.add_reader(self.native_loop.fd(), self._on_events)
        self._schedule_sweep()

    # --- listening ------------------------------------------------------------------------------

    def listen(
        self, sock: socket.socket, *, public: bool, tls: "ServerContexts | None" = None
    ) -> None:
        """Accepts on a bound socket; ``public`` ports take reads only, ``tls`` makes it HTTPS."""
        sock.listen(HTTP_LISTEN_BACKLOG)
        sock.setblocking(False)
        listener = _Listener(sock, public, tls)
        self._listeners.append(listener)
        self.loop.add_reader(sock.fileno(), self._accept, listener)

    def _accept(self, listener: _Listener) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                sock, address = listener.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(listener, error)
                return
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if listener.tls is not None:
                self._bridges.accept(sock, address[0], listener.tls.current)
            else:
                self.adopt(sock, address[0], public=listener.public)

    def adopt(
        self, sock: socket.socket, peer: str, *, public: bool, wire: socket.socket | None = None
    ) -> Connection | None:
        """A connection on ``sock``, which is closed when there is no memory for one.

        Args:
            sock: non-blocking.
            wire: the peer's own socket, where ``sock`` only leads to it.
        """
        token = self._next_token
        self._next_token += 1
        try:
            connection = Connection(self, sock, token, peer, public=public, wire=wire)
        except MemoryError:
            self._accepting.error("memory", "no memory for another connection")
            sock.close()
            return None
        self._connections[token] = connection
        return connection

    def _pause_accepting(self, listener: _Listener, error: OSError) -> None:
        """Out of descriptors, mostly: trying again at once would only spin."""
        self._accepting.error(error.errno, "cannot accept a connection: %s", error)
        self.loop.remove_reader(listener.sock.fileno())
        self.loop.call_later(_ACCEPT_PAUSE_SECONDS, self._accept_again, listener)

    def _accept_again(self, listener: _Listener) -> None:
        if listener in self._listeners:
            self.loop.add_reader(listener.sock.fileno(), self._accept, listener)

    # --- events ---------------------------------------------------------------------------------

    def forget(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.pop(connection.token, None)
        self._bridges.on_connection_closed(connection)

    def serve_now(self) -> None:
        """Serves what is ready, without waiting for the event loop to come to it."""
        self._on_events()

    def _on_events(self) -> None:
        for token, event in self.native_loop.poll():
            connection = self._connections.get(token)
            if connection is not None:
                connection.on_event(event)

    def _schedule_sweep(self) -> None:
        self._sweep = self.loop.call_later(_SWEEP_SECONDS, self._sweep_connections)

    def _sweep_connections(self) -> None:
        self._schedule_sweep()
        idle_ms, head_ms = int(self.idle_seconds * 1000), int(self.head_seconds * 1000)
        for token in self.native_loop.expired(idle_ms, head_ms):
            connection = self._connections.get(token)
            if connection is not None:
                connection.on_expired()
        self._bridges.sweep()

    # --- stopping -------------------------------------------------------------------------------

    async def stop(self, seconds: float) -> None:
        """Stops accepting, closes idle connections, gives active ones ``seconds``, then closes all."""
        self.closing = True
        for listener in self._listeners:
            self.loop.remove_reader(listener.sock.fileno())
            listener.sock.close()
        self._listeners.clear()
        deadline = self.loop.time() + seconds
        self._bridges.close_new()
        while True:
            for connection in list(self._connections.values()):
                if connection.idle:
                    connection.close()
            gone = not self._connections and not self._bridges
            if gone or self.loop.time() >= deadline:
                break
            await asyncio.sleep(0.02)
        for connection in list(self._connections.values()):
            connection.close()
        self._bridges.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self.loop.remove_reader(self.native_loop.fd())
        self.native_loop.close()


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket; an empty host means all addresses.

    Raises:
        ConfigError: in upstream's words.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        text = "bind: address already in use" if error.errno == errno.EADDRINUSE else str(error)
        raise ConfigError(
            f"Volume server listener error:listen tcp {host}:{port}: {text}"
        ) from error
    return sock
