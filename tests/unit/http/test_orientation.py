"""JPEGs are turned as their EXIF data say, and left alone where these say nothing."""

from __future__ import annotations

import struct

import pytest
from image_kit import encoded, gradient, opened, oriented_jpeg, pictures
from PIL import Image, ImageChops, ImageOps, ImageStat
from PIL.Image import Transpose

from fastvol.http.orientation import turn_of, turned

JPEG = b"image/jpeg"


def upright(data: bytes) -> bytes:
    turn = turn_of(b"", JPEG, data)
    return data if turn is None else bytes(turned(data, turn))


def jpeg_with(*segments: bytes) -> bytes:
    plain = pictures()["jpeg"]
    return plain[:2] + b"".join(segments) + plain[2:]


def app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def exif(order: str, kind: int, value: bytes, *, count: int = 1, end: bytes = bytes(4)) -> bytes:
    start = {"<": b"II", ">": b"MM"}[order]
    directory = struct.pack(order + "HIHHHI", 42, 8, 1, 0x0112, kind, count)
    return app1(b"Exif\0\0" + start + directory + value.ljust(4, b"\0") + end)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_picture_lies_as_a_viewer_would_show_it(orientation: int) -> None:
    source = oriented_jpeg(orientation)
    shown = ImageOps.exif_transpose(opened(source))
    image = opened(upright(source))
    assert shown is not None and image.size == shown.size
    assert max(ImageStat.Stat(ImageChops.difference(image, shown)).mean) < 4
    assert not image.getexif() and image.format == "JPEG"


@pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
def test_other_values_change_nothing(orientation: int) -> None:
    assert turn_of(b"", JPEG, oriented_jpeg(orientation)) is None


@pytest.mark.parametrize(
    ("order", "kind", "value"),
    [
        ("<", 3, b"\x06\0"), (">", 3, b"\0\x06"), ("<", 4, b"\x06\0\0\0"), (">", 4, b"\0\0\0\x06"),
        (">", 1, b"\x06"), ("<", 9, b"\x06\0\0\0"),
    ],
)  # fmt: skip
def test_both_byte_orders_and_all_whole_numbers_are_read(
    order: str, kind: int, value: bytes
) -> None:
    assert turn_of(b"", JPEG, jpeg_with(exif(order, kind, value))) is Transpose.ROTATE_270


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        pictures()["jpeg"],
        pictures()["png"],
        jpeg_with(exif("<", 5, b"\x06")),
        jpeg_with(exif("<", 3, b"\x06", count=2)),
        jpeg_with(exif("<", 3, b"\x06", end=b"")),
        jpeg_with(app1(b"http://ns.adobe.com/xap/1.0/\0"), exif("<", 3, b"\x06")),
        jpeg_with(app1(b"Exif\0\0XX")),
        oriented_jpeg(6)[:30],
        encoded(gradient(), "PNG", exif=opened(oriented_jpeg(6)).getexif()),
    ],
)
def test_data_without_a_readable_tag_are_left_alone(data: bytes) -> None:
    assert turn_of(b"x.jpg", JPEG, data) is None


@pytest.mark.parametrize(
    ("name", "mime", "looked_at"),
    [
        (b"", b"image/jpeg", True), (b"A.JPG", b"", True), (b"a.Jpeg", b"x/y", True),
        (b"a.png", b"image/jpg", False), (b"", b"image/jpeg; q=1", False), (b"", b"", False),
        (b"jpg", b"IMAGE/JPEG", False),
    ],
)  # fmt: skip
def test_only_what_is_called_a_jpeg_is_looked_at(name: bytes, mime: bytes, looked_at: bool) -> None:
    assert (turn_of(name, mime, oriented_jpeg(6)) is not None) == looked_at


@pytest.mark.parametrize("missing", [2, 50, 700])
def test_what_does_not_decode_is_stored_as_it_is(missing: int) -> None:
    data = oriented_jpeg(6)[:-missing]
    assert turned(data, Transpose.ROTATE_90) is data


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_color_spaces_are_turned_too(mode: str) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    data = encoded(gradient().convert(mode), "JPEG", exif=tag)
    assert opened(upright(data)).size == (40, 60)
