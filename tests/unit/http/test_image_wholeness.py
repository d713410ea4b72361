"""Truncated and damaged image files are told from whole ones."""

from __future__ import annotations

import pytest
from image_kit import encoded, gradient, pictures

from fastvol.http.image_wholeness import is_whole

KINDS = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "webp": "WEBP", "progressive": "JPEG"}


@pytest.mark.parametrize("name", KINDS)
def test_every_cut_is_seen(name: str) -> None:
    """Of a GIF the trailer does not belong to the first frame, of a WebP the padding to the image."""
    data, kind = pictures()[name], KINDS[name]
    assert is_whole(data, kind) and is_whole(data + b"anything", kind)
    idle = 1 if kind == "GIF" or (kind == "WEBP" and data[16] & 1) else 0
    for length in range(len(data) - idle):
        assert not is_whole(data[:length], kind), length


def test_every_flipped_bit_of_a_png_is_seen() -> None:
    data = encoded(gradient((8, 8)), "PNG")
    for at in range(8, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        assert not is_whole(bytes(damaged), "PNG"), at


def test_a_preview_inside_is_not_taken_for_the_end() -> None:
    """Cameras put a small JPEG with an end of its own in front of the picture."""
    preview = pictures()["jpeg"][:600] + b"\xff\xd9"
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = pictures()["jpeg"][:2] + segment + pictures()["jpeg"][2:]
    assert is_whole(whole, "JPEG") and not is_whole(whole[:-2], "JPEG")


def test_a_film_is_no_single_webp() -> None:
    assert not is_whole(pictures()["film webp"], "WEBP")


def test_a_gif_frame_beyond_its_canvas_is_refused() -> None:
    data = bytearray(pictures()["gif"])
    data[6:8] = (59).to_bytes(2, "little")
    assert not is_whole(bytes(data), "GIF")
