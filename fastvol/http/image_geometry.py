"""Sizes and boxes of resized images; no pixels in here.

The rules are those of ``weed/images/resizing.go: Resized`` and of the functions of Go's ``imaging``
package that it calls: Fit, Fill, Thumbnail, Resize and CropAnchor.
"""

import math
from typing import Final, NamedTuple

Size = tuple[int, int]
"""Width and height."""
Box = tuple[float, float, float, float]
"""Left, upper, right, lower."""

_CROP_FIRST_PIXELS: Final = 100
"""From this width and height on a filled image is cropped before it is scaled."""


class Scaling(NamedTuple):
    """Scale the part ``box`` of the source to ``scaled``, then take its centre of size ``size``."""

    box: Box
    scaled: Size
    size: Size


EMPTY: Final = Scaling((0, 0, 0, 0), (0, 0), (0, 0))
"""An image without pixels: what is asked for makes no sense."""


def scaling(source: Size, width: int, height: int, mode: str) -> Scaling | None:
    """How to scale an image of size ``source``; None: it is small enough as it is.

    ``width`` and ``height`` may be 0 (not limited), negative or huge; ``mode`` is ``fit``, ``fill``
    or anything else.
    """
    too_wide = width != 0 and source[0] > width
    too_high = height != 0 and source[1] > height
    if not too_wide and not too_high:
        return None
    if mode == "fit":
        return _fit(source, width, height)
    if mode == "fill" or (width == height and source[0] != source[1]):
        return _fill(source, width, height)
    return _whole(source, _completed(source, width, height))


def _whole(source: Size, size: Size) -> Scaling:
    return Scaling((0, 0, *source), size, size) if min(size) > 0 else EMPTY


def _completed(source: Size, width: int, height: int) -> Size:
    """A dimension of 0 follows from the other one by the source's proportions."""
    if width < 0 or height < 0:
        return (0, 0)
    if width == 0:
        width = max(1, math.floor(height * source[0] / source[1] + 0.5))
    elif height == 0:
        height = max(1, math.floor(width * source[1] / source[0] + 0.5))
    return (width, height)


def _fit(source: Size, width: int, height: int) -> Scaling:
    if width <= 0 or height <= 0:
        return EMPTY
    proportion = source[0] / source[1]
    if proportion > width / height:
        height = int(width / proportion)
    else:
        width = int(height * proportion)
    return _whole(source, _completed(source, width, height))


def _fill(source: Size, width: int, height: int) -> Scaling:
    if width <= 0 or height <= 0:
        return EMPTY
    size = (width, height)
    is_too_high = source[0] / source[1] < width / height
    if min(source) >= _CROP_FIRST_PIXELS:
        if is_too_high:
            part = (source[0], int(max(1.0, source[0] * height / width) + 0.5))
        else:
            part = (int(max(1.0, source[1] * width / height) + 0.5), source[1])
        return Scaling(centred(source, part), size, size)
    scaled = _completed(source, width, 0) if is_too_high else _completed(source, 0, height)
    return Scaling((0, 0, *source), scaled, size)


def centred(whole: Size, part: Size) -> tuple[int, int, int, int]:
    """The box of size ``part`` in the middle of an image of size ``whole``, cut to the image."""
    left, upper = (whole[0] - part[0]) // 2, (whole[1] - part[1]) // 2
    right, lower = min(left + part[0], whole[0]), min(upper + part[1], whole[1])
    return (max(left, 0), max(upper, 0), right, lower)
