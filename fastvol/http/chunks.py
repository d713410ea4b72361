"""The bytes of a chunk manifest, fetched from whoever has the chunks (weed/operation/chunked_file.go).

A chunk may be a manifest again, and nothing keeps one from listing itself. Each chunk is fetched by a
request of its own, maybe to this very server, so such a circle would go on for ever: a request for a
chunk says in a header of ours how many manifests led to it, and beyond some it is refused.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.errors import MasterError, PeerError
from fastvol.formats.file_id import parse_volume_id
from fastvol.http.go_text import to_bytes
from fastvol.http.hops import hops_so_far
from fastvol.http.query import escape_path
from fastvol.limits import CHUNK_DEPTH_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from fastvol.cluster.locations import VolumeLocations
    from fastvol.cluster.peer_http import PeerHttp, PeerResponse
    from fastvol.http.headers import Headers
    from fastvol.http.manifest import Manifest
    from fastvol.http.ranges import MultipartRanges, Span

log = logging.getLogger(__name__)

_DEPTH_HEADER: Final = "X-Fastvol-Chunk-Depth"


def depth_of(headers: Headers) -> int:
    """How many manifests led to a request."""
    return hops_so_far(headers, _DEPTH_HEADER, CHUNK_DEPTH_MAX)


class ChunkError(PeerError):
    """A chunk cannot be had; the text is what upstream answers."""


@dataclass(slots=True)
class _Piece:
    """``length`` bytes of a chunk from ``start`` on."""

    fid: str
    start: int
    length: int


class ChunkReader:
    """Fetches chunks from whoever has them, this server included."""

    def __init__(self, locations: VolumeLocations, peers: PeerHttp) -> None:
        self._locations = locations
        self._peers = peers

    async def open(self, fid: str, start: int, depth: int) -> PeerResponse:
        """The chunk's bytes from ``start`` on; ``depth`` manifests led to the one that lists it.

        Raises:
            ChunkError
        """
        if depth >= CHUNK_DEPTH_MAX:
            log.error("chunk %s: more than %d manifests lead to it", fid, CHUNK_DEPTH_MAX)
            raise ChunkError(f"more than {CHUNK_DEPTH_MAX} chunk manifests lead to {fid}")
        address = await self._address(fid)
        headers = [(_DEPTH_HEADER, str(depth + 1))]
        if start > 0:
            headers.append(("Range", f"bytes={start}-"))
        try:
            answer = await self._peers.request(
                "GET", address, b"/" + escape_path(to_bytes(fid)), headers=headers, follow=True
            )
        except PeerError as error:
            raise ChunkError(str(error)) from error
        if answer.status == 206 or (answer.status == 200 and start == 0):
            return answer
        answer.close()
        if answer.status == 416:
            raise ChunkError("HTTP Range not satisfiable")
        url = f"{self._peers.scheme}://{address}/{fid}"
        raise ChunkError(f"Read chunk needle error: [{answer.status}] {url}")

    async def _address(self, fid: str) -> str:
        vid, comma, rest = fid.partition(",")
        if not comma or "," in rest:
            raise ChunkError(f"Invalid fileId {fid}")
        try:
            volume_id = parse_volume_id(vid)
            known = await self._locations.recent(volume_id)
        except (ValueError, MasterError) as error:
            raise ChunkError(str(error)) from error
        if not known:
            raise ChunkError("File Not Found")
        return random.choice(known).url  # noqa: S311 - any of them will do


_NO_LENGTH: Final = -1
"""Of what cannot be read: an error before the first byte, not a response framed by it."""


class ManifestContent:
    """A manifest's bytes; see :class:`fastvol.http.content.Content`."""

    def __init__(self, manifest: Manifest, reader: ChunkReader, depth: int) -> None:
        """``depth``: how many other manifests led to this one."""
        self.size = manifest.content_size
        self._chunks = manifest.chunks
        self._is_readable = manifest.is_readable
        self._reader = reader
        self._depth = depth

    def span(self, span: Span) -> ChunkStream:
        """See :class:`fastvol.http.content.Content`."""
        return self._stream([*self._pieces(span)], span.length)

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> ChunkStream:
        """See :class:`fastvol.http.content.Content`."""
        parts: list[bytes | _Piece] = []
        for head, span in zip(frame.heads, spans, strict=True):
            parts += [head, *self._pieces(span)]
        return self._stream([*parts, frame.tail], frame.content_length)

    def _stream(self, parts: list[bytes | _Piece], length: int) -> ChunkStream:
        return ChunkStream(self._open, parts, length if self._is_readable else _NO_LENGTH)

    def _open(self, piece: _Piece) -> Awaitable[PeerResponse]:
        return self._reader.open(piece.fid, piece.start, self._depth)

    def _pieces(self, span: Span) -> Iterator[_Piece]:
        """Where the bytes of a span lie: the chunks one behind the other, without their offsets."""
        skip, left = span.start, span.length
        for chunk in self._chunks:
            if left <= 0:
                return
            if skip >= chunk.size:
                skip -= chunk.size
                continue
            length = min(chunk.size - skip, left)
            yield _Piece(chunk.fid, skip, length)
            left -= length
            skip = 0


class ChunkStream:
    """Bytes of chunks, one request at a time; see :class:`fastvol.http.response.StreamBody`."""

    def __init__(
        self,
        open_piece: Callable[[_Piece], Awaitable[PeerResponse]],
        parts: list[bytes | _Piece],
        length: int,
    ) -> None:
        self.length: int | None = length
        self.first = b""
        self._open = open_piece
        self._parts = deque(parts)
        self._waiting = b""
        self._answer: PeerResponse | None = None
        self._left = 0
        """Bytes of the open chunk that belong to this body."""

    async def begin(self) -> None:
        """Gets the first bytes; :exc:`ChunkError` while the response can still say so."""
        if self.length is not None and self.length < 0:
            raise ChunkError("Invalid range")
        self._waiting = await self._next()
        self.first = self._waiting

    async def read(self) -> bytes:
        """The next bytes; :exc:`ChunkError`."""
        waiting, self._waiting = self._waiting, b""
        return waiting or await self._next()

    async def _next(self) -> bytes:
        while self._answer is None:
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if isinstance(part, bytes):
                return part
            self._answer = await self._open(part)
            self._left = part.length
        try:
            data = await self._answer.read()
        except PeerError as error:
            raise ChunkError(str(error)) from error
        if not data:
            raise ChunkError("unexpected EOF")
        data = data[: self._left]
        self._left -= len(data)
        if not self._left:
            self._close_chunk()
        return data

    def _close_chunk(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def close(self) -> None:
        """Lets go of the open chunk."""
        self._parts.clear()
        self._close_chunk()
