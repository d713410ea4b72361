"""Pictures in all the forms that tests ask for; made on the spot, the same every time."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any, Final

from PIL import Image

SIZE: Final = (60, 40)
ORIENTATION_TAG: Final = 0x0112


def gradient(size: tuple[int, int] = SIZE) -> Image.Image:
    """Red grows to the right, green downwards, blue is even: any turn or cut shows in it."""
    width, height = size
    image = Image.new("RGB", size)
    for x in range(width):
        for y in range(height):
            red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
            image.putpixel((x, y), (red, green, 128))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file of Pillow's format ``kind``."""
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def opened(data: bytes) -> Image.Image:
    """The decoded image; fails if it is not whole."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def oriented_jpeg(orientation: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG that says how it lies."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encoded(gradient(size), "JPEG", quality=95, exif=exif)


def png_chunk(name: bytes, content: bytes, *, damaged: bool = False) -> bytes:
    """One chunk of a PNG file."""
    checksum = zlib.crc32(name + content) ^ damaged
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_claiming(width: int, height: int) -> bytes:
    """A small file that claims to be large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


def _deep_png(*, alpha: bool) -> bytes:
    """Sixteen bits a channel, which Pillow cannot write."""
    rows = bytearray()
    for y in range(SIZE[1]):
        rows.append(0)
        for x in range(SIZE[0]):
            rows += struct.pack(">3H", x * 1000, y * 1600, 30000)
            rows += struct.pack(">H", x * 1000) if alpha else b""
    header = struct.pack(">IIBBBBB", *SIZE, 16, 6 if alpha else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(rows)))
        + png_chunk(b"IEND", b"")
    )


def _gif_on_larger_canvas() -> bytes:
    """A frame of the usual size, ten to the right and five down."""
    data = bytearray(encoded(gradient().quantize(64), "GIF"))
    data[6:10] = struct.pack("<2H", SIZE[0] + 20, SIZE[1] + 20)
    frame = data.index(b"\x2c", 13 + (6 << (data[10] & 7)))
    data[frame + 1 : frame + 5] = struct.pack("<2H", 10, 5)
    return bytes(data)


@cache
def pictures() -> dict[str, bytes]:
    """Files by a name that says what is special about them."""
    plain = gradient()
    clear = plain.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    turned = plain.rotate(180)
    gray16 = Image.new("I;16", SIZE)
    for x in range(SIZE[0]):
        for y in range(SIZE[1]):
            gray16.putpixel((x, y), x * 1092 + y)
    found = {
        "png": encoded(plain, "PNG"),
        "jpeg": encoded(plain, "JPEG"),
        "gif": encoded(plain.quantize(64), "GIF"),
        "webp": encoded(plain, "WEBP", lossless=True),
        "webp lossy": encoded(plain, "WEBP"),
        "tall": encoded(gradient((40, 300)), "PNG"),
        "line": encoded(gradient((200, 1)), "PNG"),
        "large": encoded(gradient((300, 200)), "JPEG", quality=95),
        "progressive": encoded(plain, "JPEG", progressive=True),
        "cmyk": encoded(plain.convert("CMYK"), "JPEG"),
        "gray jpeg": encoded(plain.convert("L"), "JPEG"),
        "gray png": encoded(plain.convert("L"), "PNG"),
        "gray alpha": encoded(clear.convert("LA"), "PNG"),
        "gray 16 bit": encoded(gray16, "PNG"),
        "color 16 bit": _deep_png(alpha=False),
        "alpha 16 bit": _deep_png(alpha=True),
        "one bit": encoded(plain.convert("1"), "PNG"),
        "palette": encoded(plain.quantize(16), "PNG"),
        "palette alpha": encoded(plain.quantize(16), "PNG", transparency=3),
        "gif alpha": encoded(plain.quantize(16), "GIF", transparency=3),
        "alpha": encoded(clear, "PNG"),
        "webp alpha": encoded(clear, "WEBP"),
        "profile": encoded(plain, "PNG", icc_profile=bytes(200)),
        "turned": oriented_jpeg(6),
        "film gif": encoded(
            plain.quantize(64), "GIF", save_all=True, append_images=[turned.quantize(64)]
        ),
        "film png": encoded(plain, "PNG", save_all=True, append_images=[turned]),
        "film webp": encoded(plain, "WEBP", save_all=True, append_images=[turned], duration=100),
        "gif on a canvas": _gif_on_larger_canvas(),
        "no image": b"this is no image at all",
        "windows icon": encoded(plain, "ICO"),
        "portable pixmap": encoded(plain, "PPM"),
    }
    png = found["png"]
    header_end = 33
    for damaged in (False, True):
        comment = png_chunk(b"tEXt", b"a\0b", damaged=damaged)
        found[f"comment {damaged}"] = png[:header_end] + comment + png[header_end:]
    pixels = bytearray(png)
    pixels[png.index(b"IDAT") + 20] ^= 1
    found["png damaged"] = bytes(pixels)
    for name in ("png", "jpeg", "gif", "webp"):
        data = found[name]
        found[f"{name} and more"] = data + b"more"
        found[f"{name} half"] = data[: len(data) // 2]
        for missing in (1, 2, 4, 13):
            found[f"{name} but {missing}"] = data[:-missing]
    return found
