"""JPEGs turned upright when they are stored (weed/images/orientation.go: FixJpgOrientation).

A camera writes the picture as its sensor lies, and an EXIF tag that says how it was held. With
``-images.fix.orientation`` the pixels are turned instead, and the tag goes with the rest of the EXIF
data. Whatever cannot be read stays as it is.
"""

import logging
import struct
from typing import Final

from PIL.Image import Transpose

from fastvol.http.image_files import check_pixels, encode, open_image, pixel_budget, to_true_color
from fastvol.http.image_wholeness import is_whole
from fastvol.log_limiter import LogLimiter

log = logging.getLogger(__name__)
limited: Final = LogLimiter(log)

_TURNS: Final = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_JPEG_START: Final = b"\xff\xd8"
_EXIF_MARKER: Final = 0xE1
_EXIF_START: Final = b"Exif\0\0"
_SEGMENTS: Final = range(0xC0, 0xFF)
_SCAN_OR_END: Final = (0xDA, 0xD9)
_ORIENTATION_TAG: Final = 0x0112
_VALUE_CODES: Final = {1: "B", 3: "H", 4: "I", 9: "i"}
"""Codes of ``struct`` by TIFF type; cameras write the second."""


def turn_of(name: bytes, mime: bytes, data: bytes | bytearray | memoryview) -> Transpose | None:
    """How an upload is to be turned; None: not at all, and that is found out fast.

    ``name`` and ``mime`` are those that will be stored; ``data`` may be anything.
    """
    if mime != b"image/jpeg" and not name.lower().endswith((b".jpg", b".jpeg")):
        return None
    try:
        return _TURNS.get(_orientation(memoryview(data)))
    except (struct.error, IndexError):
        return None  # no EXIF data, or they end too early


def turned(data: bytes | bytearray | memoryview, turn: Transpose) -> bytes | bytearray | memoryview:
    """The JPEG turned and without its EXIF data, or ``data`` if it does not decode."""
    whole = bytes(data)
    try:
        if not is_whole(whole, "JPEG"):
            return data
        with open_image(whole) as image:
            pixels = 2 * check_pixels(image.size)
            with pixel_budget.take(pixels):
                return encode(to_true_color(image).transpose(turn), ".jpg")
    except Exception as error:
        # A decoder may raise anything on bytes that are not what they seem.
        kind = type(error).__name__
        limited.warning(kind, "an image is stored as it lies: %s: %s", kind, error)
        return data


def _orientation(data: memoryview) -> int:
    """The orientation tag, 0 without one; only the first segment that may hold EXIF data counts.

    Raises:
        struct.error, IndexError: the segments end too early.
    """
    if bytes(data[:2]) != _JPEG_START:
        return 0
    at = len(_JPEG_START)
    while True:
        start, marker, length = struct.unpack_from(">BBH", data, at)
        if start != 0xFF or marker not in _SEGMENTS or marker in _SCAN_OR_END:
            return 0
        if marker == _EXIF_MARKER:
            content = data[at + 4 : at + 2 + length]
            if bytes(content[: len(_EXIF_START)]) != _EXIF_START:
                return 0
            return _tag_of(content[len(_EXIF_START) :])
        at += 2 + length


def _tag_of(tiff: memoryview) -> int:
    """The orientation in the first directory of TIFF data."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return 0
    magic, directory = struct.unpack_from(order + "HI", tiff, 2)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    end = directory + 2 + entries * 12
    struct.unpack_from(order + "I", tiff, end)  # a directory that is cut off counts for nothing
    if magic != 42:
        return 0
    for at in range(directory + 2, end, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _ORIENTATION_TAG:
            code = _VALUE_CODES.get(kind)
            if code is None or count != 1:
                return 0
            return int(struct.unpack_from(order + code, tiff, at + 8)[0])
    return 0
