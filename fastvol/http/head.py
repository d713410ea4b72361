"""Where a request's head ends in a buffer that is still filling."""

from typing import Final

from fastvol.http.request import MalformedRequestError
from fastvol.limits import HTTP_HEAD_BYTES_MAX

_END: Final = b"\r\n\r\n"


class HeadTaker:
    """Takes heads from the front of one connection's buffer; looks at no byte again and again."""

    __slots__ = ("_scanned",)

    def __init__(self) -> None:
        self._scanned = 0
        """So many bytes of the buffer hold no end of a head."""

    def take(self, buffer: bytearray) -> bytes | None:
        """A head with its empty line, or None when more must come first.

        Raises:
            MalformedRequestError: whatever comes, it will be no head.
        """
        unseen = max(0, self._scanned - len(_END) + 1)
        end = buffer.find(_END, unseen)
        if end < 0 or end + len(_END) > HTTP_HEAD_BYTES_MAX:
            _check_unfinished(buffer, unseen)
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        head = bytes(memoryview(buffer)[: end + len(_END)])
        del buffer[: len(head)]
        return head


def _check_unfinished(buffer: bytearray, unseen: int) -> None:
    if len(buffer) > HTTP_HEAD_BYTES_MAX:
        raise MalformedRequestError(431, "Request Header Fields Too Large")
    if buffer.startswith((b"\r", b"\n")) or (
        # An empty line of bare line feeds: what we are waiting for will never come.
        buffer.find(b"\n\n", unseen) >= 0 or buffer.find(b"\n\r\n", unseen) >= 0
    ):
        raise MalformedRequestError
