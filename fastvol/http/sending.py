"""A response on its way into a non-blocking socket."""

import errno
import os
import socket
from typing import Final

from fastvol.http.response import Body, FileBody
from fastvol.limits import HTTP_TURN_BYTES, KIB, MIB

_JOINED_BYTES_MAX: Final = 256 * KIB
_STEP_BYTES: Final = 1 * MIB


class Outgoing:
    """Head and body; owns the body's reference on a volume until :meth:`release`."""

    __slots__ = ("_file", "_pieces")

    def __init__(self, head: bytes, body: Body | FileBody) -> None:
        self._file: FileBody | None = None
        self._pieces: list[memoryview]
        if isinstance(body, FileBody):
            self._file = body
            self._pieces = [memoryview(head)]
        elif len(body) <= _JOINED_BYTES_MAX:
            self._pieces = [memoryview(b"".join((head, body)))]
        else:
            self._pieces = [memoryview(head), memoryview(body)]

    def send(self, sock: socket.socket) -> bool:
        """True when everything is out, False when the socket is full or others have their turn.

        Raises:
            OSError: the peer is gone, or the data file cannot be read any more.
        """
        left = HTTP_TURN_BYTES
        try:
            while self._pieces and left > 0:
                left -= self._send_memory(sock)
            while not self._pieces and self._file is not None and left > 0:
                left -= self._send_file(sock, self._file)
        except (BlockingIOError, InterruptedError):
            return False
        return not self._pieces and self._file is None

    def _send_memory(self, sock: socket.socket) -> int:
        pieces = self._pieces
        more = len(pieces) > 1 or self._file is not None
        # In steps: a reader that drains as fast as we send could keep one call going for long.
        sent = sock.send(pieces[0][:_STEP_BYTES], socket.MSG_MORE if more else 0)
        if sent == len(pieces[0]):
            del pieces[0]
        else:
            pieces[0] = pieces[0][sent:]
        return sent

    def _send_file(self, sock: socket.socket, file: FileBody) -> int:
        if file.length == 0:
            self.release()
            return 0
        count = min(file.length, _STEP_BYTES)
        sent = os.sendfile(sock.fileno(), file.volume.dat_fd(), file.offset, count)
        if sent == 0:
            raise OSError(errno.EIO, f"the data file ends at {file.offset} under a response")
        file.offset += sent
        file.length -= sent
        return sent

    def release(self) -> None:
        """Lets go of the volume; safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def chunk_of(data: Body) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), bytes(data))


LAST_CHUNK: Final = b"0\r\n\r\n"
