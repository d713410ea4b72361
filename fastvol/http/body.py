"""Request bodies by their framing: a known length, or chunks.

Both take what is theirs from the front of a connection's buffer and leave what lies behind, so that
the next pipelined request begins exactly where this body ends. A body is kept whole, because the
checksum, the digest and the type of an upload need all of it; what may become too large is for the
caller to watch.
"""

import socket
from enum import Enum, auto
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import go_quote, to_text
from fastvol.limits import HTTP_CHUNK_EXCESS_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, KIB, MIB

_GROWTH_FIRST_BYTES: Final = 64 * KIB
_GROWTH_BYTES_MAX: Final = 16 * MIB
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_CHUNK_DIGITS_MAX: Final = 16
_ALLOWED_EXCESS_BYTES: Final = 16
"""Framing bytes a chunk may cost without counting as excess."""


class FixedBody:
    """A body of ``length`` bytes, collected in ``data``."""

    __slots__ = ("_at", "data", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self.data = bytearray()
        self._at = 0

    @property
    def complete(self) -> bool:
        """Whether everything has come in."""
        return self._at == self.length

    def feed(self, buffer: bytearray) -> None:
        """Takes its bytes from the front of ``buffer``; only before the first :meth:`receive`."""
        if len(buffer) <= self.length - self._at:
            self.data += buffer
            buffer.clear()
        else:
            # The usual small upload: head and body came in one piece.
            count = self.length - self._at
            self.data += memoryview(buffer)[:count]
            del buffer[:count]
        self._at = len(self.data)

    def receive(self, sock: socket.socket) -> int:
        """Receives straight into place; returns how much, 0 at the end of input.

        Raises:
            OSError: BlockingIOError when there is nothing.
        """
        if self._at == len(self.data):
            # Step by step: a client's promise alone reserves little memory.
            step = min(max(len(self.data), _GROWTH_FIRST_BYTES), _GROWTH_BYTES_MAX)
            self.data.extend(bytes(min(step, self.length - self._at)))
        with memoryview(self.data) as view, view[self._at :] as room:
            count = sock.recv_into(room)
        self._at += count
        return count


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    END = auto()


class ChunkedBody:
    """Takes chunks apart (net/http/internal: chunkedReader, in what it accepts and its texts)."""

    __slots__ = ("_excess", "_left", "_part", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._part = _Part.SIZE
        self._left = 0
        self._excess = 0

    @property
    def complete(self) -> bool:
        """Whether the last chunk and the trailer have come in."""
        return self._part is _Part.END

    def feed(self, buffer: bytearray) -> None:
        """Takes all of its bytes that have come in from the front of ``buffer``.

        Raises:
            InvalidRequestError: the framing is wrong; what is left of the buffer is worthless.
        """
        at = 0
        with memoryview(buffer) as view:
            while self._part is not _Part.END:
                after = self._step(buffer, view, at)
                if after == at:
                    break
                at = after
        del buffer[:at]

    def _step(self, buffer: bytearray, view: memoryview, at: int) -> int:
        """Takes one piece; the position behind it, the same position when more must come first."""
        if self._part is _Part.DATA:
            return self._data(view, at)
        if self._part is _Part.SIZE:
            return self._size_line(buffer, at)
        if self._part is _Part.DATA_END:
            if len(buffer) - at < 2:
                return at
            if buffer[at : at + 2] != b"\r\n":
                raise InvalidRequestError("malformed chunked encoding")
            self._part = _Part.SIZE
            return at + 2
        return self._trailer(buffer, at)

    def _data(self, view: memoryview, at: int) -> int:
        count = min(self._left, len(view) - at)
        self.data += view[at : at + count]
        self._left -= count
        if self._left == 0:
            self._part = _Part.DATA_END
        return at + count

    def _size_line(self, buffer: bytearray, at: int) -> int:
        end = buffer.find(b"\n", at, at + HTTP_CHUNK_LINE_BYTES_MAX)
        if end < 0:
            if len(buffer) - at >= HTTP_CHUNK_LINE_BYTES_MAX:
                raise InvalidRequestError("header line too long")
            return at
        line = bytes(buffer[at : end + 1])
        self._left = _chunk_size(line)
        self._excess += len(line) + 2 - _ALLOWED_EXCESS_BYTES - 2 * self._left
        self._excess = max(self._excess, 0)
        if self._excess > HTTP_CHUNK_EXCESS_BYTES_MAX:
            raise InvalidRequestError("chunked encoding contains too much non-data")
        self._part = _Part.DATA if self._left else _Part.TRAILER
        return end + 1

    def _trailer(self, buffer: bytearray, at: int) -> int:
        """The trailer's fields mean nothing to an upload; only their form is checked."""
        if buffer.startswith(b"\r\n", at):
            self._part = _Part.END
            return at + 2
        end = buffer.find(b"\r\n\r\n", at, at + HTTP_CHUNK_LINE_BYTES_MAX)
        if end < 0:
            if len(buffer) - at >= HTTP_CHUNK_LINE_BYTES_MAX:
                raise InvalidRequestError("http: suspiciously long trailer after chunked body")
            return at
        for line in bytes(buffer[at:end]).split(b"\r\n"):
            if b":" not in line:
                shown = go_quote(to_text(line))
                raise InvalidRequestError(f"malformed MIME header: missing colon: {shown}")
        self._part = _Part.END
        return end + 4


def _chunk_size(line: bytes) -> int:
    carriage_return = line.find(b"\r")
    if carriage_return < 0:
        raise InvalidRequestError("chunked line ends with bare LF")
    if carriage_return != len(line) - 2:
        raise InvalidRequestError("invalid CR in chunked line")
    digits = line[:-2].rstrip(b" \t").partition(b";")[0]
    if not digits:
        raise InvalidRequestError("empty hex number for chunk length")
    if not _HEX.issuperset(digits[: _CHUNK_DIGITS_MAX + 1]):
        raise InvalidRequestError("invalid byte in chunk length")
    if len(digits) > _CHUNK_DIGITS_MAX:
        raise InvalidRequestError("http chunk length too large")
    return int(digits, 16)
