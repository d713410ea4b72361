"""A data plane behind TLS, and clients of it that behave as a plain socket does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from certificate_kit import Authority, Pair

from fastvol.security.tls import ServerTls
from fastvol.security.tls_reload import ServerContexts
from tests.wire.live_plane import LivePlane


class TlsSocket:
    """A blocking TLS client of which either direction can be ended alone, unlike Python's own."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.raw = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self.said_bye = False
        self._lock = threading.Lock()
        """One thread may send while another receives; not held while waiting for the server."""
        self._do(self.tls.do_handshake)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.raw.sendall(self._outgoing.read())

    def _do(self, step: Any) -> Any:
        while True:
            with self._lock:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    self._flush()
            data = self.raw.recv(1 << 16)
            with self._lock:
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 18):
            with self._lock:
                self.tls.write(memoryview(data)[at : at + (1 << 18)])
                self._flush()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Empty at the end of the stream; ``said_bye`` tells whether that was a good-bye."""
        if flags & socket.MSG_PEEK:
            return self.raw.recv(size, flags)
        try:
            data = self._do(lambda: self.tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.said_bye = not self._incoming.eof
        return bytes(data)

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        with self._lock:
            with contextlib.suppress(ssl.SSLError):
                self.tls.unwrap()
            self._flush()

    def close(self) -> None:
        self.raw.close()

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


class TlsPlane(LivePlane):
    """``connect`` shakes hands; ``connect_raw`` leaves that to the caller."""

    def __init__(
        self,
        directory: Path,
        *,
        demand_certificates: bool = False,
        limits: dict[str, str] | None = None,
        send_buffer: int | None = None,
        **options: Any,
    ) -> None:
        self.authority = Authority(directory)
        self.pair: Pair = self.authority.issue("server")
        ca = self.authority.path if demand_certificates else ""
        settings = ServerTls(self.pair.certificate, self.pair.key, ca, **(limits or {}))
        self.contexts = ServerContexts(settings)
        self.client = self.authority.client()
        super().__init__(directory, tls=self.contexts, **options)
        if send_buffer is not None:  # accepted sockets inherit it
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)

    def connect_raw(self, receive_buffer: int | None = None) -> socket.socket:
        return super().connect(receive_buffer)

    def connect(self, receive_buffer: int | None = None) -> Any:
        return TlsSocket(self.connect_raw(receive_buffer), self.client)

    def bridges(self) -> int:
        """TLS connections at this moment, in whatever state."""
        return len(self._plane._bridges)

    def connections(self) -> int:
        """Those too whose handshake the client has finished and the server has not."""
        return max(super().connections(), self.bridges())
