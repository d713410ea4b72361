"""The payload of a needle that lies in an object store, sent while it is fetched.

A whole payload is checked on its way: its last piece leaves once the checksum is known to be right, so
that a client never has all of a damaged one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import NeedleCorruptedError
from fastvol.limits import PAGED_READ_BYTES, REMOTE_PIECE_BYTES, SNIFF_BYTES_MAX
from fastvol.volume.tiered_needles import check_payload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastvol.http.blocking import RunBlocking
    from fastvol.http.ranges import MultipartRanges, Span
    from fastvol.http.response import Body
    from fastvol.volume.needles import StoredNeedle


class RemoteContent:
    """See :class:`fastvol.http.content.Content`; for threads, as it waits for the store."""

    def __init__(self, stored: StoredNeedle, run_remote: RunBlocking) -> None:
        assert stored.remote is not None
        assert stored.needle.size > PAGED_READ_BYTES
        self.size = stored.data_size
        self._stored = stored
        self._remote = stored.remote
        self._run = run_remote

    def span(self, span: Span) -> RemoteStream | Body:
        """See :class:`fastvol.http.content.Content`."""
        if span.length <= 0:
            return b""
        return RemoteStream(self._stored, span, self._run)

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> Body:
        """See :class:`fastvol.http.content.Content`."""
        pieces = bytearray()
        for head, span in zip(frame.heads, spans, strict=True):
            offset = self._stored.data_offset + span.start
            pieces += head + _all_of(self._remote.read(offset, span.length), span.length)
        return pieces + frame.tail


class RemoteStream:
    """See :class:`fastvol.http.response.StreamBody`.

    One piece is fetched ahead while the last one is being sent.
    """

    def __init__(self, stored: StoredNeedle, span: Span, run_remote: RunBlocking) -> None:
        """Fetches the first piece: while a failure can still be an answer of its own."""
        assert stored.remote is not None
        self.length: int | None = span.length
        self._stored = stored
        self._remote = stored.remote
        self._run = run_remote
        self._at = stored.data_offset + span.start
        self._end = self._at + span.length
        self._checked = span.length == stored.data_size
        self._computed = 0
        self._waiting: bytes | None = self._fetch()
        self._ahead: Awaitable[bytes] | None = None
        self.first = self._waiting[:SNIFF_BYTES_MAX]

    def _fetch(self) -> bytes:
        """The next piece, checked if it is the last one of a whole payload."""
        length = min(REMOTE_PIECE_BYTES, self._end - self._at)
        piece = _all_of(self._remote.read(self._at, length), length)
        self._at += length
        if self._checked:
            self._computed = crc32c(piece, self._computed)
            if self._at == self._end:
                check_payload(self._stored.needle, self._computed)
        return piece

    async def read(self) -> bytes:
        """See :class:`fastvol.http.response.StreamBody`."""
        piece, self._waiting = self._waiting, None
        if piece is None:
            ahead, self._ahead = self._ahead, None
            if ahead is None:
                return b""
            piece = await ahead
        if self._at < self._end:
            self._ahead = asyncio.ensure_future(self._run(self._fetch))
        return piece

    def close(self) -> None:
        """See :class:`fastvol.http.response.StreamBody`."""
        ahead, self._ahead = self._ahead, None
        self._end = self._at
        if isinstance(ahead, asyncio.Future):
            ahead.cancel()


def _all_of(found: bytes, length: int) -> bytes:
    if len(found) < length:
        raise NeedleCorruptedError("EOF")
    return found
