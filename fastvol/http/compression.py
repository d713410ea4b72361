"""Which uploads are stored compressed, and gzip in both directions.

The decision is upstream's (``weed/util/compression.go: IsCompressableFileType`` and
``weed/storage/needle/needle_parse_upload.go: ParseUpload``); the compressed bytes are zlib's, so an
auto-compressed needle may carry another checksum than one that the Go server compressed.
"""

import zlib
from typing import Final

GZIP_MAGIC: Final = b"\x1f\x8b"

# No name, mtime 0, "fastest" and "unknown system": the same input gives the same bytes always.
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LEVEL: Final = 1

_ALWAYS: Final = frozenset({".svg", ".bmp", ".wav"})
_NEVER: Final = frozenset({".zip", ".rar", ".gz", ".bz2", ".xz", ".zst", ".br"})
_TEXTS: Final = frozenset(
    {".pdf", ".txt", ".html", ".htm", ".css", ".js", ".json"}
    | {".php", ".java", ".go", ".rb", ".c", ".cpp", ".h", ".hpp"}
)
_IMAGES: Final = frozenset({".png", ".jpg", ".jpeg"})
_WAVES: Final = frozenset({"audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav"})


class GunzipError(ValueError):
    """The bytes are not a complete gzip stream, or inflate to more than allowed."""


def is_compressible(base_name: str, mime: str) -> bool:
    """Whether content of this name and type is worth a try.

    ``base_name`` is the *whole* base name where an extension is meant: upstream passes that, so
    its extension rules match only files named exactly ``.svg`` and the like.
    """
    if mime.startswith("text/") or base_name in _ALWAYS:
        return True
    if mime.startswith("image/") or base_name in _NEVER:
        return False
    if base_name in _TEXTS:
        return True
    if base_name in _IMAGES:
        return False
    if mime.startswith("application/"):
        return not mime.endswith("zstd") and mime.endswith(("xml", "script"))
    return mime in _WAVES


def compress_if_smaller(data: bytes | bytearray | memoryview) -> bytes | None:
    """gzip of ``data`` when it saves more than a tenth, else None."""
    compressed = gzip_bytes(data)
    return compressed if len(compressed) * 10 < len(data) * 9 else None


def gzip_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """One deterministic gzip member, fastest level."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data)
    trailer = zlib.crc32(data).to_bytes(4, "little")
    trailer += (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join((_HEADER, body, deflate.flush(), trailer))


def is_gzipped(data: bytes | bytearray | memoryview) -> bool:
    """Whether ``data`` starts like gzip."""
    return bytes(data[:2]) == GZIP_MAGIC


def gunzip(data: bytes | bytearray | memoryview, size_max: int) -> bytes:
    """Inflate one or more gzip members, ``size_max`` bytes at most.

    Raises:
        GunzipError: not gzip, truncated, a bad checksum, trailing bytes that are no member, or
            more than ``size_max`` bytes.
    """
    if not is_gzipped(data):
        raise GunzipError("not gzip")
    pieces: list[bytes] = []
    size = 0
    rest: bytes | bytearray | memoryview = data
    while len(rest):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            piece = member.decompress(rest, size_max - size + 1)
        except zlib.error as error:
            raise GunzipError(str(error)) from error
        size += len(piece)
        if size > size_max:
            raise GunzipError(f"inflates to more than {size_max} bytes")
        if not member.eof:
            raise GunzipError("unexpected EOF")
        pieces.append(piece)
        rest = member.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
