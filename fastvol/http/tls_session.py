"""TLS without a socket: records go in and out as bytes."""

import contextlib
import ssl
from typing import Final

RECORD_BYTES_MAX: Final = 16 << 10
"""Largest content of one record (RFC 8446, section 5.1)."""


class TlsSession:
    """The server's side of one connection; nothing waits, what is missing is fed later.

    :exc:`ssl.SSLError` from any method: the client broke the protocol, and the alert that tells it
    so is among the records to be sent.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, data: bytes | memoryview) -> None:
        """Takes what came from the client; empty for the end of its stream."""
        if len(data):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def shake_hands(self) -> bool:
        """True once the handshake is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt_into(self, room: memoryview) -> tuple[int, bool]:
        """Number of bytes put into ``room``, and whether the client has ended its stream.

        ``room`` must hold a record. When it is full there may be more to decrypt.
        """
        size = 0
        try:
            while len(room) - size >= RECORD_BYTES_MAX:
                count = self._tls.read(RECORD_BYTES_MAX, room[size:])
                if not count:
                    return size, True
                size += int(count)
                if not self._incoming.pending and not self._tls.pending():
                    break  # asking once more would cost an exception
        except ssl.SSLWantReadError:
            return size, False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return size, True
        return size, False

    def encrypt(self, data: memoryview) -> None:
        """Makes records of ``data``."""
        self._tls.write(data)

    def say_bye(self) -> None:
        """Makes the record that ends our stream; nothing can be encrypted any more."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # complains that the client has not said good-bye yet

    @property
    def has_records(self) -> bool:
        """Whether there is something for the client."""
        return bool(self._outgoing.pending)

    def take_records(self) -> bytes:
        """Everything for the client."""
        return self._outgoing.read()
