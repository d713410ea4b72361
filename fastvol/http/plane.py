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
        self._idle_ms = int(idle_seconds * 1000)
        self._head_ms = int(min(options.head_seconds, idle_seconds) * 1000)
        self._connections: dict[int, Connection] = {}
        self._listeners: list[socket.socket] = []
        self._next_token = 1
        self._accepting = LogLimiter(log)
        self._sweep: asyncio.TimerHandle | None = None
        loop.add_reader(self.native_loop.fd(), self._on_events)
        self._schedule_sweep()

    # --- listening ------------------------------------------------------------------------------

    def listen(self, sock: socket.socket, *, public: bool) -> None:
        """Accepts on a bound socket; ``public`` ports take reads only."""
        sock.listen(HTTP_LISTEN_BACKLOG)
        sock.setblocking(False)
        self._listeners.append(sock)
        self.loop.add_reader(sock.fileno(), self._accept, sock, public)

    def _accept(self, listener: socket.socket, public: bool) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(listener, public, error)
                return
            self._adopt(sock, address[0], public)

    def _adopt(self, sock: socket.socket, peer: str, public: bool) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        token = self._next_token
        self._next_token += 1
        try:
            self._connections[token] = Connection(self, sock, token, peer, public=public)
        except MemoryError:
            self._accepting.error("memory", "no memory for another connection")
            sock.close()

    def _pause_accepting(self, listener: socket.socket, public: bool, error: OSError) -> None:
        """Out of descriptors, mostly: trying again at once would only spin."""
        self._accepting.error(error.errno, "cannot accept a connection: %s", error)
        self.loop.remove_reader(listener.fileno())
        self.loop.call_later(_ACCEPT_PAUSE_SECONDS, self._accept_again, listener, public)

    def _accept_again(self, listener: socket.socket, public: bool) -> None:
        if listener in self._listeners:
            self.loop.add_reader(listener.fileno(), self._accept, listener, public)

    # --- events ---------------------------------------------------------------------------------

    def forget(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.pop(connection.token, None)

    def _on_events(self) -> None:
        for token, event in self.native_loop.poll():
            connection = self._connections.get(token)
            if connection is not None:
                connection.on_event(event)

    def _schedule_sweep(self) -> None:
        self._sweep = self.loop.call_later(_SWEEP_SECONDS, self._sweep_connections)

    def _sweep_connections(self) -> None:
        self._schedule_sweep()
        for token in self.native_loop.expired(self._idle_ms, self._head_ms):
            connection = self._connections.get(token)
            if connection is not None:
                connection.on_expired()

    # --- stopping -------------------------------------------------------------------------------

    async def stop(self, seconds: float) -> None:
        """Stops accepting, closes idle connections, gives active ones ``seconds``, then closes all."""
        self.closing = True
        for listener in self._listeners:
            self.loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        deadline = self.loop.time() + seconds
        while True:
            for connection in list(self._connections.values()):
                if connection.idle:
                    connection.close()
            if not self._connections or self.loop.time() >= deadline:
                break
            await asyncio.sleep(0.02)
        for connection in list(self._connections.values()):
            connection.close()
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
