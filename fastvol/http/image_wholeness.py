"""Whether the bytes of an image are all there.

Decoders here are more forgiving than Go's: they show what they can of a truncated file. Upstream
shows such a file as it is stored, and so a picture that is half grey never passes for a good one.
"""

import re
import struct
import zlib
from typing import Final

_PNG_START: Final = 8
_CHUNK_FRAME: Final = 12
"""Length, type and checksum of a PNG chunk."""
_JPEG_LONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a segment."""
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\xff])")
_JPEG_AFTER_SCAN: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""Any number of 0xff may stand before both; the last of them is enough to find a marker by."""
_GIF_EXTENSION: Final = 0x21
_GIF_IMAGE: Final = 0x2C
_WEBP_ANIMATED: Final = 2


def is_whole(data: bytes, kind: str) -> bool:
    """Whether an image of the format ``kind`` (a Pillow name) goes on to its end, undamaged as far as
    its own framing and checksums tell; of a GIF the first frame only."""
    try:
        return _CHECKS[kind](data)
    except (IndexError, struct.error):
        return False


def _is_whole_png(data: bytes) -> bool:
    at = _PNG_START
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + _CHUNK_FRAME + length
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != checksum:
            return False
        if name == b"IEND":
            return True
        at = end


def _is_whole_jpeg(data: bytes) -> bool:
    at, pattern = 2, _JPEG_MARKER
    while found := pattern.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _JPEG_END:
            return True
        pattern = _JPEG_AFTER_SCAN if marker == _JPEG_SCAN else _JPEG_MARKER
        if marker not in _JPEG_LONE:
            at += struct.unpack_from(">H", data, at)[0]
    return False


def _is_whole_gif(data: bytes) -> bool:
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _color_table_bytes(flags)
    while data[at] == _GIF_EXTENSION:
        at = _behind_blocks(data, at + 2)
    if data[at] != _GIF_IMAGE:
        return False
    left, upper, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
    if left + width > screen_width or upper + height > screen_height:
        return False
    _behind_blocks(data, at + 11 + _color_table_bytes(flags))
    return True


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _is_whole_webp(data: bytes) -> bool:
    """Also not animated: Go's decoder knows single images only. The last chunk's padding is not
    missed by anybody."""
    if data[12:16] == b"VP8X" and data[20] & _WEBP_ANIMATED:
        return False
    (size,) = struct.unpack_from("<I", data, 4)
    at = 12
    while at < 8 + size:
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length
        if at > len(data):
            return False
        at += length & 1
    return True


_CHECKS: Final = {
    "PNG": _is_whole_png,
    "JPEG": _is_whole_jpeg,
    "GIF": _is_whole_gif,
    "WEBP": _is_whole_webp,
}
