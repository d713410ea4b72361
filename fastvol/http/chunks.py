"""Chunk manifests: objects whose bytes are those of other objects, one behind the other
(weed/operation/chunked_file.go)."""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastvol.errors import MasterError, PeerError
from fastvol.formats.file_id import parse_volume_id
from fastvol.http.compression import gunzip
from fastvol.http.go_text import to_bytes
from fastvol.limits import GUNZIP_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastvol.cluster.locations import VolumeLocations
    from fastvol.cluster.peer_http import PeerHttp, PeerResponse
    from fastvol.http.ranges import MultipartRanges, Span

_INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """``size`` bytes at ``offset`` of the whole, stored as the object ``fid``."""

    fid: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Chunks by offset; ``size`` is what the manifest says of itself."""

    name: str
    mime: str
    size: int
    chunks: tuple[Chunk, ...]

    @property
    def content_size(self) -> int:
        """Bytes of all chunks."""
        return sum(chunk.size for chunk in self.chunks)


def parse_manifest(data: bytes, *, is_compressed: bool) -> Manifest:
    """Reads the JSON of a manifest; :exc:`ValueError` when it is none (LoadChunkManifest)."""
    text = gunzip(data, GUNZIP_BYTES_MAX) if is_compressed else data
    fields = _fields(json.loads(text.decode("utf-8", "replace"), parse_constant=_no_constant))
    listed = fields.get("chunks") or ()
    if not isinstance(listed, list | tuple):
        raise ValueError("chunks is no array")  # noqa: TRY004 - it is about the text
    chunks = [_chunk(_fields(entry)) for entry in listed]
    return Manifest(
        _text(fields, "name"),
        _text(fields, "mime"),
        _integer(fields, "size"),
        tuple(sorted(chunks, key=lambda chunk: chunk.offset)),
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _fields(value: Any) -> dict[str, Any]:
    """Members by lower-case name: Go finds them in any case; ``null`` has none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - it is about the text
    return {name.lower(): member for name, member in value.items()}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no string")  # noqa: TRY004 - it is about the text
    return value


def _integer(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _INT64_MAX:
        raise ValueError(f"{name} is no 64-bit integer")
    return value


def _chunk(fields: dict[str, Any]) -> Chunk:
    return Chunk(_text(fields, "fid"), _integer(fields, "offset"), _integer(fields, "size"))


# --- reading them -------------------------------------------------------------------------------


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

    async def open(self, fid: str, start: int) -> PeerResponse:
        """The chunk's bytes from ``start`` on; :exc:`ChunkError`."""
        address = await self._address(fid)
        headers = [("Range", f"bytes={start}-")] if start > 0 else []
        try:
            answer = await self._peers.request(
                "GET", address, b"/" + to_bytes(fid), headers=headers, follow=True
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


class ManifestContent:
    """A manifest's bytes; see :class:`fastvol.http.content.Content`."""

    def __init__(self, manifest: Manifest, reader: ChunkReader) -> None:
        self.size = manifest.content_size
        self._chunks = manifest.chunks
        self._reader = reader

    def span(self, span: Span) -> ChunkStream:
        """See :class:`fastvol.http.content.Content`."""
        return ChunkStream(self._reader, [*self._pieces(span)], span.length)

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> ChunkStream:
        """See :class:`fastvol.http.content.Content`."""
        parts: list[bytes | _Piece] = []
        for head, span in zip(frame.heads, spans, strict=True):
            parts += [head, *self._pieces(span)]
        return ChunkStream(self._reader, [*parts, frame.tail], frame.content_length)

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

    def __init__(self, reader: ChunkReader, parts: list[bytes | _Piece], length: int) -> None:
        self.length: int | None = length
        self.first = b""
        self._reader = reader
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
            self._answer = await self._reader.open(part.fid, part.start)
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
