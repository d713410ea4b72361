"""Images made smaller, and parts of images (weed/images/cropping.go: Cropped,
weed/images/resizing.go: Resized).

Which reads ask for them: :mod:`fastvol.http.image_request`. Whatever cannot be done gives the stored
bytes. The format is found in the bytes, but written by the name's extension.

Decoding is bounded: see :mod:`fastvol.http.image_files`.
"""

import logging
from typing import Final

from PIL import Image
from PIL.ImageFile import ImageFile

from fastvol.http.image_files import (
    check_pixels,
    encode,
    open_image,
    pixel_budget,
    to_true_color,
)
from fastvol.http.image_geometry import Box, Scaling, Size, centred, scaling
from fastvol.http.image_request import ImageRequest
from fastvol.http.image_wholeness import is_whole
from fastvol.limits import IMAGE_BYTES_MAX
from fastvol.log_limiter import LogLimiter

log = logging.getLogger(__name__)
limited: Final = LogLimiter(log)
"""One broken image may be asked for in every request."""

_DRAFT_FACTOR: Final = 2
"""A JPEG is decoded to at least so many times the wanted size: Lanczos does the rest."""


def transform(data: bytes, request: ImageRequest) -> bytes:
    """The image asked for, or ``data`` itself where there is nothing to do or nothing can be done.

    Empty for a size that makes no sense, as upstream.
    """
    if len(data) > IMAGE_BYTES_MAX:
        limited.warning("bytes", "an image has more than %d bytes: shown as is", IMAGE_BYTES_MAX)
        return data
    try:
        return _transformed(data, request)
    except Exception as error:
        # A decoder may raise anything on bytes that are not what they seem.
        kind = type(error).__name__
        limited.warning(kind, "an image is shown as it is: %s: %s", kind, error)
    return data


def _transformed(data: bytes, request: ImageRequest) -> bytes:
    with open_image(data) as image:
        frame = _frame(image)
        part = _part(frame, request.crop)
        if part is None:
            return b""
        size = (part[2] - part[0], part[3] - part[1])
        step = None
        if request.resize:
            step = scaling(size, request.width, request.height, request.mode)
        if step is None and part == frame and not _crops(frame, request.crop):
            return data
        if step is not None and 0 in step.size:
            return b""
        kind = image.format or ""
        if not is_whole(data, kind):
            raise ValueError(f"its {kind} data end too early or are damaged")
        pixels = check_pixels(image.size)
        if step is not None:
            pixels += check_pixels(step.scaled)
        with pixel_budget.take(pixels):
            return encode(_drawn(image, part, step), request.ext)


def _frame(image: ImageFile) -> tuple[int, int, int, int]:
    """The image's box; of a GIF that of its first frame, which need not fill the canvas."""
    if image.format == "GIF":
        return image.tile[0].extents or (0, 0, *image.size)
    return (0, 0, *image.size)


def _crops(frame: tuple[int, int, int, int], crop: tuple[int, int, int, int] | None) -> bool:
    """Whether the crop is done at all: one that reaches beyond the image is not."""
    if crop is None:
        return False
    return crop[2] <= frame[2] - frame[0] and crop[3] <= frame[3] - frame[1]


def _part(
    frame: tuple[int, int, int, int], crop: tuple[int, int, int, int] | None
) -> tuple[int, int, int, int] | None:
    """What is left after cropping; None: nothing.

    A crop is given in coordinates of the canvas, but checked against the size of the frame.
    """
    if crop is None or not _crops(frame, crop):
        return frame
    left, upper = max(crop[0], frame[0]), max(crop[1], frame[1])
    right, lower = min(crop[2], frame[2]), min(crop[3], frame[3])
    return (left, upper, right, lower) if left < right and upper < lower else None


def _drawn(image: ImageFile, part: tuple[int, int, int, int], step: Scaling | None) -> Image.Image:
    if step is None:
        return to_true_color(image.crop(part))
    box: Box = (
        part[0] + step.box[0],
        part[1] + step.box[1],
        part[0] + step.box[2],
        part[1] + step.box[3],
    )
    box = _drafted(image, box, step.scaled)
    scaled = to_true_color(image).resize(step.scaled, Image.Resampling.LANCZOS, box)
    return scaled if step.size == step.scaled else scaled.crop(centred(step.scaled, step.size))


def _drafted(image: ImageFile, box: Box, wanted: Size) -> Box:
    """Lets a JPEG be decoded smaller if that is enough; the box in what will be decoded."""
    if image.format != "JPEG":
        return box
    full = image.size
    enough = [
        full[axis] * wanted[axis] * _DRAFT_FACTOR / (box[axis + 2] - box[axis]) for axis in (0, 1)
    ]
    image.draft(None, (min(full[0], int(enough[0]) + 1), min(full[1], int(enough[1]) + 1)))
    across, down = image.size[0] / full[0], image.size[1] / full[1]
    return (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
