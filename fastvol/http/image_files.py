"""Image files: opened by four decoders and no other, within bounds, and written.

The format is found in the bytes, as Go's ``image.Decode`` does it; Pillow's own search is not used,
so nothing but these four is ever tried on what clients have stored.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fastvol.http.image_geometry import Size
from fastvol.limits import IMAGE_PIXELS_AT_ONCE, IMAGE_PIXELS_MAX

JPEG_QUALITY: Final = 75
_DECODERS: Final[tuple[tuple[bytes, type[ImageFile]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8", JpegImageFile),
    (b"GIF8", GifImageFile),
    (b"RIFF", WebPImageFile),
)
_SIDE_MAX: Final = 65535
"""Of a JPEG or GIF; upstream answers a larger one with nothing."""


class UnknownFormatError(ValueError):
    """The bytes begin like none of the four formats."""


class TooManyPixelsError(ValueError):
    """The image is, or would become, larger than :data:`IMAGE_PIXELS_MAX`."""


class PixelBudget:
    """Lets images be decoded at the same time as long as their pixels are not too many together."""

    def __init__(self, pixels: int) -> None:
        self._limit = pixels
        self._used = 0
        self._freed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Waits for room; one that is larger than all of it gets its turn alone."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + pixels <= self._limit)
            self._used += pixels
        try:
            yield
        finally:
            with self._freed:
                self._used -= pixels
                self._freed.notify_all()


pixel_budget: Final = PixelBudget(IMAGE_PIXELS_AT_ONCE)


def open_image(data: bytes) -> ImageFile:
    """An image whose header is read and whose pixels are not; close it.

    Raises:
        UnknownFormatError: it is none of the four formats.
        TooManyPixelsError: a WebP; the others are to be checked by the caller.
        Exception: whatever the decoder says to a bad header.
    """
    if data.startswith(b"RIFF"):
        check_pixels(_webp_size(data))  # its decoder takes the memory when it is opened
        data += b"\0"  # and wants the last padding, which nobody else misses
    for start, decoder in _DECODERS:
        if data.startswith(start):
            return decoder(io.BytesIO(data))
    raise UnknownFormatError("it is no PNG, JPEG, GIF or WebP")


def _webp_size(data: bytes) -> Size:
    """Width and height of the canvas, by the first chunk."""
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        across, down = data[24:27], data[27:30]
        return 1 + int.from_bytes(across, "little"), 1 + int.from_bytes(down, "little")
    if kind == b"WEBPVP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"WEBPVP8 ":
        across, down = data[26:28], data[28:30]
        return (
            int.from_bytes(across, "little") & 0x3FFF,
            int.from_bytes(down, "little") & 0x3FFF,
        )
    raise UnknownFormatError("it is no WebP")


def check_pixels(size: Size) -> int:
    """The number of pixels.

    Raises:
        TooManyPixelsError: there are too many.
    """
    pixels = size[0] * size[1]
    if pixels > IMAGE_PIXELS_MAX:
        raise TooManyPixelsError(f"{size[0]}x{size[1]} are more than {IMAGE_PIXELS_MAX} pixels")
    return pixels


def to_true_color(image: Image.Image) -> Image.Image:
    """RGB, or RGBA when there is transparency, eight bits a channel."""
    image.load()
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB")


def encode(image: Image.Image, ext: str) -> bytes:
    """The bytes of an RGB or RGBA image; what the format cannot do with alpha becomes black."""
    if ext in (".jpg", ".jpeg", ".gif") and max(image.size) > _SIDE_MAX:
        return b""
    image.info = {}  # else a profile or a comment of the original would get into some formats
    output = io.BytesIO()
    if ext in (".jpg", ".jpeg"):
        _on_black(image).save(output, "JPEG", quality=JPEG_QUALITY)
    elif ext == ".gif":
        _on_black(image).quantize(256).save(output, "GIF")
    else:
        _without_idle_alpha(image).save(output, "PNG")
    return output.getvalue()


def _on_black(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    background = Image.new("RGB", image.size)
    background.paste(image, mask=image.getchannel("A"))
    return background


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """An alpha channel that is opaque everywhere is not written."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image
