"""Which reads ask for another image than the stored one, and for what.

Source of the rules: ``weed/server/volume_server_handlers_read.go: shouldResizeImages,
shouldCropImages``.
"""

from typing import Final, NamedTuple

from fastvol.formats.go_numbers import atoi
from fastvol.http.file_path import UrlPath
from fastvol.http.query import Query

_CROPPED: Final = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_RESIZED: Final = _CROPPED | {".webp"}
_ASKING: Final = frozenset({"width", "height", "crop_x2", "crop_y2"})
_INT_MAX: Final = 2**63 - 1


class ImageRequest(NamedTuple):
    """What a read asks for; ``crop`` comes first, then the size."""

    ext: str
    """Extension in lower case, with its dot."""
    crop: tuple[int, int, int, int] | None
    """Left, upper, right, lower."""
    resize: bool
    width: int
    height: int
    mode: str


def plan(query: Query, ext: str) -> ImageRequest | None:
    """What is asked of an object whose name ends in ``ext``; None: nothing.

    ``ext`` counts as it is written: upstream looks at it before it is in lower case as well, and
    then does not know ``.PNG``.
    """
    if ext not in _RESIZED:
        return None
    width, height = _number(query, "width"), _number(query, "height")
    resize = width > 0 or height > 0
    crop = _crop(query) if ext in _CROPPED else None
    if not resize and crop is None:
        return None
    return ImageRequest(ext, crop, resize, width, height, query.get("mode", ""))


def may_ask(query: Query) -> bool:
    """Whether it may be another image that is asked for, whatever the object is."""
    return not _ASKING.isdisjoint(query)


def extension(path: UrlPath, stored_name: str) -> str:
    """The extension that counts: the URL's, or that of the stored name when the URL has no name."""
    if path.ext or path.filename:
        return path.ext
    base = stored_name[stored_name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return base[dot:] if dot >= 0 else ""


def _number(query: Query, name: str) -> int:
    """``strconv.Atoi`` with its error dropped: 0, or the largest number there is."""
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return atoi(text)
    except ValueError as error:
        if str(error).endswith("out of range"):
            return -_INT_MAX - 1 if text.startswith("-") else _INT_MAX
        return 0


def _crop(query: Query) -> tuple[int, int, int, int] | None:
    left, upper = _number(query, "crop_x1"), _number(query, "crop_y1")
    right, lower = _number(query, "crop_x2"), _number(query, "crop_y2")
    if left < 0 or upper < 0 or right <= left or lower <= upper:
        return None
    return (left, upper, right, lower)
